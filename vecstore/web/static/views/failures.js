// The files that could not be added, and why.

import { api } from "../api.js";
import { button, count, element, head, number, shown } from "../dom.js";
import { start } from "../jobs.js";
import { isReadOnly } from "../live.js";
import { complain } from "../toasts.js";

const SHOWN = 2_000;

/** @returns {Promise<import("./index.js").View>} */
export async function showFailures() {
  const failures = await api.failures();
  /** @type {Map<string, number>} */
  const reasons = new Map();
  for (const { reason } of failures) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const retry = button("Try them again", () => start({ kind: "retry" }).catch(complain));
  const rows = failures.slice(0, SHOWN).map(({ path, reason }) => element("tr", {}, element("td", { class: "path" }, element("bdi", {}, shown(path))), element("td", { dir: "auto" }, shown(reason))));
  const text = failures.length
    ? `${count(failures.length, "file")} could not be added. They are tried again when they change.${failures.length > SHOWN ? ` The first ${number(SHOWN)} are listed.` : ""}`
    : "Every file that was found could be added.";
  return {
    nodes: [
      head("Failures", text, failures.length && !isReadOnly() ? retry : null),
      failures.length
        ? element("div", { class: "scroll" }, element("table", { class: "table" }, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "File"), element("th", { scope: "col" }, "Why"))), element("tbody", {}, rows)))
        : null,
    ],
    changed: (before, now) => (before.failures !== now.failures ? "refresh" : undefined),
  };
}
