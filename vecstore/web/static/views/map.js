// The map: every picture a mark near those it is like. Wheel, pinch, drag, buttons or keys zoom and move it; a lasso
// chooses. Where it is, is part of the address, so that Back leads to the very place.

import { api } from "../api.js";
import { chosen } from "../chosen.js";
import { baseName, button, clusterName, count, element, empty, head, number } from "../dom.js";
import { start } from "../jobs.js";
import { current, isReadOnly } from "../live.js";
import { mark, palette, style, trace } from "../palette.js";
import { address, changed, href, replace } from "../router.js";
import { complain } from "../toasts.js";

/** @typedef {import("../api.js").MapPoint} MapPoint @typedef {import("../api.js").Palette} Palette */
/** @typedef {[point: MapPoint, x: number, y: number]} Placed */

const THUMBNAIL_PX = 48;
const MOST_THUMBNAILS = 160;
// Few pictures may lie on each other like prints on a table; of many, most are marks, and their thumbnails keep apart.
const FEW = 300;
const [FEW_APART, MANY_APART] = [0.4, 1.5];
const MOST_ZOOM = 400;
const MOST_LABELS = 40;
const ADDRESS_MS = 300;

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showMap({ refresh }) {
  const state = current();
  if (!state.images) return { nodes: [empty("No pictures yet", "There is nothing to draw a map of.")], changed: (before, now) => (now.images ? "refresh" : undefined) };
  if (!state.map) return noMap(refresh);
  const [found, colours, clusters] = await Promise.all([api.map(), palette(), state.clustering === null ? [] : api.clusters()]);
  const note =
    found.points.length < found.images
      ? `${number(found.points.length)} of ${count(found.images, "picture")}`
      : count(found.points.length, "picture");
  const plot = new Plot(found.points, colours, clusters);
  const missing = state.images - found.points.length;
  const update = missing > 0 && !found.sampled ? true : missing > 0 && found.points.length < 20_000;
  const left = whenDrawn(refresh);
  return {
    nodes: [
      head(
        "Map",
        `${note}. Pictures that are alike lie together.`,
        update && !isReadOnly() ? button("Bring up to date", (event) => draw(/** @type {HTMLButtonElement} */ (event.currentTarget))) : null,
      ),
      plot.holder,
      legend(clusters, colours),
    ],
    leave: () => {
      left();
      plot.leave();
    },
    changed: (before, now) => (before.clustering !== now.clustering || before.changes !== now.changes || before.map !== now.map ? "refresh" : undefined),
  };
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

/** Makes the view anew when a map was drawn. @param {() => unknown} refresh @returns {() => void} */
function whenDrawn(refresh) {
  const ended = (/** @type {Event} */ event) => {
    const job = /** @type {CustomEvent} */ (event).detail;
    if (job.kind === "map") refresh();
  };
  addEventListener("job-ended", ended);
  return () => removeEventListener("job-ended", ended);
}

/** @param {() => unknown} refresh @returns {import("./index.js").View} */
function noMap(refresh) {
  const pressed = button("Draw the map", () => draw(pressed), { class: "primary" });
  const drawing = empty("No map yet", "A map puts pictures that are alike near each other. Drawing it takes up to a minute for some thousands.", isReadOnly() ? null : pressed);
  return { nodes: [drawing], leave: whenDrawn(refresh), changed: (before, now) => (now.map ? "refresh" : undefined) };
}

/** @param {import("../api.js").Cluster[]} clusters @param {Palette} colours */
function legend(clusters, colours) {
  if (!clusters.length) return null;
  return element(
    "ul",
    { class: "legend", "aria-label": "Clusters" },
    clusters.map((cluster) =>
      element("li", {}, element("a", { href: href(`/cluster/${cluster.cluster}`) }, mark(colours, cluster.noise ? null : cluster.cluster), element("bdi", {}, clusterName(cluster)), element("span", { class: "sub" }, number(cluster.size)))),
    ),
  );
}

class Plot {
  /** @param {MapPoint[]} points @param {Palette} colours @param {import("../api.js").Cluster[]} clusters */
  constructor(points, colours, clusters) {
    this.points = points;
    this.colours = colours;
    /** What is in no cluster is grey. */
    this.noise = clusters.find((cluster) => cluster.noise)?.cluster ?? null;
    this.names = new Map(clusters.map((cluster) => [cluster.cluster, clusterName(cluster)]));
    const [left, right] = extent(points.map((point) => point.x));
    const [top, bottom] = extent(points.map((point) => point.y));
    this.centre = [(left + right) / 2, (top + bottom) / 2];
    this.span = [right - left || 1, bottom - top || 1];
    this.labels = labelPlaces(points, clusters);
    const { query } = address();
    this.zoom = Math.min(Math.max(Number(query.get("z")) || 1, 0.5), MOST_ZOOM);
    /** The middle of the view, from the middle of the map, in parts of it. */
    this.middle = [Number(query.get("x")) || 0, Number(query.get("y")) || 0];
    this.width = 0;
    this.height = 0;
    this.ratio = 1;
    /** @type {Map<number, HTMLImageElement>} */
    this.images = new Map();
    /** @type {Map<string, HTMLCanvasElement>} */
    this.sprites = new Map();
    /** @type {MapPoint|null} */
    this.nearest = null;
    /** @type {Map<number, number[]>} */
    this.pointers = new Map();
    this.moved = 0;
    /** @type {number[][]|null} */
    this.lasso = null;
    this.isPlanned = false;
    this.timer = 0;
    const label = `Map of ${points.length} pictures. Plus and minus zoom, arrow keys move it, 0 shows all of it, Enter opens the picture in the middle.`;
    this.canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": label });
    this.tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    const tool = (/** @type {string} */ text, /** @type {string} */ name, /** @type {() => unknown} */ run) => button(text, run, { "aria-label": name, title: name });
    this.lassoButton = tool("⬚", "Choose by drawing around pictures", () => this.setLasso(!this.isLasso));
    this.lassoButton.setAttribute("aria-pressed", "false");
    this.isLasso = false;
    const tools = element("div", { class: "zoom" }, tool("+", "Zoom in", () => this.zoomBy(1.6)), tool("−", "Zoom out", () => this.zoomBy(1 / 1.6)), tool("⤢", "Show all", () => this.reset()), this.lassoButton);
    this.holder = element("div", { class: "map" }, this.canvas, tools, this.tip);
    this.gone = new AbortController();
    this.listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.holder);
  }

  leave() {
    this.gone.abort();
    this.observer.disconnect();
    clearTimeout(this.timer);
  }

  listen() {
    const { canvas } = this;
    const { signal } = this.gone;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plan(), { signal });
    chosen.addEventListener("changed", () => this.plan(), { signal });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0016), [event.offsetX, event.offsetY]);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = 0;
      if (this.pointers.size === 1 && (this.isLasso || event.shiftKey)) this.lasso = [[event.offsetX, event.offsetY]];
      else this.lasso = null;
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of /** @type {("pointerup"|"pointercancel")[]} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => {
        const was = this.pointers.delete(event.pointerId);
        if (this.lasso && this.moved >= 5) this.chooseInside();
        else if (name === "pointerup" && was && this.moved < 5) this.open([event.offsetX, event.offsetY]);
        this.lasso = null;
        this.plan();
      });
    }
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {boolean} wanted */
  setLasso(wanted) {
    this.isLasso = wanted;
    this.lassoButton.setAttribute("aria-pressed", String(wanted));
    this.canvas.classList.toggle("lasso", wanted);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const at = [event.offsetX, event.offsetY];
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.point(this.nearestTo(at), at);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    this.moved += Math.abs(dx) + Math.abs(dy);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (this.lasso && !other) {
      this.lasso.push(at);
      this.plan();
    } else if (other) {
      const apart = (/** @type {number[]} */ a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
      this.zoomBy(apart(at) / apart(before), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
    } else {
      this.moveBy(dx, dy);
      this.point(null);
    }
    this.pointers.set(event.pointerId, at);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ArrowLeft: () => this.moveBy(60, 0),
      ArrowRight: () => this.moveBy(-60, 0),
      ArrowUp: () => this.moveBy(0, 60),
      ArrowDown: () => this.moveBy(0, -60),
      "+": () => this.zoomBy(1.4),
      "=": () => this.zoomBy(1.4),
      "-": () => this.zoomBy(1 / 1.4),
      0: () => this.reset(),
      Home: () => this.reset(),
      Enter: () => this.open([this.width / 2, this.height / 2], Infinity),
      " ": () => {
        const point = this.nearestTo([this.width / 2, this.height / 2], Infinity);
        if (point) chosen.toggle(point.id);
      },
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  reset() {
    [this.zoom, this.middle] = [1, [0, 0]];
    this.plan();
  }

  /** How many pixels the map is across and down. The two directions mean nothing by themselves, so each fills its side. */
  get scale() {
    return [(this.width - 3 * THUMBNAIL_PX) * this.zoom, (this.height - 2 * THUMBNAIL_PX) * this.zoom];
  }

  /** @param {number} dx @param {number} dy */
  moveBy(dx, dy) {
    const [across, down] = this.scale;
    this.middle = [this.middle[0] - dx / across, this.middle[1] - dy / down];
    this.plan();
  }

  /** @param {number} factor @param {number[]} [at] */
  zoomBy(factor, at = [this.width / 2, this.height / 2]) {
    const from = [at[0] - this.width / 2, at[1] - this.height / 2];
    const before = this.scale;
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.5), MOST_ZOOM);
    const after = this.scale;
    this.middle = this.middle.map((middle, axis) => middle + from[axis] / before[axis] - from[axis] / after[axis]);
    this.plan();
  }

  /** Where a point is on the canvas. @param {{x: number, y: number}} point @returns {[number, number]} */
  place(point) {
    const [across, down] = this.scale;
    return [
      this.width / 2 + ((point.x - this.centre[0]) / this.span[0] - this.middle[0]) * across,
      this.height / 2 + (-(point.y - this.centre[1]) / this.span[1] - this.middle[1]) * down,
    ];
  }

  /** @param {number[]} at @param {number} [within] */
  nearestTo(at, within = 24) {
    let best = null;
    let least = within * within;
    for (const point of this.points) {
      const [x, y] = this.place(point);
      const far = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  /** @param {number[]} at @param {number} [within] */
  open(at, within = 24) {
    const point = this.nearestTo(at, within);
    if (!point) return;
    if (chosen.size()) chosen.toggle(point.id);
    else dispatchEvent(new CustomEvent("picture-wanted", { detail: point.id }));
  }

  chooseInside() {
    const path = new Path2D();
    (this.lasso ?? []).forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const inside = this.points.filter((point) => context.isPointInPath(path, ...this.place(point)));
    context.restore();
    chosen.set(inside.map((point) => point.id));
    this.setLasso(false);
  }

  /** @param {MapPoint|null} point @param {number[]} [at] */
  point(point, at) {
    this.canvas.style.cursor = point ? "pointer" : "";
    if (point !== this.nearest) {
      this.nearest = point;
      if (point) {
        const cluster = point.cluster === null ? undefined : this.names.get(point.cluster);
        const image = element("img", { src: api.thumbnail(point.id), alt: "" });
        image.addEventListener("error", () => image.remove(), { once: true });
        this.tip.replaceChildren(image, element("strong", { dir: "auto" }, baseName(point.path)), cluster ? element("span", { class: "sub", dir: "auto" }, cluster) : "");
      }
      this.plan();
    }
    this.tip.hidden = !point;
    if (point && at) {
      const [wide, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
      this.tip.style.left = `${Math.min(Math.max(at[0] + 16, 4), this.width - wide - 4)}px`;
      this.tip.style.top = `${at[1] + 16 + tall > this.height ? Math.max(at[1] - tall - 12, 4) : at[1] + 16}px`;
    }
  }

  resize() {
    this.width = this.holder.clientWidth;
    this.height = this.holder.clientHeight;
    this.ratio = devicePixelRatio || 1;
    this.canvas.width = this.width * this.ratio;
    this.canvas.height = this.height * this.ratio;
    this.canvas.getContext("2d")?.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.sprites.clear();
    this.plan();
  }

  /** Draws once before the next frame, however often it is asked to. */
  plan() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.draw();
    });
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.remember(), ADDRESS_MS);
  }

  remember() {
    if (address().path !== "/map") return;
    const isAll = this.zoom === 1 && !this.middle[0] && !this.middle[1];
    const [z, x, y] = [this.zoom, ...this.middle].map((value) => String(Number(value.toPrecision(5))));
    replace(isAll ? changed({ z: null, x: null, y: null }) : changed({ z, x, y }));
  }

  draw() {
    const context = this.canvas.getContext("2d");
    if (!context || !this.width || !this.holder.isConnected) return;
    const { width, height } = this;
    context.clearRect(0, 0, width, height);
    /** @type {Placed[]} */
    const inside = [];
    for (const point of this.points) {
      const [x, y] = this.place(point);
      if (x > -THUMBNAIL_PX && y > -THUMBNAIL_PX && x < width + THUMBNAIL_PX && y < height + THUMBNAIL_PX) inside.push([point, x, y]);
    }
    const radius = Math.round(Math.min(Math.max(2.8 * Math.sqrt(this.zoom), 2.8), 7));
    context.globalAlpha = inside.length > 5000 ? 0.65 : 0.95;
    for (const [point, x, y] of inside) {
      const sprite = this.sprite(point.cluster, radius);
      const side = radius * 2 + 2;
      context.drawImage(sprite, x - side / 2, y - side / 2, side, side);
    }
    context.globalAlpha = 1;
    for (const placed of thinned(inside)) this.drawThumbnail(context, ...placed);
    const ink = getComputedStyle(this.holder).color;
    if (chosen.size()) {
      for (const [point, x, y] of inside) if (chosen.has(point.id)) this.ring(context, x, y, radius + 2, getComputedStyle(this.holder).getPropertyValue("--accent"), 3);
    }
    this.drawLabels(context, ink);
    const near = this.nearest && inside.find(([point]) => point === this.nearest);
    if (near) this.ring(context, near[1], near[2], radius + 4, ink, 2.5);
    if (this.lasso) this.drawLasso(context, ink);
  }

  /** A mark, drawn once for all pictures of a cluster. @param {number|null} cluster @param {number} radius */
  sprite(cluster, radius) {
    const key = `${cluster}/${radius}`;
    let made = this.sprites.get(key);
    if (!made) {
      const side = (radius * 2 + 2) * this.ratio;
      made = element("canvas", { width: side, height: side });
      const context = made.getContext("2d");
      const [colour, shape] = style(this.colours, cluster !== null && cluster !== this.noise && this.names.has(cluster) ? cluster : null);
      if (context) {
        context.fillStyle = colour;
        trace(this.colours, context, shape, side / 2, side / 2, radius * this.ratio);
        context.fill();
      }
      this.sprites.set(key, made);
    }
    return made;
  }

  /** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} radius @param {string} colour @param {number} width */
  ring(context, x, y, radius, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  /** @param {CanvasRenderingContext2D} context @param {string} ink */
  drawLabels(context, ink) {
    const paper = getComputedStyle(this.holder).getPropertyValue("--surface");
    context.font = `600 13px ${getComputedStyle(this.holder).fontFamily}`;
    context.textBaseline = "middle";
    /** @type {number[][]} */
    const taken = [];
    for (const { cluster, name, x: px, y: py } of this.labels) {
      const [x, y] = this.place({ x: px, y: py });
      if (x < 0 || y < 0 || x > this.width || y > this.height) continue;
      const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
      const wide = context.measureText(text).width + 32;
      const box = [Math.min(Math.max(x - wide / 2, 4), this.width - wide - 4), Math.min(Math.max(y - 12, 4), this.height - 28), wide, 24];
      if (taken.some((other) => box[0] < other[0] + other[2] && other[0] < box[0] + box[2] && box[1] < other[1] + other[3] && other[1] < box[1] + box[3])) continue;
      taken.push(box);
      const [colour, shape] = style(this.colours, cluster === this.noise ? null : cluster);
      context.globalAlpha = 0.92;
      context.fillStyle = paper;
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.beginPath();
      context.roundRect(box[0], box[1], box[2], box[3], 12);
      context.fill();
      context.globalAlpha = 1;
      context.stroke();
      context.fillStyle = colour;
      trace(this.colours, context, shape, box[0] + 14, box[1] + 12, 5.5);
      context.fill();
      context.fillStyle = ink;
      context.fillText(text, box[0] + 24, box[1] + 13);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {string} ink */
  drawLasso(context, ink) {
    context.beginPath();
    (this.lasso ?? []).forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = ink;
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash([5, 4]);
    context.strokeStyle = ink;
    context.lineWidth = 1.5;
    context.stroke();
    context.setLineDash([]);
  }

  /** @param {CanvasRenderingContext2D} context @param {MapPoint} point @param {number} x @param {number} y */
  drawThumbnail(context, point, x, y) {
    let image = this.images.get(point.id);
    if (!image) {
      image = new Image();
      image.onload = () => this.plan();
      image.src = api.thumbnail(point.id);
      this.images.set(point.id, image);
    }
    if (!image.complete || !image.naturalWidth) return;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [sx, sy] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
    const half = THUMBNAIL_PX / 2;
    const [colour, shape] = style(this.colours, point.cluster !== null && point.cluster !== this.noise && this.names.has(point.cluster) ? point.cluster : null);
    context.fillStyle = colour;
    context.fillRect(x - half - 2, y - half - 2, THUMBNAIL_PX + 4, THUMBNAIL_PX + 4);
    context.drawImage(image, sx, sy, side, side, x - half, y - half, THUMBNAIL_PX, THUMBNAIL_PX);
    if (shape !== "circle") {
      trace(this.colours, context, shape, x - half + 3, y - half + 3, 6);
      context.fill();
    }
  }
}

/** Where the names of the largest clusters stand: each on that of its pictures which is nearest to their middle.
 * @param {MapPoint[]} points @param {import("../api.js").Cluster[]} clusters */
function labelPlaces(points, clusters) {
  /** @type {Map<number, MapPoint[]>} */
  const members = new Map();
  for (const point of points) {
    if (point.cluster === null) continue;
    const own = members.get(point.cluster);
    if (own) own.push(point);
    else members.set(point.cluster, [point]);
  }
  return clusters
    .filter((cluster) => members.has(cluster.cluster))
    .slice(0, MOST_LABELS)
    .map((cluster) => {
      const own = members.get(cluster.cluster) ?? [];
      const [mx, my] = [own.reduce((sum, point) => sum + point.x, 0) / own.length, own.reduce((sum, point) => sum + point.y, 0) / own.length];
      const far = (/** @type {MapPoint} */ point) => (point.x - mx) ** 2 + (point.y - my) ** 2;
      const { x, y } = own.reduce((best, point) => (far(point) < far(best) ? point : best));
      return { cluster: cluster.cluster, name: clusterName(cluster), x, y };
    });
}

/** The points whose pictures are drawn: the same ones as long as they are seen. @param {Placed[]} inside */
function thinned(inside) {
  const apart = THUMBNAIL_PX * (inside.length > FEW ? MANY_APART : FEW_APART);
  /** @type {Map<string, Placed>} */
  const taken = new Map();
  const kept = [];
  const cell = (/** @type {number} */ x, /** @type {number} */ y) => `${Math.floor(x / apart)},${Math.floor(y / apart)}`;
  for (const found of inside) {
    const [, x, y] = found;
    const near = [-apart, 0, apart].flatMap((dx) => [-apart, 0, apart].map((dy) => taken.get(cell(x + dx, y + dy))));
    if (near.some((other) => other && Math.abs(other[1] - x) < apart && Math.abs(other[2] - y) < apart)) continue;
    taken.set(cell(x, y), found);
    kept.push(found);
    if (kept.length === MOST_THUMBNAILS) break;
  }
  return kept;
}

/** @param {number[]} values */
function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}
