// What the colours stand for, and the choice of what they do.

import { clusterName, element, number, size } from "../dom.js";
import { mark } from "../palette.js";
import { href } from "../router.js";
import { SCALE } from "./paint.js";

/** @typedef {import("./arrays.js").Values} Values @typedef {import("./paint.js").Paint} Paint */

const MOST_SHOWN = 60;
// Into how many clusters a tree is offered to be cut.
const CUTS = [2, 3, 5, 10, 20, 50, 100, 200, 500];
const NAMES = {
  none: "Nothing", cluster: "Cluster", selection: "Selection", folder: "Folder", word: "Word", month: "Month taken", year: "Year taken", camera: "Camera", lens: "Lens",
  maker: "Maker", format: "Format", orientation: "Orientation", rating: "Rating", place: "Place", taken: "Time taken", added: "Time added", brightness: "Brightness",
  contrast: "Contrast", sharpness: "Sharpness", entropy: "Entropy", shadows: "Shadows", highlights: "Highlights", bytes: "Size in bytes", pixels: "Size in pixels", aspect: "Shape",
};

/** @param {string} by */
export const called = (by) => NAMES[/** @type {keyof typeof NAMES} */ (by)] ?? by;

/** @param {string[]} offered @param {string} by @param {(by: string) => unknown} choose */
export function colourChoice(offered, by, choose) {
  const names = offered.includes("cluster") ? offered : ["none", ...offered];
  const select = element("select", { id: "colour-by" }, names.map((name) => element("option", { value: name }, called(name))));
  select.value = by;
  select.addEventListener("change", () => choose(select.value));
  return element("label", { class: "colour-by" }, element("span", {}, "Colour by"), select);
}

/** Which clusters of a tree: those of one of its levels, or of a cut. @param {number[]} levels @param {string} groups level=1, say
 * @param {(groups: string) => unknown} choose */
export function groupsChoice(levels, groups, choose) {
  const most = levels[levels.length - 1];
  const asked = /^cut=(\d+)$/.exec(groups)?.[1];
  const cuts = [...new Set([...CUTS, Number(asked ?? 0)])].filter((k) => k > 1 && k < most && (!levels.includes(k) || String(k) === asked));
  const offered = [
    ...levels.map((n, at) => (at === levels.length - 1 ? ["", `All ${number(n)}`] : [`level=${at + 1}`, `Level ${at + 1}: ${number(n)}`])),
    ...cuts.sort((one, other) => one - other).map((k) => [`cut=${k}`, `Cut into ${number(k)}`]),
  ];
  const select = element("select", { id: "groups", "aria-label": "Which clusters" }, offered.map(([value, text]) => element("option", { value }, text)));
  select.value = groups;
  select.addEventListener("change", () => choose(select.value));
  return select;
}

/** @param {string} by @param {number} value */
export function valueText(by, value) {
  if (by === "taken" || by === "added") return new Date(value * 1000).toLocaleDateString([], { year: "numeric", month: "short", timeZone: "UTC" });
  if (by === "bytes") return size(value);
  return by === "pixels" ? `${number(Math.round(value / 1e4) / 100)} megapixels` : String(Number(value.toPrecision(3)));
}

/** A cluster, or what counts as one: nodes of a tree.
 * @typedef {{cluster: number, name: string|null, suggested: string|null, size: number, noise: boolean, nodes?: number[]}} Shown */

/** @param {Shown} cluster */
const hrefOf = ({ cluster, nodes }) => href(nodes ? `/node/${nodes.join(",")}` : `/cluster/${cluster}`);

/** @param {import("../api.js").Palette} colours @param {Paint} paint @param {Shown[]} clusters @returns {Node|null} */
export function legend(colours, paint, clusters) {
  const { values } = paint;
  if (!values) return null;
  if (!values.categories) return scale(values);
  if (values.by === "cluster") return clusterLegend(colours, clusters);
  const rest = values.values.reduce((n, value) => n + Number(value === 65535), 0);
  const without = values.values.reduce((n, value) => n + Number(value === 0), 0);
  const item = (/** @type {number|null} */ style, /** @type {string} */ name, /** @type {number} */ images) =>
    images ? element("li", {}, mark(colours, style), element("bdi", {}, name), element("span", { class: "sub" }, number(images))) : null;
  return element(
    "ul",
    { class: "legend", "aria-label": called(values.by) },
    values.categories.map(({ name, images }, i) => item(i, name ?? "", images)),
    item(null, "Others", rest),
    item(null, "None", without),
  );
}

/** @param {import("../api.js").Palette} colours @param {Shown[]} clusters */
function clusterLegend(colours, clusters) {
  const more = clusters.length - MOST_SHOWN;
  return element(
    "ul",
    { class: "legend", "aria-label": "Clusters" },
    clusters.slice(0, MOST_SHOWN).map((cluster) =>
      element("li", {}, element("a", { href: hrefOf(cluster) }, mark(colours, cluster.noise ? null : cluster.cluster), element("bdi", {}, clusterName(cluster)), element("span", { class: "sub" }, number(cluster.size)))),
    ),
    more > 0 ? element("li", {}, element("a", { href: "#/" }, `${number(more)} more`)) : null,
  );
}

/** @param {Values} values */
function scale({ by, least, most, values }) {
  if (least === null || most === null) return null;
  const without = values.reduce((n, value) => n + Number(value === 0), 0);
  const canvas = element("canvas", { class: "scale", width: 256, height: 1, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  if (context) {
    const gradient = context.createLinearGradient(0, 0, 256, 0);
    SCALE.forEach((colour, i) => gradient.addColorStop(i / (SCALE.length - 1), colour));
    context.fillStyle = gradient;
    context.fillRect(0, 0, 256, 1);
  }
  return element("p", { class: "legend" }, called(by), element("span", {}, valueText(by, least)), canvas, element("span", {}, valueText(by, most)), without ? element("span", { class: "sub" }, `${number(without)} without, grey`) : null);
}
