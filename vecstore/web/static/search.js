// Searching: words, ids, a path, and pictures that are dropped, pasted or chosen, also several.

import { byId, element, shown, within } from "./dom.js";
import { address, go, href } from "./router.js";
import { say } from "./toasts.js";
import { sendFiles, takesFiles } from "./uploads.js";

/** @typedef {{file: File, url: string, name: string}} Picture */

const MOST = 20;

/** Pictures from outside, which the server does not keep, by the name of their set in an address. @type {Map<string, Picture[]>} */
const uploads = new Map();

/** @param {string|null} set */
export const uploaded = (set) => (set === null ? [] : (uploads.get(set) ?? null));

/** Where a text leads. @param {string} text */
export function wanted(text) {
  const parts = text.split(/[\s,]+/);
  if (parts.every((part) => /^-?@\d+$/.test(part))) {
    const ids = (/** @type {boolean} */ less) => parts.filter((part) => part.startsWith("-") === less).map((part) => part.replace(/\D/g, ""));
    if (ids(false).length) return href("/similar", { plus: ids(false), minus: ids(true) });
  }
  if (/[/*]|^~/.test(text)) return href("/pictures", { path: text });
  return href("/find", { q: text });
}

/** The text of the search box for an address. @param {import("./router.js").Address} from */
function textOf({ path, query }) {
  if (path === "/find") return query.get("q") ?? "";
  if (path === "/similar" && !query.get("upload")) {
    const ids = (/** @type {string} */ name, sign = "") => (query.get(name) ?? "").split(",").filter(Boolean).map((id) => `${sign}@${id}`);
    return [...ids("plus"), ...ids("minus", "-")].join(" ");
  }
  return path === "/pictures" ? (query.get("path") ?? "") : "";
}

/** The address that the field was last set from: what is typed into it since then stays when a view is drawn anew. */
let inField = "";
export function showInField() {
  if (location.hash === inField) return;
  inField = location.hash;
  within(document, "#find-text", HTMLInputElement).value = textOf(address());
}

/** Searches by pictures from outside, all of them together. @param {Iterable<File>} files */
export function searchBy(files) {
  const all = [...files];
  const pictures = all.filter((file) => file.type.startsWith("image/") || /\.(hei[cf]|tiff?|jp2|jxl|avif|webp|png|jpe?g|gif|bmp|dng|cr2|nef|arw)$/i.test(file.name) || all.length === 1);
  if (!pictures.length) return;
  if (pictures.length < all.length) say(`${all.length - pictures.length} of ${all.length} files are no pictures and were left out`);
  if (pictures.length > MOST) say(`The first ${MOST} of ${pictures.length} pictures are searched by`);
  const set = String(Date.now());
  uploads.set(set, pictures.slice(0, MOST).map((file) => ({ file, url: URL.createObjectURL(file), name: shown(file.name || "pasted picture") })));
  go(href("/similar", { upload: set }));
}

export function listenToSearch() {
  const words = within(document, "#find-text", HTMLInputElement);
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = words.value.trim();
    if (text) go(wanted(text));
  });
  const chooser = within(document, "#file", HTMLInputElement);
  byId("search").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    searchBy(chooser.files ?? []);
    chooser.value = "";
  });
  const drop = byId("drop");
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    depth += 1;
    drop.hidden = false;
    byId("drop-add").hidden = !takesFiles();
  });
  addEventListener("dragleave", () => {
    depth = Math.max(depth - 1, 0);
    drop.hidden = depth === 0;
  });
  const isForAdding = (/** @type {Event} */ event) => takesFiles() && event.target instanceof Element && Boolean(event.target.closest("#drop-add, #add-dialog"));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop-add").classList.toggle("over", isForAdding(event));
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.hidden = true;
    const files = event.dataTransfer?.files ?? [];
    if (!isForAdding(event)) return searchBy(files);
    within(document, "#add-dialog", HTMLDialogElement).close();
    sendFiles(files);
  });
  addEventListener("paste", (event) => searchBy(event.clipboardData?.files ?? []));
}

/** A picture that is searched by, and how to leave it out. @param {string} sign @param {string} name @param {string} source @param {string|null} without */
export function example(sign, name, source, without) {
  const image = element("img", { src: source, alt: "" });
  image.addEventListener("error", () => image.remove(), { once: true });
  const label = sign === "+" ? `More like ${name}` : `Less like ${name}`;
  return element(
    "li",
    { class: sign === "+" ? "chip" : "chip minus" },
    image,
    element("span", {}, element("span", { class: "visually-hidden" }, sign === "+" ? "More like " : "Less like "), element("b", { "aria-hidden": "true" }, `${sign} `), element("bdi", {}, name)),
    without ? element("a", { href: without, "aria-label": `Take ${name} away`, title: label, class: "drop" }, "×") : null,
  );
}
