// The filters beside a list: folders, clusters and words with how many pictures each has; those that hold are chips
// above the list, and part of the address.

import { api } from "./api.js";
import { baseName, button, byId, clusterName, element, number, shown } from "./dom.js";
import { dateName } from "./jumps.js";
import { current } from "./live.js";
import { address, changed, go, href } from "./router.js";

const WIDE = matchMedia("(min-width: 62rem)");
const MOST_SHOWN = 12;
const SETTLE_MS = 150;
const NAMES = ["path", "cluster", "in_selection", "word", "added_after", "taken_after", "taken_before", "camera", "place", "near", "where"];
const MONTHS = { taken_after: null, taken_before: null };

/** The conditions in an address, as the API takes them. @param {URLSearchParams} query @returns {Record<string, string>} */
export function conditions(query) {
  return Object.fromEntries(NAMES.flatMap((name) => (query.get(name) ? [[name, /** @type {string} */ (query.get(name))]] : [])));
}

/** The conditions of a month, such as 2024-05. @param {string} month */
export function monthOf(month) {
  const [year, at] = month.split("-").map(Number);
  const next = at === 12 ? `${year + 1}-01` : `${year}-${String(at + 1).padStart(2, "0")}`;
  return { taken_after: month, taken_before: next };
}

/** @param {Record<string, string>} held */
function takenName(held) {
  const { taken_after: from, taken_before: to } = held;
  if (from && to && /^\d{4}-\d{2}$/.test(from) && monthOf(from).taken_before === to) return dateName(from);
  return [from ? `since ${from}` : "", to ? `before ${to}` : ""].filter(Boolean).join(", ");
}

/** A folder as a pattern that fits it alone. @param {string} path */
export function folderPattern(path) {
  return `${path.replace(/!$/, "").replace(/[\\*?[\]!#]/g, "\\$&")}/`;
}

/** What a pattern is called: a folder by its name. @param {string} pattern */
function patternName(pattern) {
  return pattern.startsWith("/") && pattern.endsWith("/") ? baseName(pattern.replace(/\\(.)/g, "$1")) : pattern;
}

/** The chips of the conditions that hold; each leads to the address without it.
 * @param {URLSearchParams} query @param {Map<number, string>} names of clusters */
export function chips(query, names) {
  const held = conditions(query);
  /** @type {[string|import("./api.js").Query, string][]} */
  const all = [];
  if (held.path) all.push(["path", `Folder: ${patternName(held.path)}`]);
  if (held.cluster) all.push(["cluster", names.get(Number(held.cluster)) ?? `Cluster ${held.cluster}`]);
  if (held.in_selection) all.push(["in_selection", `Selection: ${held.in_selection}`]);
  if (held.word) all.push(["word", `Word: ${held.word}`]);
  if (held.added_after) all.push(["added_after", `Added since ${held.added_after}`]);
  if (held.taken_after || held.taken_before) all.push([MONTHS, `Taken: ${takenName(held)}`]);
  if (held.camera) all.push(["camera", `Camera: ${held.camera}`]);
  if (held.place) all.push(["place", `Place: ${held.place}`]);
  if (held.near) {
    const [latitude, longitude, km] = held.near.split(",").map(Number);
    all.push(["near", `Within ${km} km of ${latitude.toFixed(2)}, ${longitude.toFixed(2)}`]);
  }
  if (held.where) all.push(["where", held.where]);
  if (!all.length) return null;
  return element(
    "ul",
    { class: "chips", "aria-label": "Filters that hold" },
    all.map(([name, text]) =>
      element("li", { class: "chip plain" }, element("span", { dir: "auto" }, text), element("a", { href: changed({ ...(typeof name === "string" ? { [name]: null } : name), at: null, to: null }), class: "drop", "aria-label": `Without ${text}`, title: `Without ${text}` }, "×")),
    ),
  );
}

let isOpen = WIDE.matches && read() !== "closed";

function read() {
  try {
    return localStorage.getItem("vecstore.filters");
  } catch {
    return null;
  }
}

