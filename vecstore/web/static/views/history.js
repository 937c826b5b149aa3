// What was done to the store: the groupings, any of which can be brought back, and what can be undone.

import { api } from "../api.js";
import { button, count, element, head, number, shown, when } from "../dom.js";
import { isReadOnly, own } from "../live.js";
import { complain } from "../toasts.js";
import { offerUndo, operationName, undo } from "../undo.js";

/** @type {Record<string, string>} */
const METHODS = { agglomerative: "by joining what is nearest,", leiden: "by communities of neighbours", hdbscan: "by dense places", meanshift: "by peaks of density" };

/** What an operation was about, in the page's words. @param {import("../api.js").Operation} operation */
function about({ kind, what }) {
  if (kind !== "cluster") return shown(what);
  return what
    .replace(/^--method (\S+)/, (_, method) => METHODS[method] ?? `by ${method}`)
    .replace(/^--tree auto/, "into a tree, of as many clusters as suit them")
    .replace(/^--tree (\d[\d,]*)/, (_, levels) => `into a tree of ${levels.split(",").join(" › ")} clusters`)
    .replace(/-k auto/, "into as many clusters as suit them")
    .replace(/-k (\d+)/, "into $1 clusters")
    .replace(/^--use (\d+)/, "back to grouping $1");
}

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showHistory({ refresh }) {
  const [clusterings, operations] = await Promise.all([api.clusterings(), api.operations()]);
  const use = async (/** @type {number} */ number) => {
    try {
      own();
      const used = await api.useClustering(number);
      await offerUndo(`Grouping ${number} is back: ${count(used.k, "cluster")}`);
      await refresh();
    } catch (error) {
      complain(error);
    }
  };
  const groupings = [...clusterings].reverse().map((one) =>
    element(
      "li",
      { class: one.current ? "entry current" : "entry" },
      element(
        "div",
        {},
        element("strong", {}, `Grouping ${one.clustering}: ${count(one.k, "cluster")}`),
        element("span", { class: "sub" }, `${when(one.created)} · ${count(one.rows, "picture")}${one.previous === null ? "" : ` · ${number(one.kept)} kept, ${number(one.born)} new, ${number(one.gone)} gone; ${count(one.moved, "picture")} moved`}`),
        one.k_reason ? element("span", { class: "sub" }, `Why ${one.k}: ${one.k_reason}.`) : null,
      ),
      one.current ? element("span", { class: "badge" }, "In use") : isReadOnly() ? null : button("Bring it back", () => use(one.clustering)),
    ),
  );
  const done = operations.map((one) =>
    element(
      "li",
      { class: one.undone ? "entry undone" : "entry" },
      element("div", {}, element("strong", {}, operationName(one)), element("span", { class: "sub" }, element("bdi", {}, about(one)), ` · ${when(one.began)}`)),
      one.undone ? element("span", { class: "badge" }, "Undone") : null,
    ),
  );
  const [canUndo, canRedo] = [operations.some((one) => !one.undone), operations.some((one) => one.undone)];
  return {
    nodes: [
      head("History", "Groupings, and what was done to the store, newest first."),
      element("h2", {}, "Groupings"),
      groupings.length ? element("ul", { class: "entries", "aria-label": "Groupings" }, groupings) : element("p", { class: "sub" }, "The pictures were not grouped yet."),
      element(
        "div",
        { class: "title spaced" },
        element("h2", {}, "What was done"),
        isReadOnly() || !canUndo ? null : button("Undo the last", () => undo()),
        isReadOnly() || !canRedo ? null : button("Redo", () => undo(true)),
      ),
      done.length ? element("ul", { class: "entries", "aria-label": "What was done" }, done) : element("p", { class: "sub" }, "Nothing that could be undone."),
    ],
    changed: (before, now) => (before.changes !== now.changes || before.clustering !== now.clustering ? "refresh" : undefined),
  };
}
