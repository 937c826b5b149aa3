// A tree of clusters: a level of it, what is below one of its nodes with the way down to it, and the tree cut into any
// number of clusters. Which of these is shown is in the address.

import { api, ApiError } from "../api.js";
import { clusterName, count, element, head, number } from "../dom.js";
import { current } from "../live.js";
import { changed, href, replace, stay } from "../router.js";
import { complain } from "../toasts.js";
import { cardList, ofNode } from "./cards.js";
import { titleOf } from "./naming.js";

/** @typedef {import("./index.js").Asked} Asked @typedef {import("./index.js").View} View */

const SETTLE_MS = 120;

/** A level of the tree, or a cut through it. @param {Asked} asked @param {number[]} levels @param {(Node|null)[]} right @returns {Promise<View>} */
export async function showTree(asked, levels, right) {
  const most = levels[levels.length - 1];
  const cut = numberIn(asked.query, "cut", most);
  const level = cut ? null : (numberIn(asked.query, "level", levels.length) ?? 1);
  const title = element("h1", {});
  const list = element("div", {});
  const sub = element("p", { class: "sub" }, `${count(current().images, "picture")}, in a tree of ${levels.map(number).join(" › ")} clusters`);
  const top = head(title, null, ...right);
  top.querySelector(".sub")?.replaceWith(sub);
  const bar = treeBar(levels, level, cut, (k) => showCut(k).catch(complain));
  let asking = 0;

  /** @param {number} k */
  async function showCut(k) {
    const now = ++asking;
    const cuts = await api.cut(k);
    if (now !== asking) return;
    title.textContent = count(cuts.length, "cluster");
    list.replaceChildren(cardList(`The tree, cut into ${count(k, "cluster")}`, cuts.map(ofCut)));
    for (const link of bar.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
    stay(changed({ cut: k, level: null }));
  }

  if (cut) await showCut(cut);
  else {
    const nodes = await api.nodes({ level });
    title.textContent = count(nodes.length, "cluster");
    list.append(cardList(`Clusters of level ${level}, the largest first`, nodes.map(ofNode)));
  }
  return { nodes: [top, bar, list], changed: treeChanged };
}

/** @type {NonNullable<View["changed"]>} */
const treeChanged = (before, now) => (before.changes !== now.changes && !document.activeElement?.closest("input:not([type=range])") ? "refresh" : undefined);

/** What is below a node. @param {Asked} asked @returns {Promise<View>} */
export async function showNode(asked) {
  const ids = asked.found[1].split(",").map(Number);
  const [node, ...others] = await Promise.all(ids.map(nodeOf));
  if (!node.at.children && !others.length) {
    replace(href(`/cluster/${node.at.cluster}`));
    dispatchEvent(new Event("address"));
    return { nodes: [] };
  }
  const isOne = !others.length;
  const parts = isOne ? await api.nodes({ parent: node.at.cluster }) : [node, ...others].map((one) => one.at);
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const title = isOne ? titleOf(node.at, asked.refresh) : { holder: element("div", { class: "title" }, element("h1", {}, `${count(parts.length, "cluster")} together`)), note: null };
  const pictures = isOne ? element("a", { class: "button", href: href("/pictures", { cluster: node.at.cluster, order: "typical" }) }, "Its pictures") : null;
  const top = head(title.holder, `${count(size, "picture")} in ${count(parts.length, "part")}`, pictures);
  return {
    nodes: [way(isOne ? node.way : node.way.slice(0, -1), isOne), top, title.note, cardList("What is below it, the largest first", parts.map(ofNode))],
    changed: treeChanged,
  };
}

/** @param {number} id */
async function nodeOf(id) {
  const found = await api.treePath(id).catch((error) => {
    if (error instanceof ApiError && error.status === 404) throw new ApiError(404, `There is no cluster ${id} in the tree of the current grouping.`);
    throw error;
  });
  return { way: found, at: found[found.length - 1] };
}

/** The way from the top down to a node. @param {import("../api.js").TreeNode[]} nodes @param {boolean} [isThere] the last one is what is shown */
export function way(nodes, isThere = true) {
  return element(
    "nav",
    { class: "crumbs", "aria-label": "The way down the tree" },
    element(
      "ol",
      {},
      element("li", {}, element("a", { href: href("/") }, "All clusters")),
      nodes.map((node, at) => {
        const isLast = isThere && at === nodes.length - 1;
        const to = href(node.children ? `/node/${node.cluster}` : `/cluster/${node.cluster}`);
        return element("li", {}, isLast ? element("span", { "aria-current": "page", dir: "auto" }, clusterName(node)) : element("a", { href: to, dir: "auto" }, clusterName(node)));
      }),
    ),
  );
}

/** The way down to a cluster; null where there is no tree. @param {number} cluster */
export async function wayTo(cluster) {
  const { levels } = await api.treeLevels();
  return levels.length ? way(await api.treePath(cluster)) : null;
}

/** @param {number[]} levels @param {number|null} level @param {number|null} cut @param {(k: number) => unknown} onCut */
function treeBar(levels, level, cut, onCut) {
  const most = levels[levels.length - 1];
  const shown = element("output", { for: "cut" }, number(cut ?? levels[(level ?? 1) - 1]));
  const slider = element("input", { type: "range", id: "cut", min: "1", max: String(most), step: "1" });
  slider.value = String(cut ?? levels[(level ?? 1) - 1]);
  let timer = 0;
  slider.addEventListener("input", () => {
    shown.textContent = number(Number(slider.value));
    clearTimeout(timer);
    timer = window.setTimeout(() => onCut(Number(slider.value)), SETTLE_MS);
  });
  return element(
    "div",
    { class: "tree-bar" },
    element(
      "div",
      { class: "choice", role: "group", "aria-label": "Level" },
      levels.map((n, at) => element("a", { href: href("/", at ? { level: at + 1 } : {}), "aria-current": level === at + 1 ? "true" : null }, at === levels.length - 1 ? `All ${number(n)}` : number(n))),
    ),
    element("label", { for: "cut" }, "or cut into"),
    slider,
    shown,
  );
}

/** What a part of a cut tree is called. @param {import("../api.js").Cut} cut */
export function cutName(cut) {
  if (cut.nodes.length === 1) return clusterName({ ...cut, cluster: cut.nodes[0] });
  const several = `Clusters ${cut.nodes.slice(0, 3).join(", ")}${cut.nodes.length > 3 ? ` and ${cut.nodes.length - 3} more` : ""}`;
  return `${several}${cut.suggested ? `, ${cut.suggested}?` : ""}`;
}

/** @param {import("../api.js").Cut} cut @returns {import("./cards.js").Card} */
function ofCut(cut) {
  const [first] = cut.nodes;
  const isOne = cut.nodes.length === 1;
  return {
    href: href(`/node/${cut.nodes.join(",")}`),
    name: cutName(cut),
    sub: count(cut.size, "picture"),
    isDoubtful: cut.doubtful,
    pictures: async () => (isOne ? api.members(first, 4) : (await Promise.all(cut.nodes.slice(0, 4).map((id) => api.members(id, 1)))).flat()),
  };
}

/** @param {URLSearchParams} query @param {string} name @param {number} most */
export function numberIn(query, name, most) {
  const found = Number(query.get(name));
  return Number.isInteger(found) && found >= 1 ? Math.min(found, most) : null;
}
