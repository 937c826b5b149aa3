// Building the page. Text only ever goes in as text: a picture called `<img onerror=...>` is just a name.

const BOOLEAN = new Set(["hidden", "disabled", "checked", "required"]);

/** @typedef {Node|string|null|undefined|(Node|string|null|undefined)[]} Child */

/**
 * Makes an element. Properties beginning with `on` are listeners; null and undefined children are left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Record<string, any>} [properties] @param {...(Child|Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (BOOLEAN.has(key)) /** @type {any} */ (made)[key] = value;
    else made.setAttribute(key, value);
  }
  const nodes = /** @type {(Node|string|null|undefined)[]} */ (children.flat(3));
  made.append(...nodes.filter((child) => child !== null && child !== undefined));
  return made;
}

/** @param {string} text @param {(event: MouseEvent) => unknown} onclick @param {Record<string, any>} [more] */
export function button(text, onclick, more = {}) {
  return element("button", { type: "button", onclick, ...more }, text);
}

/** The element of index.html with this id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** @template {Element} T @param {ParentNode} parent @param {string} selector @param {new () => T} kind @returns {T} */
export function within(parent, selector, kind) {
  const found = parent.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`there is no ${selector}`);
  return found;
}

/** A path as a person may see it: what would not show, or would turn the text around, is escaped. @param {string} path */
export function shown(path) {
  return path.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const isByte = code >= 0xdc80 && code <= 0xdcff; // of a name that is no UTF-8
    return isByte ? `\\x${(code - 0xdc00).toString(16)}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** @param {string} path */
export function baseName(path) {
  const bare = path.replace(/\/+$/, "");
  return shown(bare.slice(bare.lastIndexOf("/") + 1) || path);
}

/** @param {number} n */
export const number = (n) => n.toLocaleString("en");

/** @param {number} n @param {string} one @param {string} [many] */
export function count(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

/** A number of bytes, as people say it. @param {number} bytes */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  return `${unit && value < 10 ? value.toFixed(1) : number(Math.round(value))} ${units[unit]}`;
}

/** What a cluster is called; a name that is only suggested has a question mark.
 * @param {{cluster: number, name: string|null, suggested?: string|null}} cluster */
export function clusterName(cluster) {
  return cluster.name ?? `Cluster ${cluster.cluster}${cluster.suggested ? `, ${cluster.suggested}?` : ""}`;
}

/** @param {string} moment */
export function when(moment) {
  return new Date(moment).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

/** A view's head: title, a line below it, and what stands at its right.
 * @param {Child} title @param {Child} sub @param {...Child} right */
export function head(title, sub, ...right) {
  const heading = title instanceof Node ? title : element("h1", {}, title);
  return element("div", { class: "head" }, element("div", {}, heading, element("p", { class: "sub" }, sub)), element("div", { class: "right" }, ...right));
}

/** A view that has nothing to show. @param {string} title @param {...Child} rest */
export function empty(title, ...rest) {
  return element("div", { class: "empty" }, element("h1", {}, title), ...rest.map((part) => element("p", {}, part)));
}
