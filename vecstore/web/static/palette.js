// The colours and shapes of clusters, by their ids: the same ones as in drawn maps and the report, from the server.

import { api } from "./api.js";
import { element } from "./dom.js";

/** @typedef {import("./api.js").Palette} Palette */

export const UNGROUPED = "#8a8a86";

/** @type {Promise<Palette>|null} */
let asked = null;

/** @returns {Promise<Palette>} */
export function palette() {
  asked ??= api.palette().catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

/** The colour and shape of a cluster. @param {Palette} colours @param {number|null} cluster @returns {[string, string]} */
export function style({ colours, shapes }, cluster) {
  if (cluster === null) return [UNGROUPED, "circle"];
  return [colours[cluster % colours.length], shapes[Math.floor(cluster / colours.length) % shapes.length]];
}

/** Draws the path of a shape. @param {Palette} colours @param {CanvasRenderingContext2D} context @param {string} shape @param {number} x @param {number} y @param {number} radius */
export function trace(colours, context, shape, x, y, radius) {
  context.beginPath();
  const polygon = colours.polygons[shape];
  if (!polygon) return context.arc(x, y, colours.circle * radius, 0, 2 * Math.PI);
  polygon.forEach(([dx, dy], i) => (i ? context.lineTo(x + dx * radius, y + dy * radius) : context.moveTo(x + dx * radius, y + dy * radius)));
  context.closePath();
}

/** A mark for a legend. @param {Palette} colours @param {number|null} cluster */
export function mark(colours, cluster) {
  const side = 14;
  const canvas = element("canvas", { class: "mark", width: side * 2, height: side * 2, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const [colour, shape] = style(colours, cluster);
  if (context) {
    context.fillStyle = colour;
    trace(colours, context, shape, side, side, side * 0.8);
    context.fill();
  }
  return canvas;
}
