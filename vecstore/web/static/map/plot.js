// The plot: what is seen of the map, and how it is moved, zoomed, pointed at and chosen from.

import { chosen } from "../chosen.js";
import { button, element } from "../dom.js";
import { address, changed, replace } from "../router.js";
import { CanvasMarks } from "./canvas.js";
import { insideOf, Overlay, THUMBNAIL_PX } from "./overlay.js";
import { Paint } from "./paint.js";
import { Points } from "./points.js";
import { WebglMarks } from "./webgl.js";

/** @typedef {import("../api.js").Palette} Palette
 * @typedef {import("./outlines.js").Outline} Outline
 * @typedef {{points: Points, paint: Paint, outlines: Outline[], nameOf: (category: number) => string}} Shown
 * @typedef {{tip: (point: number) => Promise<Node[]>, said: (point: number) => Promise<string>}} Words */

const MOST_ZOOM = 400;
const ADDRESS_MS = 300;
const TIP_MS = 60;
const SAID_MS = 500;
const [FRESH_MS, MOST_FRESH] = [5000, 200];
// Of a mark, in pixels: larger where fewer points are seen, and smaller where they are more.
const [RADIUS, LEAST_RADIUS, MOST_RADIUS, FEW, MANY] = [2.8, 1, 7, 2_000, 20_000];
// While the map moves, a frame that has to be waited for longer draws fewer points; all are drawn once it is still.
const [SLOW_MS, QUICK_MS, STILL_MS, LEAST_DRAWN] = [30, 18, 160, 20_000];

