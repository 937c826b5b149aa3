// Pictures that the page shows. One that cannot be had says so, and is asked for again when a server that was down is back.

import { element } from "./dom.js";
import { live } from "./live.js";

/** What puts a picture back where something stands for it. @type {WeakMap<Element, () => void>} */
const putBack = new WeakMap();

live.addEventListener("up", () => {
  for (const instead of document.querySelectorAll(".missing")) putBack.get(instead)?.();
});

/** Puts something in a picture's place where its file is gone or cannot be read.
 * @param {HTMLImageElement} image @param {string} name @param {string} [other] another source, which is tried before that */
export function sayIfMissing(image, name, other = "") {
  let first = "";
  image.addEventListener("error", () => {
    const source = image.getAttribute("src");
    if (!source) return; // it is not wanted any more
    if (other && source !== other) {
      first = source;
      image.src = other;
      return;
    }
    const instead = element("span", { class: "missing" }, element("span", {}, element("bdi", {}, image.alt || name)), element("small", {}, "its file is not there"));
    putBack.set(instead, () => {
      instead.replaceWith(image);
      image.src = first || source;
    });
    image.replaceWith(instead);
  });
}

/** A thumbnail, which says so where the file is gone. @param {string} source @param {string} name */
export function thumbnail(source, name) {
  const image = element("img", { alt: name, decoding: "async", draggable: "false" });
  sayIfMissing(image, name);
  if (source) image.src = source;
  return image;
}
