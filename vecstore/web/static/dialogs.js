// Dialogs: one question, or a form whose problem is said in it.

import { button, element, within } from "./dom.js";

/**
 * Asks a question, and says whether it was answered with yes.
 * @param {string} title @param {string} text @param {string} yes @param {string} [no] @returns {Promise<boolean>}
 */
export function confirmed(title, text, yes, no = "Cancel") {
  return new Promise((resolve) => {
    /** @type {HTMLDialogElement} */
    const dialog = element(
      "dialog",
      { "aria-labelledby": "confirm-title" },
      element("h2", { id: "confirm-title" }, title),
      element("p", { class: "hint" }, text),
      element(
        "div",
        { class: "buttons" },
        button(no, () => dialog.close("no")),
        button(yes, () => dialog.close("yes"), { class: "danger" }),
      ),
    );
    dialog.addEventListener("close", () => (dialog.remove(), resolve(dialog.returnValue === "yes")));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * What a form or a key does, and does not begin again before it is done: on a slow line people press twice.
 * @template {any[]} T @param {(...given: T) => Promise<unknown>} run @returns {(...given: T) => Promise<void>}
 */
export function oneAtATime(run) {
  let isRunning = false;
  return async (...given) => {
    if (isRunning) return;
    isRunning = true;
    try {
      await run(...given);
    } finally {
      isRunning = false;
    }
  };
}

/**
 * Opens one of the page's forms. submitted: what is done with it; what it throws is said in the form, which stays open.
 * It may return false to stay open.
 * @param {string} id @param {(form: FormData) => Promise<unknown>} submitted
 */
export function openForm(id, submitted) {
  const dialog = within(document, `#${id}`, HTMLDialogElement);
  const form = within(dialog, "form", HTMLFormElement);
  const problem = within(form, ".problem", HTMLElement);
  form.reset();
  problem.hidden = true;
  const submit = oneAtATime(async () => {
    problem.hidden = true;
    form.setAttribute("aria-busy", "true");
    try {
      if ((await submitted(new FormData(form))) !== false) dialog.close();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
      problem.hidden = false;
    } finally {
      form.removeAttribute("aria-busy");
    }
  });
  form.onsubmit = (event) => (event.preventDefault(), submit());
  for (const close of dialog.querySelectorAll("[data-close]")) {
    if (close instanceof HTMLElement) close.onclick = () => dialog.close();
  }
  dialog.showModal();
  return dialog;
}
