// What the server says of the map, in arrays: where pictures lie, and what to colour them by. See map_routes.py.

import { api } from "../api.js";

/** @typedef {Uint32Array|Uint16Array|Float32Array} Numbers
 * @typedef {{header: any, arrays: Record<string, Numbers>}} Packed
 * @typedef {{name: string|null, cluster: number|null, images: number}} Category
 * @typedef {{by: string, of: string, categories: Category[]|null, least: number|null, most: number|null,
 *   is_logarithmic: boolean, values: Uint16Array}} Values
 * @typedef {{ids: Uint32Array, at: Float32Array, images: number, of: string, colours: string[]}} Positions */

/** The value of a picture in none of the categories that are listed. */
export const OTHER = 65535;

/** @param {string} path @returns {Promise<Packed>} */
async function packed(path) {
  const buffer = await api.bytes(path);
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const kinds = { uint32: Uint32Array, uint16: Uint16Array, float32: Float32Array };
  /** @type {Record<string, Numbers>} */
  const arrays = {};
  let start = 4 + length;
  for (const { name, type, length: size } of header.arrays) {
    const made = new kinds[/** @type {keyof typeof kinds} */ (type)](buffer, start, size);
    arrays[name] = made;
    start += made.byteLength;
  }
  return { header, arrays };
}

/** @returns {Promise<Positions>} */
export async function positions() {
  const { header, arrays } = await packed("api/map/positions");
  return { ...header, ids: arrays.ids, at: arrays.positions };
}

/** @param {string} by @param {string} [groups] of a tree's clusters: level=1, or cut=20 @returns {Promise<Values>} */
export async function values(by, groups = "") {
  const { header, arrays } = await packed(`api/map/values/${by}${groups && "?"}${groups}`);
  return { ...header, values: arrays.values };
}
