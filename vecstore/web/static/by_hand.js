// What people decide about chosen pictures: selections, and clusters changed by hand.

import { api } from "./api.js";
import { addAct, chosen } from "./chosen.js";
import { oneAtATime } from "./dialogs.js";
import { button, clusterName, count, element, shown } from "./dom.js";
import { current, own } from "./live.js";
import { address } from "./router.js";
import { complain } from "./toasts.js";
import { offerUndo } from "./undo.js";

/** Asks with one field. @param {string} title @param {Node[]} field @param {string} yes @param {() => Promise<unknown>} run */
function ask(title, field, yes, run) {
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const submit = oneAtATime(async () => {
    try {
      own();
      await run();
      dialog.close();
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
      problem.hidden = false;
    }
  });
  /** @type {HTMLDialogElement} */
  const dialog = element(
    "dialog",
    { "aria-labelledby": "ask-title" },
    element(
      "form",
      { method: "dialog", onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), submit()) },
      element("h2", { id: "ask-title" }, title),
      field,
      problem,
      element("div", { class: "buttons" }, button("Cancel", () => dialog.close()), element("button", { type: "submit", class: "primary" }, yes)),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {number[]} ids */
async function addToSelection(ids) {
  const known = await api.selections().catch(() => []);
  const input = element("input", { type: "text", id: "selection", required: true, maxlength: "200", list: "selections", autocomplete: "off", dir: "auto" });
  const list = element("datalist", { id: "selections" }, known.map((one) => element("option", { value: one.name })));
  ask(`Put ${count(ids.length, "picture")} into a selection`, [element("label", { for: "selection" }, "Name of the selection"), input, list], "Put in", async () => {
    const done = await api.putInto(input.value.trim(), ids);
    chosen.clear();
    await offerUndo(`${count(done.added, "picture")} put into ${shown(done.name)}`);
  });
}

/** @param {number[]} ids @param {string} name */
async function takeOut(ids, name) {
  try {
    own();
    const done = await api.select(name, { images: ids, remove: true });
    chosen.clear();
    await offerUndo(`${count(done.removed, "picture")} taken out of ${shown(name)}`);
  } catch (error) {
    complain(error);
  }
}

/** @param {number[]} ids */
async function moveToCluster(ids) {
  const clusters = await api.clusters().catch(() => []);
  const select = element("select", { id: "to" }, element("option", { value: "new" }, "A new cluster"), clusters.map((one) => element("option", { value: one.cluster }, clusterName(one))));
  ask(`Move ${count(ids.length, "picture")}`, [element("p", { class: "hint" }, "They stay there when the pictures are grouped again."), element("label", { for: "to" }, "To"), select], "Move", async () => {
    const done = await (select.value === "new" ? api.newCluster(ids) : api.moveTo(Number(select.value), ids));
    chosen.clear();
    const to = clusters.find((one) => one.cluster === done.cluster);
    await offerUndo(`${count(done.moved, "picture")} moved to ${to ? clusterName(to) : `the new cluster ${done.cluster}`}`);
  });
}

/** What is pinned, as long as the store is as it was. @type {{changes: string, ids: Promise<Set<number>>}|null} */
let known = null;

/** The pictures that stay in their cluster. @returns {Promise<Set<number>>} */
export function pinned() {
  const { changes, clustering } = current();
  if (clustering === null) return Promise.resolve(new Set());
  if (known?.changes !== changes) known = { changes, ids: api.pins().then((pins) => new Set(pins.map((pin) => pin.id))) };
  return known.ids;
}

/** Pins pictures to their clusters, or lets them go where all of them are pinned. @param {number[]} ids */
export async function pinOrUnpin(ids) {
  try {
    const held = await pinned();
    const remove = ids.every((id) => held.has(id));
    own();
    const done = await api.pin(ids, remove);
    await offerUndo(remove ? `${count(done.length, "picture")} unpinned: the next grouping decides again` : `${count(done.length, "picture")} pinned: ${done.length === 1 ? "it stays in its cluster" : "they stay in their clusters"}`);
    return !remove;
  } catch (error) {
    complain(error);
    return null;
  }
}

/** Asks which cluster to make one of with another. @param {import("./api.js").Cluster} cluster @param {() => unknown} done */
export async function mergeCluster(cluster, done) {
  const others = (await api.clusters().catch(() => [])).filter((one) => one.cluster !== cluster.cluster);
  const select = element("select", { id: "with" }, others.map((one) => element("option", { value: one.cluster }, clusterName(one))));
  ask(`Merge ${clusterName(cluster)}`, [element("label", { for: "with" }, "With"), select], "Merge", async () => {
    await api.merge([cluster.cluster, Number(select.value)]);
    await offerUndo(`Merged into ${clusterName(cluster)}`);
    await done();
  });
}

/** Lets these acts be chosen from. */
export function offerActs() {
  addAct({ label: "Add to selection", writes: true, run: addToSelection });
  addAct({
    label: "Take out",
    writes: true,
    isOffered: () => Boolean(address().query.get("in_selection")),
    run: (ids) => takeOut(ids, address().query.get("in_selection") ?? ""),
  });
  addAct({ label: "Pin or unpin", title: "They stay in their clusters when pictures are grouped again (p)", writes: true, isOffered: () => current().clustering !== null, run: pinOrUnpin });
  addAct({ label: "Move to cluster", writes: true, isOffered: () => current().clustering !== null, run: moveToCluster });
}
