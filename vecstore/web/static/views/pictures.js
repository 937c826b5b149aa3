// Lists of stored pictures: all of them, those that filters allow, and those of one cluster.

import { api, ApiError } from "../api.js";
import { button, clusterName, count, element, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { current, isReadOnly } from "../live.js";
import { mergeCluster } from "../by_hand.js";
import { jumpsOf, nameOfGroup } from "../jumps.js";
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
const ORDERS = { newest: "Newest first", oldest: "Oldest first", taken: "Last taken first", size: "Largest file first", path: "By path", typical: "Typical first", odd: "Odd first" };
/** @type {Record<string, string>} */
const GROUPS = { "": "Not grouped", day: "By day", month: "By month", folder: "By folder", camera: "By camera", cluster: "By cluster" };
/** How far back images lie that no longer need to be counted from the top. */
const NEAR_TOP = 300;

/** @param {string} order @param {string[]} offered @param {string} usual */
function orderChoice(order, offered, usual) {
  const select = element("select", { "aria-label": "Order" }, offered.map((one) => element("option", { value: one }, ORDERS[one])));
  select.value = order;
  select.addEventListener("change", () => (location.hash = changed({ order: select.value === usual ? null : select.value, at: null })));
  return select;
}

/** @param {string} group @param {string[]} offered */
function groupChoice(group, offered) {
  const select = element("select", { "aria-label": "Groups" }, offered.map((one) => element("option", { value: one }, GROUPS[one])));
  select.value = group;
  select.addEventListener("change", () => {
    const isByDate = ["day", "month"].includes(select.value);
    location.hash = changed({ group: select.value, ...(isByDate ? { order: "taken" } : {}), at: null, to: null });
  });
  return select;
}

/** heads: what its groups are called, if they have heads. groupedBy: what they are, also if they have none.
 * @param {string} label @param {import("../api.js").Query} query @param {(total: number) => void} onTotal
 * @param {string|null} [groupedBy] @param {((group: string|null) => string)|null} [heads] */
async function listOf(label, query, onTotal, groupedBy = null, heads = null) {
  const source = await browsed(query, remembered().active ?? 0, groupedBy);
  const grid = new Grid({ label, source, heads });
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
  const offered = current().clustering === null ? ["newest", "oldest", "taken", "size", "path"] : Object.keys(ORDERS);
  const order = offered.includes(asked.query.get("order") ?? "") ? /** @type {string} */ (asked.query.get("order")) : "newest";
  const groups = Object.keys(GROUPS).filter((one) => one !== "cluster" || current().clustering !== null);
  const group = groups.find((one) => one === asked.query.get("group")) ?? "";
  const sub = element("p", { class: "sub" });
  const say = (/** @type {number} */ total) => (sub.textContent = told.sub ? told.sub(total) : `${count(total, "picture")}${Object.keys(held).length ? ` of ${count(current().images, "picture")}` : ""}`);
  const groupedBy = group || (order === "taken" ? "month" : null);
  const clusters = held.cluster || group === "cluster" ? await api.clusters().catch(() => []) : [];
  const names = new Map(clusters.map((one) => [one.cluster, clusterName(one)]));
  if (held.cluster && !names.has(Number(held.cluster))) {
    const above = await api.treePath(Number(held.cluster)).catch(() => []);
    for (const node of above) names.set(node.cluster, clusterName(node));
  }
  const nameOf = nameOfGroup(groupedBy ?? "", names);
  const label = `Pictures, ${ORDERS[order].toLowerCase()}`;
  const { source, grid, onChanged } = await listOf(label, { ...held, order, group }, say, groupedBy, group ? nameOf : null);
  say(source.total);
  const jumps = groupedBy ? jumpsOf(grid, groupedBy, nameOf) : null;
  const top = head(told.title ?? "Pictures", null, ...(told.right ?? []), filtersButton(), jumps?.select ?? null, groupChoice(group, groups), orderChoice(order, offered, "newest"), sizeControl());
  top.querySelector(".sub")?.replaceWith(sub);
  const list = jumps ? element("div", { class: "with-jumps" }, grid.element, jumps.nav) : grid.element;
  return {
    nodes: [top, chips(asked.query, names), source.total ? list : element("p", { class: "sub" }, "No picture fits all of these filters.")],
    grid,
    filters: { words: true },
    changed: onChanged,
    begin: jumps?.begin,
    leave: jumps?.leave,
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
  const [{ source, grid, onChanged }, crumbs] = await Promise.all([listOf(`Pictures of ${clusterName(cluster)}`, { ...held, order }, say), wayTo(id)]);
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
