// The map: every picture a mark near those it is like, coloured by its cluster or by anything else that is known of it;
// of a tree, by the clusters of a level or of a cut.
// Wheel, pinch, drag, buttons or keys zoom and move it; a lasso chooses. Where it is, and what it is coloured by, is part
// of the address, so that Back leads to the very place. What it is made of is in ../map.

import { api, ApiError } from "../api.js";
import { baseName, button, clusterName, count, element, empty, head, number } from "../dom.js";
import { start } from "../jobs.js";
import { current, isReadOnly } from "../live.js";
import { positions, values } from "../map/arrays.js";
import { MOST_ON_CANVAS } from "../map/canvas.js";
import { called, colourChoice, groupsChoice, legend, valueText } from "../map/legend.js";
import { outlines } from "../map/outlines.js";
import { Paint } from "../map/paint.js";
import { Plot } from "../map/plot.js";
import { Points } from "../map/points.js";
import { WebglMarks } from "../map/webgl.js";
import { palette } from "../palette.js";
import { address, changed, go } from "../router.js";
import { complain } from "../toasts.js";
import { cutName, numberIn } from "./tree.js";

/** @typedef {import("../api.js").State} State @typedef {import("../map/legend.js").Shown} Cluster */

// So many new pictures are placed without a question: it takes a few seconds.
const FEW_NEW = 5_000;

/** The points that were shown last, as long as they are the server's. @type {{of: string, points: Points}|null} */
let last = null;
/** For which state of the store new pictures were placed last: some have no place, and are not asked for again. */
let placedFor = "";

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showMap({ refresh }) {
  const state = current();
  if (!state.images) return { nodes: [empty("No pictures yet", "There is nothing to draw a map of.")], changed: (before, now) => (now.images ? "refresh" : undefined) };
  if (!state.map) return noMap(refresh);
  const view = new MapView(await palette());
  try {
    await view.load();
    const shown = () => view.plot.goWhereTheAddressSays(); // where one went on the map of before while this one was made
    return { nodes: [view.head, view.plot.holder, view.below], shown, leave: () => view.leave(), changed: (before, now) => view.follow(before, now) };
  } catch (error) {
    view.leave();
    if (error instanceof ApiError && error.status === 404) return noMap(refresh); // one that cannot be read
    throw error;
  }
}

class MapView {
  /** @param {import("../api.js").Palette} colours */
  constructor(colours) {
    this.colours = colours;
    /** @type {Cluster[]} */
    this.clusters = [];
    /** @type {Plot} */
    this.plot = new Plot(colours, { tip: (point) => this.tip(point), said: (point) => this.said(point) });
    this.head = element("div", {});
    this.below = element("div", {});
    this.by = "";
    /** Which clusters of a tree: level=1, say; empty: those of the grouping itself. */
    this.groups = "";
    /** @type {number[]} */
    this.levels = [];
    /** What the address asked for when it was loaded. */
    this.asked = "";
    this.isLoading = false;
    this.isStale = false;
    /** The store has changed while a job ran. */
    this.isBehind = false;
    this.gone = new AbortController();
    const { signal } = this.gone;
    addEventListener("job-ended", (event) => /** @type {CustomEvent} */ (event).detail.kind === "map" && this.reload(), { signal });
    addEventListener("hashchange", () => address().path === "/map" && asked() !== this.asked && this.reload(), { signal });
  }

  leave() {
    this.gone.abort();
    this.plot.leave();
  }

  /** @param {State} before @param {State} now */
  follow(before, now) {
    if (!now.map || !now.images) return "refresh";
    if (now.jobs && before.clustering === now.clustering) return void (this.isBehind = true); // it goes on changing
    if (this.isBehind || ["clustering", "changes", "map_version", "images"].some((name) => before[/** @type {keyof State} */ (name)] !== now[/** @type {keyof State} */ (name)])) this.reload();
    else if (before.jobs && !now.jobs) this.placeNew();
  }

