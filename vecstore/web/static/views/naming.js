// The name of a cluster, or of a node above clusters: given, changed, taken away, and confirmed where it is in doubt.

import { api } from "../api.js";
import { oneAtATime } from "../dialogs.js";
import { button, clusterName, element, shown } from "../dom.js";
import { isReadOnly, own } from "../live.js";
import { complain } from "../toasts.js";
import { offerUndo } from "../undo.js";

/** @typedef {{cluster: number, name: string|null, suggested: string|null, kept: number|null, doubtful: boolean}} Named */

/** The title with what names it, and what is to be said of a name in doubt. @param {Named} named @param {() => unknown} refresh */
export function titleOf(named, refresh) {
  const holder = element("div", { class: "title" }, element("h1", { dir: "auto" }, clusterName(named)));
  if (!isReadOnly()) holder.append(button(named.name ? "Rename" : "Name it", () => editName(holder, named, refresh), { class: "quiet" }));
  const kept = Math.round(100 * (named.kept ?? 0));
  const note = named.doubtful
    ? element(
        "p",
        { class: "doubtful" },
        element("span", {}, `This name may no longer be true: of the pictures that it was given for, ${kept} % are here.`),
        isReadOnly() ? null : button("It is still true", () => give(named, named.name ?? "", "Confirmed", refresh)),
      )
    : null;
  return { holder, note };
}

/** @param {HTMLElement} holder @param {Named} named @param {() => unknown} done */
function editName(holder, named, done) {
  const input = element("input", { type: "text", id: "name", dir: "auto", maxlength: "200", "aria-label": "Name of the cluster", autocomplete: "off" });
  input.value = named.name ?? named.suggested ?? "";
  const form = element("form", { class: "rename" }, input, element("button", { type: "submit", class: "primary" }, "Save"), button("Cancel", done));
  const submit = oneAtATime(() => give(named, input.value, "", () => (form.remove(), done())));
  form.addEventListener("submit", (event) => (event.preventDefault(), submit()));
  form.addEventListener("keydown", (event) => event.key === "Escape" && (event.preventDefault(), done()));
  holder.replaceChildren(form);
  input.select();
}

/** @param {Named} named @param {string} name @param {string} said @param {() => unknown} done */
async function give(named, name, said, done) {
  try {
    own();
    const given = await api.name(named.cluster, name);
    await offerUndo(said || (given.name ? `Called ${shown(given.name)}` : "The name is gone"));
    await done();
  } catch (error) {
    complain(error);
  }
}
