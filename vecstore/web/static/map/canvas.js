// Draws the points on a plain canvas, where there is no WebGL2: as many as it can.

import { trace } from "../palette.js";

/** @typedef {import("../api.js").Palette} Palette @typedef {import("./points.js").Points} Points @typedef {import("./paint.js").Paint} Paint */

export const MOST_ON_CANVAS = 20_000;

export class CanvasMarks {
  /** @param {HTMLCanvasElement} canvas @param {Palette} colours */
  constructor(canvas, colours) {
    this.canvas = canvas;
    this.colours = colours;
    /** @type {Points|null} */
    this.points = null;
    /** @type {Paint|null} */
    this.paint = null;
    /** @type {Uint32Array} */
    this.chosen = new Uint32Array(0);
    this.most = Infinity;
    /** @type {Map<string, OffscreenCanvas>} */
    this.sprites = new Map();
  }

  /** @param {Points} points @param {Paint} paint */
  show(points, paint) {
    [this.points, this.paint] = [points, paint];
    this.sprites.clear();
  }

  /** @param {Uint32Array} numbers */
  choose(numbers) {
    this.chosen = numbers;
  }

  /** @param {import("./webgl.js").Seen} seen */
  draw({ across, down, middle, width, height, ratio, radius, alpha, accent }) {
    const { canvas, points, paint } = this;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    if (!context || !points || !paint) return;
    context.scale(ratio, ratio);
    const side = 2 * radius + 2;
    const x = (/** @type {number} */ i) => width / 2 + (points.at[2 * i] - middle[0]) * across;
    const y = (/** @type {number} */ i) => height / 2 + (points.at[2 * i + 1] - middle[1]) * down;
    for (let i = 0; i < points.n; i += 1) {
      const [left, top] = [x(i), y(i)];
      if (left < -side || top < -side || left > width + side || top > height + side) continue;
      context.globalAlpha = paint.ofPoints[i] < 2 ? 0.4 * alpha : alpha;
      context.drawImage(this.sprite(paint.ofPoints[i], radius, ratio), left - side / 2, top - side / 2, side, side);
    }
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = 3;
    for (const i of this.chosen) {
      context.beginPath();
      context.arc(x(i), y(i), radius + 2, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** A mark, drawn once for all points of a style. @param {number} style @param {number} radius @param {number} ratio */
  sprite(style, radius, ratio) {
    const key = `${style}/${radius}/${ratio}`;
    let made = this.sprites.get(key);
    if (!made) {
      const side = Math.ceil((radius * 2 + 2) * ratio);
      made = new OffscreenCanvas(side, side);
      const context = /** @type {CanvasRenderingContext2D|null} */ (/** @type {unknown} */ (made.getContext("2d")));
      const [colour, shape] = this.paint?.styles[style] ?? ["#888888", "circle"];
      if (context) {
        context.fillStyle = colour;
        trace(this.colours, context, shape, side / 2, side / 2, radius * ratio);
        context.fill();
      }
      this.sprites.set(key, made);
    }
    return made;
  }

  get bytes() {
    return 0;
  }

  leave() {}
}
