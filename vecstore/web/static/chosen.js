// The pictures that are chosen, whatever view they were chosen in, and the bar of what can be done with them.
// Another subject adds its own act with `addAct`, such as putting them into a selection.

import { api } from "./api.js";
import { button, byId, count, element } from "./dom.js";
import { confirmed } from "./dialogs.js";
import { isReadOnly, own } from "./live.js";
import { go, href } from "./router.js";
import { complain, say } from "./toasts.js";
import { offerUndo } from "./undo.js";

/** @typedef {{label: string, run: (ids: number[]) => unknown, danger?: boolean, writes?: boolean, primary?: boolean,
 *   isOffered?: () => boolean, title?: string}} Act */

const MOST_EXAMPLES = 100;

/** @type {Set<number>} */
const ids = new Set();
/** Event "changed". */
export const chosen = Object.assign(new EventTarget(), {
  has: (/** @type {number} */ id) => ids.has(id),
  all: () => [...ids],
  size: () => ids.size,
  /** @param {Iterable<number>} some @param {boolean} [wanted] */
  set(some, wanted = true) {
    for (const id of some) wanted ? ids.add(id) : ids.delete(id);
    changed();
  },
  /** @param {number} id */
  toggle(id) {
    chosen.set([id], !ids.has(id));
  },
  clear() {
    ids.clear();
    changed();
  },
});

/** @type {Act[]} */
const acts = [
  {
    label: "More like these",
    primary: true,
    run: (some) => {
      if (some.length > MOST_EXAMPLES) return say(`Choose at most ${MOST_EXAMPLES} pictures to search by`, { problem: true });
      chosen.clear();
      go(href("/similar", { plus: some }));
    },
  },
  { label: "Remove", danger: true, writes: true, run: removeAll },
];

/** Adds what can be done with chosen pictures, before Remove. @param {Act} act */
export function addAct(act) {
  acts.splice(acts.length - 1, 0, act);
}

/** Asks, and takes pictures out of the store. @param {number[]} some @returns {Promise<boolean>} */
export async function removeAll(some) {
  const what = some.length === 1 ? "this picture" : `these ${count(some.length, "picture")}`;
  const text = `The store forgets ${what}. ${some.length === 1 ? "Its file stays" : "Their files stay"} where ${some.length === 1 ? "it is" : "they are"}, and you can undo it.`;
  if (!(await confirmed("Remove from the store?", text, "Remove", "Keep"))) return false;
  try {
    own();
    const { removed } = await api.remove(some);
    chosen.set(some, false);
    await offerUndo(`${count(removed, "picture")} removed`);
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

function changed() {
  const bar = byId("acts");
  const wasHidden = bar.hidden;
  bar.hidden = !ids.size;
  document.body.classList.toggle("choosing", ids.size > 0);
  if (ids.size) {
    bar.replaceChildren(
      element("strong", { role: "status" }, `${count(ids.size, "picture")} chosen`),
      button("Clear", () => chosen.clear(), { class: "quiet", "aria-keyshortcuts": "Escape" }),
      element(
        "div",
        { class: "acts" },
        acts
          .filter((act) => !(act.writes && isReadOnly()) && (act.isOffered?.() ?? true))
          .map((act) => button(act.label, () => act.run([...ids]), { class: act.primary ? "primary" : act.danger ? "danger" : "", title: act.title })),
      ),
    );
  } else if (!wasHidden && bar.contains(document.activeElement)) {
    byId("main").focus({ preventScroll: true });
  }
  chosen.dispatchEvent(new Event("changed"));
}