/** The button that shows and hides the filters. */
export function filtersButton() {
  const made = button("Filters", () => {
    isOpen = !isOpen;
    if (WIDE.matches) {
      try {
        localStorage.setItem("vecstore.filters", isOpen ? "open" : "closed");
      } catch {
        // a browser that keeps nothing
      }
    }
    made.setAttribute("aria-expanded", String(isOpen));
    place();
    if (isOpen && !WIDE.matches) byId("sidebar").querySelector("button")?.focus();
  }, { "aria-expanded": String(isOpen), "aria-controls": "sidebar", class: "filters" });
  return made;
}

function place() {
  const sidebar = byId("sidebar");
  sidebar.hidden = !isOpen || !sidebar.dataset.used;
  document.body.classList.toggle("with-sidebar", !sidebar.hidden);
}

export function closeSidebar() {
  if (WIDE.matches) return false;
  const was = isOpen && !byId("sidebar").hidden;
  isOpen = false;
  place();
  document.querySelector(".filters")?.setAttribute("aria-expanded", "false");
  return was;
}

/** No view with filters is shown. */
export function hideSidebar() {
  const sidebar = byId("sidebar");
  delete sidebar.dataset.used;
  delete sidebar.dataset.asked;
  sidebar.replaceChildren();
  place();
}

/** Fills the sidebar for a view. parts: which filters the view can use. @param {URLSearchParams} query @param {{words?: boolean}} [parts] */
export async function showSidebar(query, { words = false } = {}) {
  const sidebar = byId("sidebar");
  sidebar.dataset.used = "yes";
  place();
  const held = conditions(query);
  if (!words) delete held.word;
  const asked = (sidebar.dataset.asked = JSON.stringify([held, current().changes]));
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS)); // of views that are only passed through nothing is counted
  if (sidebar.dataset.asked !== asked) return;
  const [facets, selections] = await Promise.all([api.facets(held).catch(() => null), api.selections().catch(() => [])]);
  if (!facets || sidebar.dataset.asked !== asked) return;
  const link = (/** @type {import("./api.js").Query} */ change, /** @type {string} */ text, /** @type {number} */ images, isHeld = false) =>
    element(
      "a",
      {
        href: changed({ ...change, at: null, to: null }),
        class: "facet",
        "aria-current": isHeld ? "true" : null,
        // From the address as it is by then: counts may come later than the next filter is chosen.
        onclick: (/** @type {MouseEvent} */ event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          go(changed({ ...change, at: null, to: null }));
        },
      },
      element("span", { dir: "auto" }, text),
      element("span", { class: "n" }, number(images)),
    );
  const top = folders(facets.folders, held, link);
  const typing = sidebar.querySelector(".near-place:focus-within"); // kept as it is under someone's fingers
  sidebar.replaceChildren(
    element("div", { class: "only-narrow" }, button("Close", closeSidebar, { class: "quiet" })),
    ...section("Folders", top ? [element("p", { class: "under", title: shown(facets.under) }, element("bdi", {}, shown(facets.under))), top] : []),
    ...section("Clusters", shorter(facets.clusters.map((found) => link({ cluster: String(found.cluster) === held.cluster ? null : found.cluster }, clusterName(found), found.images, String(found.cluster) === held.cluster)))),
    ...section("Selections", shorter(selections.map((found) => link({ in_selection: found.name === held.in_selection ? null : found.name }, found.name, found.images, found.name === held.in_selection)))),
    ...section("Taken", shorter(facets.months.map(({ group, images }) => {
      const month = group ?? "";
      const isHeld = held.taken_after === month;
      return link(isHeld ? MONTHS : monthOf(month), dateName(month), images, isHeld);
    }))),
    ...section("Cameras", shorter(facets.cameras.map(({ group, images }) => link({ camera: group === held.camera ? null : group }, group ?? "", images, group === held.camera)))),
    ...section("Places", [...shorter(facets.places.map(({ group, images }) => link({ place: group === held.place ? null : group }, group ?? "", images, group === held.place))), typing ?? nearForm(held.near)]),
    ...section("Words", words ? shorter(facets.words.map((found) => link({ word: found.word === held.word ? null : found.word }, found.word, found.images, found.word === held.word))) : []),
    ...section("Elsewhere", [
      current().clustering === null ? null : element("a", { class: "facet", href: href("/outliers") }, "Outliers"),
      element("a", { class: "facet", href: href("/oddities") }, "Odd pictures"),
      element("a", { class: "facet", href: href("/duplicates") }, "Duplicates"),
      current().failures ? element("a", { class: "facet", href: href("/failures") }, "Could not be added", element("span", { class: "n" }, number(current().failures))) : null,
    ].filter((part) => part !== null)),
  );
  typing?.querySelector("input")?.focus({ preventScroll: true });
}

