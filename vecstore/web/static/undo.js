// Taking back what was done last.

import { api } from "./api.js";
import { check, current, own } from "./live.js";
import { complain, say } from "./toasts.js";

/** @type {Record<string, string>} */
const CALLED = {
  add: "Adding pictures",
  sync: "Syncing a folder",
  relocate: "Moving paths",
  remove: "Removing pictures",
  import: "Importing vectors",
  retry: "Trying failures again",
  cluster: "Grouping into clusters",
  name: "Naming a cluster",
  merge: "Merging clusters",
  reassign: "Moving pictures to a cluster",
  pin: "Pinning pictures",
  select: "Changing a selection",
  decide: "Deciding about duplicates",
  act: "Acting on files",
};

/** What an operation is called. @param {{kind: string}} operation */
export const operationName = (operation) => CALLED[operation.kind] ?? operation.kind;

/** Says what was done, with a button that takes it back. @param {string} text */
export async function offerUndo(text) {
  await check();
  say(text, { action: { label: "Undo", run: undoing() } });
}

/** What takes back what was done last, and nothing that was done later: to be called when it was done. */
export function undoing() {
  const { changes } = current();
  return async () => {
    await check(); // what another tab has done a moment ago
    if (current().changes === changes) return undo();
    say("Something else was done since. History has it all, and takes back one after the other.");
  };
}

/** @param {boolean} [redo] */
export async function undo(redo = false) {
  try {
    own();
    const done = await api.undo(redo);
    const lost = done.lost ? `; ${done.lost} could not be brought back` : "";
    say(`${operationName(done)}: ${redo ? "done again" : "undone"}${lost}`, {
      action: { label: redo ? "Undo" : "Redo", run: () => undo(!redo) },
    });
    await check();
  } catch (error) {
    complain(error);
  }
}
