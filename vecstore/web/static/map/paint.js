// What colour and shape each point has: of its cluster, of another category, or along a scale.

import { style, UNGROUPED } from "../palette.js";
import { OTHER } from "./arrays.js";

/** @typedef {import("../api.js").Palette} Palette @typedef {import("./arrays.js").Values} Values */

// Each lighter than the one before, and seen on light and on dark ground.
export const SCALE = ["#5b3fc4", "#a23bb0", "#d6517d", "#ef8150", "#f0b43c"];
const STEPS = 128;
const REST = "#6b6b66";

/** A colour and a shape for each of at most 256 styles, and the style of each point. */
export class Paint {
  /** @param {Palette} colours @param {Values|null} values @param {number} n @param {number|null} noise the cluster of what is in none */
  constructor(colours, values, n, noise) {
    this.values = values;
    this.noise = noise;
    const together = colours.colours.length * colours.shapes.length;
    /** @type {[string, string][]} */
    this.styles = [[UNGROUPED, "circle"], [REST, "circle"]];
    for (let i = 0; i < together; i += 1) this.styles.push(style(colours, i));
    this.firstStep = this.styles.length;
    for (let i = 0; i < STEPS; i += 1) this.styles.push([along(i / (STEPS - 1)), "circle"]);
    const known = values?.categories?.length ?? 0;
    /** The style of each listed category. */
    this.ofCategory = Array.from({ length: known }, (_, i) => {
      const cluster = values?.categories?.[i].cluster ?? null;
      return cluster === null ? 2 + (i % together) : cluster === noise ? 0 : 2 + (cluster % together);
    });
    this.ofPoints = new Uint8Array(n);
    for (let i = 0; i < n; i += 1) this.ofPoints[i] = this.styleOf(i);
  }

  /** @param {number} point */
  styleOf(point) {
    if (!this.values) return 2;
    const value = this.values.values[point];
    if (value === 0) return 0;
    if (!this.values.categories) return this.firstStep + Math.round(((value - 1) / (OTHER - 1)) * (STEPS - 1));
    return value === OTHER ? 1 : this.ofCategory[value - 1];
  }

  /** The position of a point's category, null without one. @param {number} point */
  categoryOf(point) {
    const value = this.values?.values[point] ?? 0;
    return this.values?.categories && value && value !== OTHER ? value - 1 : null;
  }

  /** A point's value along the scale. @param {number} point */
  numberOf(point) {
    const { values } = this;
    if (!values || values.categories || !values.values[point] || values.least === null || values.most === null) return null;
    const part = (values.values[point] - 1) / (OTHER - 1);
    if (values.is_logarithmic) return values.least * (values.most / values.least) ** part;
    return values.least + (values.most - values.least) * part;
  }
}

/** @param {number} part from 0 to 1 */
function along(part) {
  const at = part * (SCALE.length - 1);
  const from = Math.min(Math.floor(at), SCALE.length - 2);
  const [one, other] = [SCALE[from], SCALE[from + 1]].map((colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16)));
  return `#${one.map((value, i) => Math.round(value + (other[i] - value) * (at - from)).toString(16).padStart(2, "0")).join("")}`;
}
