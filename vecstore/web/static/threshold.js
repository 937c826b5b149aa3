// The least score that is shown, as a slider, with the last picture that has it; part of the address (`min`).

import { api } from "./api.js";
import { element } from "./dom.js";
import { thumbnail } from "./images.js";
import { changed, stay } from "./router.js";

/** The control, and the list cut where the address says. @param {import("./sources.js").ListSource} source
 * @param {URLSearchParams} query @param {string} [label] */
export function threshold(source, query, label = "Least score") {
  const least = () => Math.min(...source.items.map((hit) => hit.score ?? 0));
  const asked = Number(query.get("min") ?? NaN);
  const input = element("input", { type: "range", id: "least", step: "0.005", min: String(Math.floor(least() * 100) / 100), max: "1" });
  input.value = Number.isFinite(asked) ? String(asked) : input.min;
  const said = element("output", { for: "least" });
  const edge = element("span", { class: "edge" });
  const cut = () => {
    const from = Number(input.value);
    const isAll = from <= Number(input.min);
    const n = source.items.filter((hit) => (hit.score ?? 0) >= from).length;
    source.cutAt(isAll ? null : n);
    said.textContent = isAll ? "all" : from.toFixed(3);
    const last = isAll ? undefined : source.items[Math.max(n - 1, 0)];
    edge.replaceChildren(...(last ? [thumbnail(api.thumbnail(last.id), ""), element("span", {}, `the last one: ${(last.score ?? 0).toFixed(3)}`)] : []));
  };
  input.addEventListener("input", cut);
  input.addEventListener("change", () => stay(changed({ min: Number(input.value) <= Number(input.min) ? null : input.value })));
  source.addEventListener("changed", () => {
    const lower = String(Math.floor(least() * 100) / 100);
    if (source.cut === null && lower !== input.min) {
      input.min = lower;
      input.value = lower;
    }
  });
  cut();
  return element("div", { class: "threshold" }, element("label", { for: "least" }, label), input, said, edge);
}
