// Lists of stored pictures: all of them, those that filters allow, and those of one cluster.

import { api, ApiError } from "../api.js";
import { button, clusterName, count, element, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { current, isReadOnly } from "../live.js";
import { mergeCluster } from "../by_hand.js";
import { start } from "../jobs.js";
import { changed, href, remembered } from "../router.js";
import { chips, conditions, filtersButton } from "../sidebar.js";
import { browsed } from "../sources.js";
import { complain } from "../toasts.js";
import { titleOf } from "./naming.js";
import { nothingYet } from "./nothing.js";
import { wayTo } from "./tree.js";

/** @typedef {import("./index.js").Asked} Asked @typedef {import("./index.js").View} View */

/** @type {Record<string, string>} */
const ORDERS = { newest: "Newest first", oldest: "Oldest first", taken: "Last taken first", path: "By path", typical: "Typical first", odd: "Odd first" };
/** How far back images lie that no longer need to be counted from the top. */
const NEAR_TOP = 300;

/** @param {string} order @param {string[]} offered @param {string} usual */
function orderChoice(order, offered, usual) {
  const select = element("select", { "aria-label": "Order" }, offered.map((one) => element("option", { value: one }, ORDERS[one])));
  select.value = order;
  select.addEventListener("change", () => (location.hash = changed({ order: select.value === usual ? null : select.value, at: null })));
  return select;
}

/** @param {Asked} asked @param {string} label @param {import("../api.js").Query} query @param {(total: number) => void} onTotal */
async function listOf(asked, label, query, onTotal) {
  const source = await browsed(query, remembered().active ?? 0);
  const grid = new Grid({ label, source });
  source.addEventListener("changed", () => onTotal(source.total));
  /** @type {NonNullable<View["changed"]>} */
  const onChanged = (before, now) => {
    const isAtTop = grid.at < NEAR_TOP;
    // Under a reader's eyes nothing moves because of what comes on top; what goes is seen at once.
    if (isAtTop || now.images <= before.images || !String(query.order ?? "newest").startsWith("newest")) source.refresh();
  };
  return { source, grid, onChanged };
}

/**
 * @param {Asked} asked
 * @param {{title?: string, sub?: (total: number) => string, right?: Node[]}} [told] instead of what a plain list says
 * @returns {Promise<View>}
 */
export async function showPictures(asked, told = {}) {
  if (!current().images) return nothingYet();
  const held = conditions(asked.query);
  const offered = current().clustering === null ? ["newest", "oldest", "taken", "path"] : Object.keys(ORDERS);
  const order = offered.includes(asked.query.get("order") ?? "") ? /** @type {string} */ (asked.query.get("order")) : "newest";
  const sub = element("p", { class: "sub" });
  const say = (/** @type {number} */ total) => (sub.textContent = told.sub ? told.sub(total) : `${count(total, "picture")}${Object.keys(held).length ? ` of ${count(current().images, "picture")}` : ""}`);
  const [{ source, grid, onChanged }, clusters] = await Promise.all([
    listOf(asked, `Pictures, ${ORDERS[order].toLowerCase()}`, { ...held, order }, say),
    held.cluster ? api.clusters().catch(() => []) : [],
  ]);
  const names = new Map(clusters.map((one) => [one.cluster, clusterName(one)]));
  if (held.cluster && !names.has(Number(held.cluster))) {
    const above = await api.treePath(Number(held.cluster)).catch(() => []);
    for (const node of above) names.set(node.cluster, clusterName(node));
  }
  say(source.total);
  const top = head(told.title ?? "Pictures", null, ...(told.right ?? []), filtersButton(), orderChoice(order, offered, "newest"), sizeControl());
  top.querySelector(".sub")?.replaceWith(sub);
  return {
    nodes: [top, chips(asked.query, names), source.total ? grid.element : element("p", { class: "sub" }, "No picture fits all of these filters.")],
    grid,
    filters: { words: true },
    changed: onChanged,
  };
}

/** @param {Asked} asked @returns {Promise<View>} */
export async function showCluster(asked) {
  const id = Number(asked.found[1]);
  const cluster = (await api.clusters()).find((one) => one.cluster === id);
  if (!cluster) throw new ApiError(404, `There is no cluster ${id} in the current grouping.`);
  const order = asked.query.get("order") === "odd" ? "odd" : "typical";
  const held = { ...conditions(asked.query), cluster: String(id) };
  const sub = element("p", { class: "sub" });
  const say = (/** @type {number} */ total) => (sub.textContent = `${total < cluster.size ? `${total.toLocaleString("en")} of ` : ""}${count(cluster.size, "picture")}${cluster.cohesion === null ? "" : ` · cohesion ${cluster.cohesion.toFixed(2)}`}`);
  const [{ source, grid, onChanged }, crumbs] = await Promise.all([listOf(asked, `Pictures of ${clusterName(cluster)}`, { ...held, order }, say), wayTo(id)]);
  say(source.total);
  const { holder, note } = titleOf(cluster, asked.refresh);
  const withoutLevels = crumbs ? "; the grouping then has no tree above it" : "";
  if (!isReadOnly() && !cluster.noise) {
    holder.append(
      button("Split", () => start({ kind: "cluster", k: 2, within: id }).catch(complain), { class: "quiet", title: `Make two clusters of it${withoutLevels}` }),
      button("Merge", () => mergeCluster(cluster, asked.refresh), { class: "quiet", title: `Make one cluster of it and another${withoutLevels}` }),
    );
  }
  const one = (/** @type {string} */ wanted) => element("a", { href: changed({ order: wanted === "odd" ? "odd" : null, at: null }), "aria-current": wanted === order ? "true" : null }, ORDERS[wanted]);
  const top = head(holder, null, filtersButton(), element("div", { class: "choice", role: "group", "aria-label": "Order" }, one("typical"), one("odd")), sizeControl());
  top.querySelector(".sub")?.replaceWith(sub);
  return {
    nodes: [crumbs ?? element("p", { class: "back" }, element("a", { href: href("/") }, "← All clusters")), top, note, chips(asked.query, new Map()), grid.element],
    grid,
    filters: { words: true },
    changed: (before, now) => {
      if (before.clustering !== now.clustering || (before.changes !== now.changes && !holder.querySelector("form"))) return "refresh";
      return onChanged(before, now);
    },
  };
}