export class Plot {
  /** @param {Palette} colours @param {Words} words */
  constructor(colours, words) {
    this.colours = colours;
    this.words = words;
    this.zoom = 1;
    /** The middle of the view, from the middle of the map, in parts of it. */
    this.middle = [0, 0];
    this.goWhereTheAddressSays();
    this.width = 0;
    this.height = 0;
    this.ratio = 1;
    this.radius = RADIUS;
    this.points = new Points(new Uint32Array(0), new Float32Array(0));
    this.paint = new Paint(colours, null, 0, null);
    /** @type {Outline[]} */
    this.outlines = [];
    this.nameOf = (/** @type {number} */ category) => String(category);
    /** The point that is pointed at, or -1. */
    this.nearest = -1;
    /** Points that have just come. @type {number[]} */
    this.fresh = [];
    /** @type {Map<number, number[]>} */
    this.pointers = new Map();
    this.moved = 0;
    /** @type {number[][]|null} */
    this.lasso = null;
    this.isLasso = false;
    this.frame = 0;
    this.plannedAt = 0;
    this.timers = { address: 0, still: 0, tip: 0, said: 0, fresh: 0 };
    this.canvas = element("canvas", { tabindex: "0", role: "img" });
    this.marksCanvas = element("canvas", { class: "marks", "aria-hidden": "true" });
    this.marks = WebglMarks.on(this.marksCanvas, colours) ?? new CanvasMarks(this.marksCanvas, colours);
    this.status = element("p", { class: "visually-hidden", role: "status" });
    this.tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    const tool = (/** @type {string} */ text, /** @type {string} */ name, /** @type {() => unknown} */ run) => button(text, run, { "aria-label": name, title: name });
    this.lassoButton = tool("⬚", "Choose by drawing around pictures", () => this.setLasso(!this.isLasso));
    this.lassoButton.setAttribute("aria-pressed", "false");
    const tools = element("div", { class: "zoom" }, tool("+", "Zoom in", () => this.zoomBy(1.6)), tool("−", "Zoom out", () => this.zoomBy(1 / 1.6)), tool("⤢", "Show all", () => this.reset()), this.lassoButton);
    this.holder = element("div", { class: "map" }, this.canvas, this.marksCanvas, tools, this.tip, this.status);
    this.overlay = new Overlay(this);
    this.gone = new AbortController();
    this.listen();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.holder);
  }

  /** @param {Shown} shown */
  show({ points, paint, outlines, nameOf }) {
    const before = this.points;
    this.points = points;
    this.paint = paint;
    this.outlines = outlines;
    this.nameOf = nameOf;
    this.marks.show(points, paint);
    this.canvas.setAttribute("aria-label", `Map of ${points.n} pictures. Plus and minus zoom, arrow keys move it, 0 shows all of it, Enter opens the picture in the middle, Space chooses it.`);
    if (before !== points) {
      this.nearest = -1;
      this.tip.hidden = true;
      this.overlay.images.clear();
      if (before.n) this.showFresh(before);
    }
    this.overlay.forget();
    this.choose();
  }

  /** Rings what has come since. @param {Points} before */
  showFresh(before) {
    this.fresh = [];
    this.points.ids.forEach((id, point) => before.numberOf(id) < 0 && this.fresh.length < MOST_FRESH && this.fresh.push(point));
    clearTimeout(this.timers.fresh);
    this.timers.fresh = window.setTimeout(() => ((this.fresh = []), this.plan()), FRESH_MS);
  }

  /** @param {number} category @returns {[string, string]} */
  styleOf(category) {
    return this.paint.styles[this.paint.ofCategory[category]];
  }

  /** @param {number} point */
  isChosen(point) {
    return chosen.size() > 0 && chosen.has(this.points.ids[point]);
  }

  choose() {
    const numbers = chosen.size() ? Uint32Array.from(chosen.all(), (id) => this.points.numberOf(id) + 1).filter(Boolean) : new Uint32Array(0);
    this.marks.choose(numbers.map((number) => number - 1));
    this.plan();
  }

  goWhereTheAddressSays() {
    const { query } = address();
    this.zoom = Math.min(Math.max(Number(query.get("z")) || 1, 0.5), MOST_ZOOM);
    this.middle = [Number(query.get("x")) || 0, Number(query.get("y")) || 0];
  }

  leave() {
    if (this.timers.address) this.remember(); // for the map that is drawn in its place
    this.gone.abort();
    this.observer.disconnect();
    this.overlay.leave();
    cancelAnimationFrame(this.frame);
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.marks.leave();
  }

  listen() {
    const { canvas } = this;
    const { signal } = this.gone;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plan(), { signal });
    chosen.addEventListener("changed", () => this.choose(), { signal });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0016), [event.offsetX, event.offsetY]);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = this.pointers.size === 1 ? 0 : Infinity; // two fingers open nothing
      if (this.pointers.size === 1 && (this.isLasso || event.shiftKey)) this.lasso = [[event.offsetX, event.offsetY]];
      else this.lasso = null;
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of /** @type {("pointerup"|"pointercancel")[]} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => {
        const was = this.pointers.delete(event.pointerId);
        if (this.lasso && this.moved >= 5) this.chooseInside(this.lasso);
        else if (name === "pointerup" && was && this.moved < 5) this.open([event.offsetX, event.offsetY], 24);
        this.lasso = null;
        this.plan();
      });
    }
    canvas.addEventListener("pointerleave", () => this.point(-1));
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
    if (!before) return this.point(this.nearestTo(at, 24), at);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    this.moved += Math.abs(dx) + Math.abs(dy);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (this.lasso && !other) {
      this.lasso.push(at);
      this.plan();
    } else if (other) {
      const apart = (/** @type {number[]} */ a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
      const middle = (/** @type {number[]} */ a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
      this.moveBy(dx / 2, dy / 2);
      this.zoomBy(apart(at) / apart(before), middle(at));
    } else {
      this.moveBy(dx, dy);
      this.point(-1);
    }
    this.pointers.set(event.pointerId, at);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const middle = () => this.nearestTo([this.width / 2, this.height / 2], Infinity);
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
      Escape: () => (this.lasso ? ((this.lasso = null), this.plan()) : this.isLasso && this.setLasso(false)),
    };
    const run = keys[event.key];
    if (event.key === "Enter") this.open([this.width / 2, this.height / 2], Infinity);
    else if (event.key === " ") {
      const point = middle();
      if (point >= 0) chosen.toggle(this.points.ids[point]);
    } else if (run && (event.key !== "Escape" || this.lasso || this.isLasso)) run();
    else return;
    event.preventDefault();
    if (event.key === "Escape") event.stopPropagation();
    else if (event.key !== "Enter") this.say(middle());
  }

  /** Shows which picture is in the middle, and says so once the keys are still. @param {number} point */
  say(point) {
    this.point(point, point < 0 ? undefined : this.place(point));
    clearTimeout(this.timers.said);
    this.timers.said = window.setTimeout(async () => {
      const isAll = this.zoom === 1 && !this.middle[0] && !this.middle[1];
      const inView = isAll ? this.points.n : this.points.countIn(this.seen);
      const text = point < 0 ? "" : await this.words.said(point);
      this.status.textContent = `${inView.toLocaleString("en")} pictures in view. ${text}`;
    }, SAID_MS);
  }

  reset() {
    [this.zoom, this.middle] = [1, [0, 0]];
    this.plan();
  }

  /** How many pixels the map is across and down. The two directions mean nothing by themselves, so each fills its side.
   * @returns {[number, number]} */
  get scale() {
    return [(this.width - 3 * THUMBNAIL_PX) * this.zoom, (this.height - 2 * THUMBNAIL_PX) * this.zoom];
  }

  /** The part of the map that is seen. @returns {import("./points.js").Part} */
  get seen() {
    const [across, down] = this.scale;
    const [dx, dy] = [this.width / 2 / across, this.height / 2 / down];
    return { left: this.middle[0] - dx, top: this.middle[1] - dy, right: this.middle[0] + dx, bottom: this.middle[1] + dy };
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

  /** Where a place of the map is on the canvas. @param {number} x @param {number} y @returns {[number, number]} */
  onCanvas(x, y) {
    const [across, down] = this.scale;
    return [this.width / 2 + (x - this.middle[0]) * across, this.height / 2 + (y - this.middle[1]) * down];
  }

  /** Where a point is on the canvas. @param {number} point @returns {[number, number]} */
  place(point) {
    return this.onCanvas(this.points.at[2 * point], this.points.at[2 * point + 1]);
  }

  /** The number of the point nearest to a place on the canvas, or -1. @param {number[]} at @param {number} within */
  nearestTo(at, within) {
    const [across, down] = this.scale;
    const x = this.middle[0] + (at[0] - this.width / 2) / across;
    const y = this.middle[1] + (at[1] - this.height / 2) / down;
    return this.points.nearest(x, y, [across, down], within);
  }

  /** @param {number[]} at @param {number} within */
  open(at, within) {
    const point = this.nearestTo(at, within);
    if (point < 0) return;
    const id = this.points.ids[point];
    if (chosen.size()) chosen.toggle(id);
    else dispatchEvent(new CustomEvent("picture-wanted", { detail: id }));
  }

  /** @param {number[][]} path */
  chooseInside(path) {
    const isInside = insideOf(path, this.width, this.height);
    const ids = [...this.points.in(this.seen)].filter((point) => isInside(...this.place(point))).map((point) => this.points.ids[point]);
    chosen.set(ids);
    this.status.textContent = `${ids.length.toLocaleString("en")} pictures chosen`;
    this.setLasso(false);
  }

  /** Points at a picture, or at none. @param {number} point @param {number[]} [at] */
  point(point, at) {
    this.canvas.style.cursor = point < 0 ? "" : "pointer";
    if (point !== this.nearest) {
      this.nearest = point;
      clearTimeout(this.timers.tip);
      if (point >= 0) {
        this.tip.replaceChildren();
        this.timers.tip = window.setTimeout(async () => {
          const nodes = await this.words.tip(point);
          if (this.nearest !== point) return;
          this.tip.replaceChildren(...nodes);
          this.tip.hidden = false;
          if (at) this.placeTip(at);
        }, TIP_MS);
      }
      this.plan();
    }
    if (point < 0 || !this.tip.childElementCount) this.tip.hidden = true;
    else if (at) this.placeTip(at);
  }

  /** @param {number[]} at */
  placeTip(at) {
    const [wide, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
    this.tip.style.left = `${Math.min(Math.max(at[0] + 16, 4), this.width - wide - 4)}px`;
    this.tip.style.top = `${at[1] + 16 + tall > this.height ? Math.max(at[1] - tall - 12, 4) : at[1] + 16}px`;
  }

  resize() {
    [this.width, this.height] = [this.holder.clientWidth, this.holder.clientHeight];
    this.ratio = devicePixelRatio || 1;
    this.overlay.forget();
    this.plan();
  }

  /** Draws once before the next frame, however often it is asked to. */
  plan() {
    if (this.frame) return;
    this.plannedAt = performance.now();
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.adapt(performance.now() - this.plannedAt);
      this.draw();
    });
    clearTimeout(this.timers.address);
    this.timers.address = window.setTimeout(() => ((this.timers.address = 0), this.remember()), ADDRESS_MS);
  }

  /** Draws fewer points while frames come too slowly, and all of them once nothing moves. @param {number} waited */
  adapt(waited) {
    const { n } = this.points;
    if (waited > SLOW_MS) this.marks.most = Math.max(Math.min(this.marks.most, n) * 0.6, LEAST_DRAWN);
    else if (waited < QUICK_MS) this.marks.most *= 1.15;
    clearTimeout(this.timers.still);
    if (this.marks.most < n) {
      this.timers.still = window.setTimeout(() => {
        const most = this.marks.most;
        this.marks.most = Infinity;
        this.draw();
        this.marks.most = most; // where it moves again
      }, STILL_MS);
    }
  }

  remember() {
    if (!this.holder.isConnected || address().path !== "/map") return;
    const isAll = this.zoom === 1 && !this.middle[0] && !this.middle[1];
    const [z, x, y] = [this.zoom, ...this.middle].map((value) => String(Number(value.toPrecision(5))));
    replace(isAll ? changed({ z: null, x: null, y: null }) : changed({ z, x, y }));
  }

  draw() {
    if (!this.points.n || !this.width || !this.holder.isConnected) return;
    const began = performance.now();
    const [across, down] = this.scale;
    const inView = Math.max(this.points.countIn(this.seen), 1);
    const factor = Math.min(MANY / inView, 1) ** 0.25 * Math.max(FEW / inView, 1) ** 0.25;
    this.radius = Math.round(2 * Math.min(Math.max(RADIUS * factor, LEAST_RADIUS), MOST_RADIUS)) / 2;
    const { middle, width, height, ratio, radius } = this;
    const accent = getComputedStyle(this.holder).getPropertyValue("--accent");
    const alpha = inView > 5000 ? 0.65 : 0.95;
    this.marks.draw({ across, down, middle, width, height, ratio, radius, alpha, accent });
    this.overlay.draw();
    /** Milliseconds that the last drawing took this thread, for the benchmark. */
    this.holder.dataset.ms = (performance.now() - began).toFixed(2);
  }
}
