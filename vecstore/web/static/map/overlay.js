// What lies over the points: outlines and names of groups, thumbnails when near, rings, and the lasso.

import { api } from "../api.js";
import { trace } from "../palette.js";

/** @typedef {import("./plot.js").Plot} Plot */

export const THUMBNAIL_PX = 48;
const MOST_THUMBNAILS = 160;
// Thumbnails that are kept for when one comes back to a place.
const MOST_KEPT = 1000;
// Few pictures may lie on each other like prints on a table; of many, most are marks, and their thumbnails keep apart.
// Of more than these together, none is shown: it would stand for too many.
const FEW = 300;
const [FEW_APART, MANY_APART] = [0.4, 1.5];
const NEAR = 20_000;
// While one moves, thumbnails are chosen no more often than this.
const CHOOSE_MS = 120;
const LABEL_LETTERS = 28;

export class Overlay {
  /** @param {Plot} plot */
  constructor(plot) {
    this.plot = plot;
    /** @type {Map<number, HTMLImageElement>} */
    this.images = new Map();
    /** Points whose thumbnails are shown. @type {number[]} */
    this.framed = [];
    this.chosenAt = 0;
    this.timer = 0;
  }

  /** Lets thumbnails be chosen anew at the next drawing. */
  forget() {
    this.chosenAt = 0;
  }