/** Asks for pictures that were taken near a place. @param {string|undefined} near the place that holds */
function nearForm(near) {
  const input = element("input", { type: "text", id: "near", name: "near", placeholder: "48.14, 11.58, 25", autocomplete: "off", spellcheck: "false", maxlength: "100", title: "Latitude, longitude, kilometres" });
  input.value = near ?? "";
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const form = element("form", { class: "near-place" }, element("label", { for: "near" }, "Near latitude, longitude, km"), input, problem);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const numbers = input.value.split(/[\s,;]+/).filter(Boolean).map(Number);
    const [latitude, longitude, km] = numbers;
    const isPlace = numbers.length === 3 && Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 && km > 0;
    problem.hidden = isPlace || !numbers.length;
    problem.textContent = "Three numbers, such as 48.14, 11.58, 25.";
    if (isPlace || !numbers.length) go(changed({ near: numbers.join(","), at: null, to: null }));
  });
  return form;
}

/** @param {string} title @param {Node[]} parts */
function section(title, parts) {
  return parts.length ? [element("section", {}, element("h2", {}, title), ...parts)] : [];
}

/** A list, of which the first ones are shown until more is asked for. @param {HTMLElement[]} links */
function shorter(links) {
  if (!links.length) return [];
  const list = element("ul", {}, links.map((link) => element("li", {}, link)));
  if (links.length <= MOST_SHOWN + 3) return [list];
  const rest = [...list.children].slice(MOST_SHOWN).filter((item) => !item.querySelector("[aria-current]"));
  for (const item of rest) /** @type {HTMLElement} */ (item).hidden = true;
  const more = button(`${number(rest.length)} more`, () => {
    for (const item of rest) /** @type {HTMLElement} */ (item).hidden = false;
    more.remove();
  }, { class: "quiet more-facets" });
  return [list, more];
}

/**
 * @param {import("./api.js").FolderCount[]} found @param {Record<string, string>} held
 * @param {(change: import("./api.js").Query, text: string, images: number, isHeld: boolean) => HTMLElement} link
 * @returns {HTMLElement|null}
 */
function folders(found, held, link) {
  if (!found.length) return null;
  return element(
    "ul",
    { class: "tree" },
    found.map(({ path, images }) => {
      const pattern = folderPattern(path);
      const isHeld = held.path === pattern;
      const name = baseName(path.replace(/!$/, ""));
      const row = element("li", {});
      const open = button("▸", async () => {
        const isExpanded = open.getAttribute("aria-expanded") === "true";
        open.setAttribute("aria-expanded", String(!isExpanded));
        if (isExpanded) return void row.querySelector("ul")?.remove();
        const inner = await api.facets({ ...conditions(address().query), under: path }).catch(() => null);
        const below = inner && folders(inner.folders, held, link);
        if (below) row.append(below);
        else open.classList.add("leaf");
      }, { class: "twist", "aria-expanded": "false", "aria-label": `Folders in ${name}` });
      row.append(element("div", {}, open, link({ path: isHeld ? null : pattern }, name, images, isHeld)));
      if (held.path?.startsWith(pattern) && !isHeld) open.click();
      return row;
    }),
  );
}
