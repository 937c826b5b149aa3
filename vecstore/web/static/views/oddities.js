// Pictures that are odd by themselves: dark, bright, blurred, nearly blank, tiny, or of an odd shape.

import { api } from "../api.js";
import { count, element, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { href } from "../router.js";
import { ListSource } from "../sources.js";

const SHOWN = 1_000;
/** @type {Record<string, string>} */
const KINDS = { dark: "Dark", bright: "Bright", blurred: "Blurred", blank: "Nearly blank", tiny: "Tiny", "odd shape": "Oddly shaped" };

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showOddities({ query }) {
  const kind = query.get("kind") ?? "";
  const found = await api.oddities({ kind: kind in KINDS ? [kind] : [], k: SHOWN });
  // Of a picture that is odd in several ways all are said.
  /** @type {Map<number, import("../api.js").Oddity[]>} */
  const byId = new Map();
  for (const one of found) byId.set(one.id, [...(byId.get(one.id) ?? []), one]);
  const notes = new Map([...byId].map(([id, own]) => [id, own.map((one) => `${one.kind}: ${one.measure} ${round(one.value)}`).join(", ")]));
  const source = new ListSource([...byId].map(([id, [{ path }]]) => ({ id, path, note: notes.get(id) })));
  const grid = new Grid({
    label: "Odd pictures",
    source,
    lines: 1,
    extra: (item) => [element("span", { class: "score", title: item.note }, (byId.get(item.id) ?? []).map((one) => one.kind).join(", "))],
  });
  const one = (/** @type {string} */ wanted, /** @type {string} */ text) => element("a", { href: href("/oddities", { kind: wanted }), "aria-current": wanted === kind ? "true" : null }, text);
  const choice = element("div", { class: "choice wrap", role: "group", "aria-label": "Kind" }, one("", "All"), ...Object.entries(KINDS).map(([value, text]) => one(value, text)));
  return {
    nodes: [head("Odd pictures", source.total ? `${count(source.total, "picture")}, the oddest of each kind first.` : "No picture is beyond any bound.", sizeControl()), choice, source.total ? grid.element : null],
    grid,
    changed: (before, now) => (now.images !== before.images ? "refresh" : undefined),
  };
}

/** @param {number} value */
const round = (value) => Number(value.toPrecision(3));
