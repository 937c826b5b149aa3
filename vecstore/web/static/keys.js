// Keys that hold everywhere, and the list of all keys.

import { pinOrUnpin } from "./by_hand.js";
import { chosen } from "./chosen.js";
import { button, element, within } from "./dom.js";
import { current, isReadOnly } from "./live.js";
import { go } from "./router.js";
import { closeSidebar } from "./sidebar.js";

const KEYS = [
  ["/", "search"],
  ["g then c, p, m, d, o, h, f", "clusters, pictures, map, duplicates, outliers, history, failures"],
  ["← → ↑ ↓", "go through the pictures"],
  ["Home, End, Page up, Page down", "first, last, a page back, a page on"],
  ["[ ]", "to the month or group before, or after, in a list that has some"],
  ["Enter", "look at the picture"],
  ["Space, or a click on its corner", "choose the picture"],
  ["Shift with an arrow or a click", "choose all up to there"],
  ["Ctrl A", "choose all of the list"],
  ["+ −", "larger and smaller thumbnails; on the map and a picture, zoom"],
  ["0", "all of the map, or the picture"],
  ["x, i, s, o, Delete", "of a picture: choose, what is known of it, find similar, open original, remove"],
  ["p", "pin a picture, or the chosen ones, to the cluster, or unpin"],
  ["1 to 9, b, n, l, d", "of duplicates: keep that one, keep both, not duplicates, decide later, show differences"],
  ["Escape", "close; choose nothing"],
  ["?", "this list"],
];
/** @type {Record<string, string>} */
const PLACES = { c: "#/", p: "#/pictures", m: "#/map", d: "#/duplicates", o: "#/outliers", h: "#/history", f: "#/failures" };
let isGoing = false;

export function showKeys() {
  /** @type {HTMLDialogElement} */
  const dialog = element(
    "dialog",
    { class: "keys", "aria-labelledby": "keys-title" },
    element("h2", { id: "keys-title", tabindex: "-1", autofocus: true }, "Keys"), // where they begin, and not at the button below
    element("dl", {}, KEYS.map(([key, what]) => [element("dt", {}, key), element("dd", {}, what)])),
    element("div", { class: "buttons" }, button("Close", () => dialog.close(), { class: "primary" })),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target instanceof Element && event.target.closest("input:not([type=range], [type=checkbox]), textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && !event.defaultPrevented) {
      if (isTyping instanceof HTMLElement) isTyping.blur();
      else if (!closeSidebar()) chosen.clear();
      return;
    }
    if (isTyping) return;
    if (isGoing && event.key in PLACES) go(PLACES[event.key]);
    else if (event.key === "p" && chosen.size() && current().clustering !== null && !isReadOnly() && !document.querySelector(".review")) pinOrUnpin(chosen.all());
    else if (event.key === "/") within(document, "#find-text", HTMLInputElement).select();
    else if (event.key === "?") showKeys();
    else if (event.key === "[" || event.key === "]") dispatchEvent(new CustomEvent("jump", { detail: event.key === "[" ? -1 : 1 }));
    else {
      isGoing = event.key === "g";
      return;
    }
    isGoing = false;
    event.preventDefault();
  });
}
