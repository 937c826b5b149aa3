// The address is the state of the page: a view, what it shows, and the picture that is looked at (`at`). Each entry of
// the history also remembers how far its view was scrolled, so that Back leads to the very place.

/** @typedef {{path: string, query: URLSearchParams}} Address */

const REMEMBER_MS = 250;

/** @param {string} [hash] @returns {Address} */
export function address(hash = location.hash) {
  const [path, query] = hash.replace(/^#/, "").split("?");
  return { path: path || "/", query: new URLSearchParams(query ?? "") };
}

/** An address, without the values that are empty. @param {string} path @param {import("./api.js").Query} [values] */
export function href(path, values = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    const text = Array.isArray(value) ? value.join(",") : (value ?? "");
    if (text !== "" && text !== false) query.set(name, String(text));
  }
  const text = query.toString();
  return `#${path}${text ? `?${text}` : ""}`;
}

/** This address with other values; null takes one away. @param {import("./api.js").Query} changes @param {Address} [from] */
export function changed(changes, from = address()) {
  return href(from.path, { ...Object.fromEntries(from.query), ...changes });
}

/** @param {string} to */
export function go(to) {
  if (to === location.hash) return;
  remember();
  location.hash = to;
}

/** Changes the address of where we are, without a new entry in the history. @param {string} to */
export function replace(to) {
  if (to !== location.hash) rewrite(history.state, to);
}

/** The view that is shown is now what another address says. @param {string} to */
export function stay(to) {
  replace(to);
  dispatchEvent(new Event("stayed"));
}

/** What identifies a view: its address without the picture that is looked at. @param {Address} [from] */
export function viewKey(from = address()) {
  const query = new URLSearchParams(from.query);
  for (const passing of ["at", "z", "x", "y", "to", "by", ...(from.path === "/map" ? ["level", "cut"] : [])]) query.delete(passing);
  return `${from.path}?${query}`;
}

/** How a view says where it is; the router asks when it is left. @type {() => Record<string, any>} */
let place = () => ({ y: scrollY });
/** @param {() => Record<string, any>} how */
export function setPlace(how) {
  place = how;
}

/** What was remembered of this entry of the history. @returns {Record<string, any>} */
export const remembered = () => history.state ?? {};

let timer = 0;
export function remember() {
  clearTimeout(timer);
  rewrite({ ...history.state, ...place() });
}

/** @param {any} state @param {string} [to] */
function rewrite(state, to) {
  try {
    history.replaceState(state, "", to);
  } catch {
    // a browser that finds it too often
  }
}

history.scrollRestoration = "manual";
addEventListener("scroll", () => (clearTimeout(timer), (timer = window.setTimeout(remember, REMEMBER_MS))), { passive: true });
addEventListener("click", (event) => event.target instanceof Element && event.target.closest("a[href^='#']") && remember(), true);
addEventListener("pagehide", remember);