  /** Loads what has changed, one time after the other. */
  async reload() {
    if (this.isLoading) return void (this.isStale = true);
    this.isLoading = true;
    try {
      do {
        this.isStale = this.isBehind = false;
        await this.load();
      } while (this.isStale);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 0)) complain(error); // which says itself that it is down
    } finally {
      this.isLoading = false;
    }
  }

  async load() {
    this.asked = asked();
    const { query } = address();
    const isGrouped = current().clustering !== null;
    const [found, { levels }] = await Promise.all([positions(), isGrouped ? api.treeLevels() : { levels: [] }]);
    const wanted = query.get("by");
    this.by = wanted && found.colours.includes(wanted) ? wanted : found.colours.includes("cluster") ? "cluster" : "none";
    const groups = this.by === "cluster" ? groupsIn(query, levels) : "";
    const clusters = isGrouped ? await clustersOf(groups) : [];
    const most = this.plot.marks instanceof WebglMarks ? Infinity : MOST_ON_CANVAS;
    const n = Math.min(found.ids.length, most);
    const points = last?.of === found.of ? last.points : new Points(found.ids.slice(0, n), found.at.slice(0, 2 * n));
    last = { of: found.of, points };
    const coloured = this.by === "none" ? null : await values(this.by, groups);
    if (coloured && coloured.of !== found.of) return void (this.isStale = true, this.isLoading || this.reload()); // it was changed in between
    if (this.gone.signal.aborted) return;
    [this.clusters, this.levels, this.groups] = [clusters, levels, groups];
    const noise = clusters.find((cluster) => cluster.noise)?.cluster ?? null;
    const paint = new Paint(this.colours, coloured, n, noise);
    this.plot.show({ points, paint, outlines: coloured?.categories ? outlines(points, paint) : [], nameOf: (category) => this.nameOf(paint, category) });
    this.below.replaceChildren(...[legend(this.colours, paint, clusters)].filter((node) => node !== null));
    this.found = found;
    this.drawHead();
    this.placeNew();
  }

  drawHead() {
    const { found } = this;
    if (!found) return;
    const n = this.plot.points.n;
    const note = n < found.images ? `${number(n)} of ${count(found.images, "picture")}` : count(n, "picture");
    const isBehind = found.images > found.ids.length && !isReadOnly();
    this.head.replaceChildren(
      head(
        "Map",
        `${note}. Pictures that are alike lie together.`,
        colourChoice(found.colours, this.by, (by) => go(changed({ by: by === "cluster" ? null : by, level: null, cut: null }))),
        this.by === "cluster" && this.levels.length > 1
          ? groupsChoice(this.levels, this.groups, (groups) => go(changed({ level: null, cut: null, ...Object.fromEntries(new URLSearchParams(groups)) })))
          : null,
        isBehind ? button("Bring up to date", (event) => draw(/** @type {HTMLButtonElement} */ (event.currentTarget))) : null,
      ),
    );
  }

  /** Places new pictures by itself if they are few, once nothing else writes to the store. */
  placeNew() {
    const state = current();
    const missing = state.images - (this.found?.ids.length ?? 0);
    if (missing <= 0 || missing > FEW_NEW || state.jobs || isReadOnly() || placedFor === state.changes) return;
    placedFor = state.changes;
    start({ kind: "map" }).catch(complain);
  }

  /** @param {Paint} paint @param {number} category */
  nameOf(paint, category) {
    const known = paint.values?.categories?.[category];
    if (!known || known.cluster === null) return known?.name ?? "";
    return clusterName(this.clusters.find((one) => one.cluster === known.cluster) ?? { cluster: known.cluster, name: null });
  }

  /** What a point is coloured by, in words. @param {number} point */
  valueOf(point) {
    const { paint } = this.plot;
    const category = paint.categoryOf(point);
    if (category !== null) return this.nameOf(paint, category);
    const value = paint.numberOf(point);
    return value === null ? "" : `${called(this.by)}: ${valueText(this.by, value)}`;
  }

  /** @param {number} point @returns {Promise<Node[]>} */
  async tip(point) {
    const id = this.plot.points.ids[point];
    const image = element("img", { src: api.thumbnail(id), alt: "" });
    image.addEventListener("error", () => image.remove(), { once: true });
    const name = await this.nameOfPicture(id);
    return [image, element("strong", { dir: "auto" }, name), element("span", { class: "sub", dir: "auto" }, this.valueOf(point))];
  }

  /** @param {number} point */
  async said(point) {
    const value = this.valueOf(point);
    return `In the middle: ${await this.nameOfPicture(this.plot.points.ids[point])}${value ? `, ${value}` : ""}`;
  }

  /** @param {number} id */
  async nameOfPicture(id) {
    const image = await api.image(id).catch(() => null);
    return image ? baseName(image.paths[0]) : `@${id}`;
  }
}

/** What the address asks to colour by. */
const asked = () => ["by", "level", "cut"].map((name) => address().query.get(name) ?? "").join();

/** Which clusters of a tree an address asks for. @param {URLSearchParams} query @param {number[]} levels */
function groupsIn(query, levels) {
  if (!levels.length) return "";
  const [level, cut] = [numberIn(query, "level", levels.length), numberIn(query, "cut", levels[levels.length - 1])];
  if (cut) return `cut=${cut}`;
  return level && level < levels.length ? `level=${level}` : "";
}

/** @param {string} groups of a tree: level=1, say @returns {Promise<Cluster[]>} */
async function clustersOf(groups) {
  const [way, n] = groups.split("=");
  if (!groups) return api.clusters();
  const parts = way === "cut" ? await api.cut(Number(n)) : (await api.nodes({ level: Number(n) })).map((node) => ({ ...node, nodes: [node.cluster] }));
  return parts.map((part) => ({ ...part, cluster: part.nodes[0], name: cutName(part), suggested: null, noise: false }));
}

/** @param {HTMLButtonElement} pressed */
async function draw(pressed) {
  pressed.disabled = true;
  pressed.textContent = "Drawing…";
  try {
    await start({ kind: "map" });
  } catch (error) {
    pressed.disabled = false;
    complain(error);
  }
}

/** @param {() => unknown} refresh @returns {import("./index.js").View} */
function noMap(refresh) {
  const pressed = button("Draw the map", () => draw(pressed), { class: "primary" });
  const drawing = empty("No map yet", "A map puts pictures that are alike near each other. Drawing it takes up to a minute for some thousands.", isReadOnly() ? null : pressed);
  const gone = new AbortController();
  addEventListener("job-ended", (event) => /** @type {CustomEvent} */ (event).detail.kind === "map" && refresh(), { signal: gone.signal });
  return { nodes: [drawing], leave: () => gone.abort(), changed: (before, now) => (now.map && !before.map ? "refresh" : undefined) };
}
