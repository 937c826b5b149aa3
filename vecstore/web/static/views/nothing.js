// What stands in place of pictures before there are any.

import { button, empty } from "../dom.js";
import { addPictures } from "../adding.js";
import { isReadOnly } from "../live.js";

/** @returns {import("./index.js").View} */
export function nothingYet() {
  return {
    nodes: [
      empty(
        "No pictures yet",
        "Add a folder, and its pictures become searchable. They stay where they are; nothing is copied.",
        isReadOnly() ? null : button("Add pictures", () => addPictures(), { class: "primary" }),
      ),
    ],
    /** @type {NonNullable<import("./index.js").View["changed"]>} */
    changed: (before, now) => (now.images ? "refresh" : undefined),
  };
}
