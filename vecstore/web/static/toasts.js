// What is said in passing, in a column above the jobs, so that neither lies over the other.

import { button, byId, element } from "./dom.js";

const MOST = 3;
const QUIET_MS = 5000;
const LONG_MS = 12000;

/**
 * Says something in passing. problem: at once and for longer. action: a button beside it, such as Undo.
 * @param {string} text @param {{problem?: boolean, action?: {label: string, run: () => unknown}}} [more]
 */
export function say(text, { problem = false, action } = {}) {
  const place = byId(problem ? "alerts" : "toasts");
  const note = element("div", { class: problem ? "toast problem" : "toast" }, element("span", {}, text));
  if (action) {
    note.append(button(action.label, () => (note.remove(), action.run()), { class: "quiet" }));
  }
  place.append(note);
  while (place.children.length > MOST) place.firstElementChild?.remove();
  setTimeout(() => note.remove(), problem || action ? LONG_MS : QUIET_MS);
}

/** Says an error. @param {unknown} error */
export function complain(error) {
  say(error instanceof Error ? error.message : String(error), { problem: true });
}
