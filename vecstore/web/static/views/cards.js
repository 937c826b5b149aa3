// Cards of clusters and of what is above them: a name, a number, and their most typical pictures once they are seen.

import { api } from "../api.js";
import { baseName, button, clusterName, count, element, number } from "../dom.js";
import { sayIfMissing } from "../images.js";
import { href } from "../router.js";

// A level of a tree can have thousands; so many are shown at a time.
const AT_ONCE = 400;
const PICTURES = 4;

/** @typedef {{id: number, path: string}} Pictured */
/** @typedef {{href: string, name: string, sub: string, isDoubtful: boolean, pictures: () => Promise<Pictured[]>}} Card */

const whenSeen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      whenSeen.unobserve(entry.target);
      entry.target.dispatchEvent(new Event("seen"));
    }
  },
  { rootMargin: "300px" },
);

/** @param {import("../api.js").Cluster} cluster @returns {Card} */
export function ofCluster(cluster) {
  return {
    href: href(`/cluster/${cluster.cluster}`),
    name: clusterName(cluster),
    sub: count(cluster.size, "picture"),
    isDoubtful: cluster.doubtful,
    pictures: () => api.members(cluster.cluster, PICTURES),
  };
}

/** @param {import("../api.js").TreeNode} node @returns {Card} */
export function ofNode(node) {
  return {
    href: href(node.children ? `/node/${node.cluster}` : `/cluster/${node.cluster}`),
    name: clusterName(node),
    sub: `${count(node.size, "picture")}${node.children ? ` in ${count(node.children, "part")}` : ""}`,
    isDoubtful: node.doubtful,
    pictures: () => picturesOf(node),
  };
}

/** A node's pictures are the most typical ones of what is below it, the largest first.
 * @param {import("../api.js").TreeNode} node @returns {Promise<Pictured[]>} */
async function picturesOf(node) {
  if (node.children < 2) return api.members(node.cluster, PICTURES);
  const below = await api.nodes({ parent: node.cluster });
  return below.slice(0, PICTURES).flatMap((one) => (one.representative_id === null ? [] : [{ id: one.representative_id, path: one.representative ?? "" }]));
}

/** @param {string} label @param {Card[]} cards */
export function cardList(label, cards) {
  const list = element("ul", { class: "cards", "aria-label": label });
  const more = element("p", { class: "more-cards" });
  const show = () => {
    list.append(...cards.slice(list.children.length, list.children.length + AT_ONCE).map(drawn));
    const left = cards.length - list.children.length;
    more.hidden = !left;
    more.replaceChildren(button(`Show ${number(Math.min(left, AT_ONCE))} of the ${number(left)} others`, show));
  };
  show();
  list.addEventListener("keydown", onKey);
  return element("div", {}, list, more);
}

/** @param {Card} card */
function drawn(card) {
  const mosaic = element("span", { class: "mosaic" });
  mosaic.addEventListener("seen", async () => {
    const pictures = await card.pictures().catch(() => []);
    mosaic.replaceChildren(
      ...pictures.map(({ id, path }) => {
        const image = element("img", { src: api.thumbnail(id), alt: "", decoding: "async" });
        sayIfMissing(image, baseName(path));
        return image;
      }),
    );
    mosaic.dataset.pictures = String(pictures.length);
  });
  whenSeen.observe(mosaic);
  return element(
    "li",
    { class: "card" },
    element(
      "a",
      { href: card.href },
      mosaic,
      element(
        "span",
        { class: "label" },
        element("strong", { dir: "auto", title: card.name }, card.name, card.isDoubtful ? element("span", { class: "badge doubt", title: "Most of the pictures that it was given for are elsewhere now" }, "name in doubt") : null),
        element("span", { class: "sub" }, card.sub),
      ),
    ),
  );
}

/** Arrow keys go from card to card, as they lie on the screen. @param {KeyboardEvent} event */
function onKey(event) {
  const here = event.target instanceof Element ? event.target.closest(".cards a") : null;
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const links = [...document.querySelectorAll(".cards > li > a")];
  const at = links.indexOf(here);
  const top = here.getBoundingClientRect().top;
  const columns = Math.max(links.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 2).length, 1);
  /** @type {Record<string, number>} */
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: links.length - 1 };
  const next = links[to[event.key]];
  if (next instanceof HTMLElement) {
    event.preventDefault();
    next.focus();
  }
}
