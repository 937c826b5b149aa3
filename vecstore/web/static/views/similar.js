// Pictures that are like others: stored ones, ones from outside, several together, and less like others.

import { api, ApiError } from "../api.js";
import { baseName, clusterName, count, element, empty, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { changed, href } from "../router.js";
import { example, uploaded } from "../search.js";
import { chips, conditions, filtersButton } from "../sidebar.js";
import { ListSource } from "../sources.js";
import { threshold } from "../threshold.js";

const FIRST = 200;
const MOST = 10_000;
/** Pictures from outside are sent each time, so more come at once. */
const FIRST_OF_UPLOAD = 1_000;

/** @param {string|null} text */
const ids = (text) => (text ?? "").split(",").filter((part) => /^\d+$/.test(part)).map(Number);

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showSimilar({ query }) {
  const [plus, minus] = [ids(query.get("plus")), ids(query.get("minus"))];
  const sent = query.get("upload");
  const pictures = uploaded(sent);
  if (pictures === null) {
    return { nodes: [empty("The picture is no longer here", "The server keeps nothing of a picture that is searched by. Drop it here again, paste it, or choose it.")] };
  }
  if (!pictures.length && !plus.length) throw new ApiError(404, "No picture is named to find others like it.");
  const { word: _, ...held } = conditions(query);
  const filter = { ...held, ...(held.cluster ? { cluster: Number(held.cluster) } : {}) };
  const look = async (/** @type {number} */ k) => {
    const hits = await (pictures.length
      ? api.similarToFiles(pictures.map((one) => one.file), { images: plus, minus, k, ...held })
      : api.similar({ images: plus, minus, k, ...filter }));
    return hits.map(({ id, path, score }) => ({ id, path, score }));
  };
  const first = pictures.length ? FIRST_OF_UPLOAD : FIRST;
  const [hits, examples, names] = await Promise.all([
    look(first),
    Promise.all([...plus, ...minus].map((id) => api.image(id))),
    held.cluster ? api.clusters().then((all) => new Map(all.map((one) => [one.cluster, clusterName(one)]))) : new Map(),
  ]);
  const nameOf = new Map(examples.map((image) => [image.id, baseName(image.paths[0])]));
  const without = (/** @type {number[]} */ list, /** @type {number} */ id) => list.filter((other) => other !== id);
  const again = (/** @type {number[]} */ p, /** @type {number[]} */ m) => changed({ plus: p, minus: m, at: null });
  const source = new ListSource(hits, async (n) => (n >= MOST || n < first ? null : look(Math.min(n * 4, MOST))));
  const grid = new Grid({
    label: "Similar pictures, the nearest first",
    source,
    lines: 1,
    extra: (hit) => {
      const name = baseName(hit.path);
      return [
        element("span", { class: "score", title: "Cosine similarity; 1 is the same picture" }, (hit.score ?? 0).toFixed(3)),
        sign("+", `More like ${name}`, again([...without(plus, hit.id), hit.id], without(minus, hit.id)), plus.includes(hit.id)),
        sign("−", `Less like ${name}`, again(without(plus, hit.id), [...without(minus, hit.id), hit.id]), minus.includes(hit.id)),
      ];
    },
  });
  const canDrop = plus.length + pictures.length > 1;
  const shownExamples = [
    ...pictures.map((one) => example("+", one.name, one.url, plus.length && pictures.length === 1 ? href("/similar", { plus, minus, ...held }) : null)),
    ...plus.map((id) => example("+", nameOf.get(id) ?? "", api.thumbnail(id), canDrop ? again(without(plus, id), minus) : null)),
    ...minus.map((id) => example("−", nameOf.get(id) ?? "", api.thumbnail(id), again(plus, without(minus, id)))),
  ];
  const one = shownExamples.length === 1;
  const title = one ? `Like ${plus.length ? nameOf.get(plus[0]) : pictures[0].name}` : "Like these";
  const all = pictures.length > 1 ? `All ${pictures.length} pictures are searched by together. ` : "";
  const text = () => `${all}${count(source.total, "picture")}${source.more && source.cut === null && source.total >= first ? " and more" : ""}, the nearest first. + looks for more of a kind, − looks away from it.`;
  const top = head(element("h1", {}, element("bdi", {}, title)), text(), filtersButton(), sizeControl());
  const retell = () => top.querySelector(".sub")?.replaceChildren(text());
  source.addEventListener("changed", retell);
  return {
    nodes: [
      top,
      element("ul", { class: "chips", "aria-label": "Examples" }, shownExamples),
      chips(query, names),
      hits.length > 1 ? threshold(source, query) : null,
      hits.length ? grid.element : element("p", { class: "sub" }, Object.keys(held).length ? "No picture fits all of these filters." : "Nothing else is in the store yet."),
    ],
    grid,
    filters: {},
  };
}

/** @param {string} text @param {string} label @param {string} to @param {boolean} isUsed */
function sign(text, label, to, isUsed) {
  return element("a", { class: isUsed ? "sign used" : "sign", href: to, "aria-label": label, title: label, tabindex: "-1" }, text);
}
