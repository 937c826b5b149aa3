// Jumping in a long list: its months, or the groups that it is put into, with how many pictures each has, beside the
// grid, or as a choice where there is no room. The one in view is marked, and the address names the one jumped to (`to`).

import { element, number } from "./dom.js";
import { barHeight } from "./grid.js";
import { address, changed, replace } from "./router.js";

/** @typedef {{key: string, label: string, start: number, images: number}} Jump */

const NONE = "none"; // in an address: those of no group

/** A name within a text that no element can stand in, so that one from right to left does not turn what follows it. @param {string} name */
const isolated = (name) => `\u2068${name}\u2069`;

/** What a group is called. @param {string} by @param {Map<number, string>} names of clusters @returns {(group: string|null) => string} */
export function nameOfGroup(by, names) {
  const none = /** @type {Record<string, string>} */ ({ day: "No date", month: "No date", camera: "No camera known", place: "No place", cluster: "In no cluster" });
  return (group) => {
    if (group === null) return none[by] ?? "None";
    if (by === "cluster") return names.get(Number(group)) ?? `Cluster ${group}`;
    return by === "day" || by === "month" ? dateName(group) : group;
  };
}

/** A day or a month, as people say it. @param {string} date */
export function dateName(date) {
  const [year, month, day] = date.split("-").map(Number);
  /** @type {Intl.DateTimeFormatOptions} */
  const parts = { ...(day ? { day: "numeric" } : {}), month: "long", year: "numeric", timeZone: "UTC" };
  return new Date(Date.UTC(year, month - 1, day || 15)).toLocaleDateString([], parts);
}

/** Where one can jump to; the days of a month are one place. @param {import("./layout.js").Section[]} sections
 * @param {string} by @param {(group: string|null) => string} nameOf @returns {Jump[]} */
function placesOf(sections, by, nameOf) {
  const above = by === "folder" ? folderAbove(sections.map(({ group }) => group ?? "")) : "";
  /** @type {Jump[]} */
  const found = [];
  let start = 0;
  for (const { group, images } of sections) {
    const key = (by === "day" ? group?.slice(0, 7) : group) ?? NONE;
    const before = found.at(-1);
    if (before?.key === key) before.images += images;
    else found.push({ key, label: nameOf(key === NONE ? null : key).slice(key === NONE || key.length === above.length ? 0 : above.length), start, images });
    start += images;
  }
  return found;
}

/** The folder that all folders are below, with its slash. @param {string[]} folders */
function folderAbove(folders) {
  let above = `${folders[0] ?? ""}/`;
  for (const folder of folders) {
    while (above && !`${folder}/`.startsWith(above)) above = above.slice(0, above.lastIndexOf("/", above.length - 2) + 1);
  }
  return above;
}

/** The list of places in a grid's list, as two controls; and how to jump to the one that the address names.
 * @param {import("./grid.js").Grid} grid @param {string} by @param {(group: string|null) => string} nameOf */
export function jumpsOf(grid, by, nameOf) {
  /** @type {Jump[]} */
  let jumps = [];
  const list = element("ul", {});
  const nav = element("nav", { class: "jumps", "aria-label": "Jump to" }, list);
  const select = element("select", { class: "jump", "aria-label": "Jump to" });
  const controller = new AbortController();
  const { signal } = controller;

  /** @param {Jump} jump */
  const jump = (jump) => {
    grid.jumpTo(jump.start);
    replace(changed({ to: jump.key, at: null }));
    mark();
  };
  const draw = () => {
    jumps = placesOf(grid.source.sections ?? [], by, nameOf);
    nav.hidden = select.hidden = jumps.length < 2;
    list.replaceChildren(
      ...jumps.map((one) => {
        const onclick = (/** @type {MouseEvent} */ event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          jump(one);
        };
        const link = element("a", { class: "facet", href: changed({ to: one.key, at: null }), title: one.label, onclick }, element("span", { dir: "auto" }, one.label), element("span", { class: "n" }, number(one.images)));
        return element("li", {}, link);
      }),
    );
    select.replaceChildren(...jumps.map((one, number_) => element("option", { value: number_ }, `${isolated(one.label)} (${number(one.images)})`)));
    mark();
  };
  const inView = () => {
    const first = grid.layout.firstAt(grid.at - grid.top + barHeight() + grid.layout.headHeight + 12);
    const at = jumps.findIndex(({ start }) => start > first);
    return (at < 0 ? jumps.length : at) - 1;
  };
  let marked = -1;
  const mark = () => {
    const now = inView();
    select.value = String(now);
    const links = list.querySelectorAll("a");
    if (marked !== now) links[marked]?.removeAttribute("aria-current");
    marked = now;
    const link = links[now];
    if (!link || link.getAttribute("aria-current")) return;
    link.setAttribute("aria-current", "true");
    if (!nav.contains(document.activeElement)) nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
  };
  select.addEventListener("change", () => jump(jumps[Number(select.value)]));
  grid.source.addEventListener("changed", draw, { signal });
  let waiting = 0;
  addEventListener("scroll", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(mark);
  }, { passive: true, signal });
  addEventListener("jump", (event) => {
    const { detail: step } = /** @type {CustomEvent<1|-1>} */ (event);
    const now = inView();
    const isInside = step < 0 && grid.layout.firstAt(grid.at - grid.top + barHeight() + grid.layout.headHeight + 12) > jumps[now]?.start;
    const wanted = jumps[isInside ? now : now + step];
    if (wanted) jump(wanted);
  }, { signal });
  draw();
  return {
    nav,
    select,
    /** Shows the place that the address names, if it does. */
    begin() {
      const wanted = jumps.find(({ key }) => key === address().query.get("to"));
      if (wanted) grid.jumpTo(wanted.start);
      mark();
    },
    leave: () => controller.abort(),
  };
}
