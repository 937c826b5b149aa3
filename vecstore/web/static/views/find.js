// Pictures by words.

import { api, ApiError } from "../api.js";
import { clusterName, count, element, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { chips, conditions, filtersButton } from "../sidebar.js";
import { ListSource } from "../sources.js";
import { threshold } from "../threshold.js";

const FIRST = 200;
const MOST = 10_000;

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showFound({ query }) {
  const q = (query.get("q") ?? "").trim();
  const { word: _, ...held } = conditions(query);
  const top = (/** @type {string} */ text) => head(q ? `“${q}”` : "Search by words", text, filtersButton(), sizeControl());
  if (!q) return { nodes: [top("Type what the pictures show: dog, bird, vehicle, food.")] };
  const names = held.cluster ? new Map((await api.clusters().catch(() => [])).map((one) => [one.cluster, clusterName(one)])) : new Map();
  const look = async (/** @type {number} */ k) => (await api.find({ q, k, ...held })).map(item);
  let first;
  try {
    first = await look(FIRST);
  } catch (error) {
    // What cannot be asked for is an answer too, and says what can be.
    if (!(error instanceof ApiError && error.status === 400)) throw error;
    return { nodes: [head(q ? `“${q}”` : "", error.message)] };
  }
  if (!first.length) return { nodes: [top("No picture in the store shows this, as far as its network can tell."), chips(query, names)], filters: {} };
  const source = new ListSource(first, async (n) => (n >= MOST || n < FIRST ? null : look(Math.min(n * 4, MOST))));
  const text = () => `${count(source.total, "picture")}${source.more && source.total >= FIRST ? " and more" : ""}, the most probable first. Below each: how probable it is.`;
  const shown = top(text());
  source.addEventListener("changed", () => shown.querySelector(".sub")?.replaceChildren(text()));
  const grid = new Grid({
    label: `Pictures of ${q}, the most probable first`,
    source,
    lines: 1,
    extra: (hit) => [element("span", { class: "score", title: `Probability that it shows this: ${(hit.words ?? []).join(", ")}` }, (hit.score ?? 0).toFixed(2))],
  });
  return { nodes: [shown, chips(query, names), first.length > 1 ? threshold(source, query, "Least probability") : null, grid.element], grid, filters: {} };
}

/** @param {import("../api.js").Hit} hit */
const item = ({ id, path, score, words }) => ({ id, path, score, words });