  draw() {
    const { plot } = this;
    const { canvas, width, height, ratio } = plot;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const shown = getComputedStyle(plot.holder);
    const [ink, paper, accent] = [shown.color, shown.getPropertyValue("--surface"), shown.getPropertyValue("--accent")];
    this.drawOutlines(context);
    this.chooseThumbnails();
    for (const point of this.framed) this.drawThumbnail(context, point, accent);
    this.drawLabels(context, ink, paper, shown.fontFamily);
    for (const point of plot.fresh) this.ring(context, point, accent);
    if (plot.nearest >= 0) this.ring(context, plot.nearest, ink);
    if (plot.lasso) this.drawLasso(context, ink);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} point @param {string} colour */
  ring(context, point, colour) {
    const [x, y] = this.plot.place(point);
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, this.plot.radius + 4, 0, 2 * Math.PI);
    context.stroke();
  }

  /** @param {CanvasRenderingContext2D} context */
  drawOutlines(context) {
    const { plot } = this;
    const [across, down] = plot.scale;
    const { left, top, right, bottom } = plot.seen;
    context.lineWidth = 1.5;
    context.globalAlpha = 0.75;
    for (const { category, lines } of plot.outlines) {
      context.strokeStyle = plot.styleOf(category)[0];
      context.beginPath();
      for (let i = 0; i < lines.length; i += 4) {
        if (Math.max(lines[i], lines[i + 2]) < left || Math.min(lines[i], lines[i + 2]) > right) continue;
        if (Math.max(lines[i + 1], lines[i + 3]) < top || Math.min(lines[i + 1], lines[i + 3]) > bottom) continue;
        context.moveTo(plot.width / 2 + (lines[i] - plot.middle[0]) * across, plot.height / 2 + (lines[i + 1] - plot.middle[1]) * down);
        context.lineTo(plot.width / 2 + (lines[i + 2] - plot.middle[0]) * across, plot.height / 2 + (lines[i + 3] - plot.middle[1]) * down);
      }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} context @param {string} ink @param {string} paper @param {string} family */
  drawLabels(context, ink, paper, family) {
    const { plot } = this;
    context.font = `600 13px ${family}`;
    context.textBaseline = "middle";
    /** @type {number[][]} */
    const taken = [];
    for (const { category, x: px, y: py } of plot.outlines) {
      const [x, y] = plot.onCanvas(px, py);
      if (x < 0 || y < 0 || x > plot.width || y > plot.height) continue;
      const name = plot.nameOf(category);
      const text = name.length > LABEL_LETTERS ? `${name.slice(0, LABEL_LETTERS - 1)}…` : name;
      const wide = context.measureText(text).width + 32;
      const box = [Math.min(Math.max(x - wide / 2, 4), plot.width - wide - 4), Math.min(Math.max(y - 12, 4), plot.height - 28), wide, 24];
      if (taken.some((other) => box[0] < other[0] + other[2] && other[0] < box[0] + box[2] && box[1] < other[1] + other[3] && other[1] < box[1] + box[3])) continue;
      taken.push(box);
      const [colour, shape] = plot.styleOf(category);
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
      trace(plot.colours, context, shape, box[0] + 14, box[1] + 12, 5.5);
      context.fill();
      context.fillStyle = ink;
      context.fillText(text, box[0] + 24, box[1] + 13);
    }
  }

  /** Chooses the points whose pictures are drawn: the same ones as long as they are seen, and none of a crowd. */
  chooseThumbnails() {
    const { plot } = this;
    const wait = this.chosenAt + CHOOSE_MS - performance.now();
    if (wait > 0) {
      if (!this.timer) this.timer = window.setTimeout(() => ((this.timer = 0), plot.plan()), wait);
      return;
    }
    this.chosenAt = performance.now();
    const [across, down] = plot.scale;
    const [dx, dy] = [THUMBNAIL_PX / across, THUMBNAIL_PX / down];
    const { left, top, right, bottom } = plot.seen;
    const part = { left: left - dx, top: top - dy, right: right + dx, bottom: bottom + dy };
    this.framed = plot.points.countIn(part) > NEAR ? [] : thinned(plot.points.in(part), (point) => plot.place(point));
  }

  /** @param {number} point */
  imageOf(point) {
    let image = this.images.get(point);
    if (image) this.images.delete(point); // and put behind those that were not asked for since
    else {
      image = new Image();
      image.onload = () => this.plot.plan();
      image.src = api.thumbnail(this.plot.points.ids[point]);
    }
    this.images.set(point, image);
    if (this.images.size > MOST_KEPT) this.images.delete(/** @type {number} */ (this.images.keys().next().value));
    return image;
  }

  /** @param {CanvasRenderingContext2D} context @param {number} point @param {string} accent */
  drawThumbnail(context, point, accent) {
    const { plot } = this;
    const image = this.imageOf(point);
    if (!image.complete || !image.naturalWidth) return;
    const [x, y] = plot.place(point);
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [sx, sy] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
    const half = THUMBNAIL_PX / 2;
    const [colour, shape] = plot.paint.styles[plot.paint.ofPoints[point]];
    const rim = plot.isChosen(point) ? 4 : 2;
    context.fillStyle = plot.isChosen(point) ? accent : colour;
    context.fillRect(x - half - rim, y - half - rim, THUMBNAIL_PX + 2 * rim, THUMBNAIL_PX + 2 * rim);
    context.drawImage(image, sx, sy, side, side, x - half, y - half, THUMBNAIL_PX, THUMBNAIL_PX);
    if (shape === "circle") return;
    context.fillStyle = colour;
    trace(plot.colours, context, shape, x - half + 3, y - half + 3, 6);
    context.fill();
  }

  /** @param {CanvasRenderingContext2D} context @param {string} ink */
  drawLasso(context, ink) {
    context.beginPath();
    (this.plot.lasso ?? []).forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
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

  leave() {
    clearTimeout(this.timer);
  }
}

/** Those of the points, the first first, that keep apart. @param {Uint32Array} inside @param {(point: number) => number[]} place */
function thinned(inside, place) {
  const apart = THUMBNAIL_PX * (inside.length > FEW ? MANY_APART : FEW_APART);
  /** @type {Map<string, number[]>} */
  const taken = new Map();
  const kept = [];
  for (const point of inside) {
    const [x, y] = place(point);
    const [column, row] = [Math.floor(x / apart), Math.floor(y / apart)];
    const near = [-1, 0, 1].flatMap((dx) => [-1, 0, 1].map((dy) => taken.get(`${column + dx},${row + dy}`)));
    if (near.some((other) => other && Math.abs(other[0] - x) < apart && Math.abs(other[1] - y) < apart)) continue;
    taken.set(`${column},${row}`, [x, y]);
    kept.push(point);
    if (kept.length === MOST_THUMBNAILS) break;
  }
  return kept;
}

/** Which of the points lie inside a path on the canvas: it is filled once, and each point looks up its pixel.
 * @param {number[][]} path @param {number} width @param {number} height @returns {(x: number, y: number) => boolean} */
export function insideOf(path, width, height) {
  const [wide, high] = [Math.ceil(width), Math.ceil(height)];
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true }));
  context.beginPath();
  path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.fill();
  const { data } = context.getImageData(0, 0, wide, high);
  return (x, y) => x >= 0 && y >= 0 && x < wide && y < high && data[4 * (Math.floor(y) * wide + Math.floor(x)) + 3] > 127;
}
