// The views but the map: each returns what is to stand in `main`.

import { api } from "./api.js";
import { baseName, count, element, say, shown } from "./dom.js";
import { endlessGrid, missing, tile } from "./grid.js";

const PAGE = 60;
const NEIGHBOURS = 60;

/** Asks the page for what it has a dialog for. */
export function want(what, id = null) {
  dispatchEvent(new CustomEvent("wanted", { detail: { what, id } }));
}

function similarTo(plus, minus = [], upload = null) {
  const query = new URLSearchParams();
  if (upload) query.set("upload", upload);
  if (plus.length) query.set("plus", plus.join(","));
  if (minus.length) query.set("minus", minus.join(","));
  return `#/similar?${query}`;
}

/** What a cluster is called; a name that is only suggested has a question mark. */
export function clusterName(cluster) {
  return cluster.name ?? `Cluster ${cluster.cluster}${cluster.suggested ? `, ${cluster.suggested}?` : ""}`;
}

function button(text, onclick, more = {}) {
  return element("button", { type: "button", onclick, ...more }, text);
}

function nothingYet() {
  return element(
    "div",
    { class: "empty" },
    element("h1", {}, "No pictures yet"),
    element("p", {}, "Add a folder, and its pictures become searchable. They stay where they are; nothing is copied."),
    element("p", {}, button("Add pictures", () => want("add"), { class: "primary" })),
  );
}

function newestFirst(label) {
  let before = null;
  return endlessGrid(label, async () => {
    const images = before === 0 ? [] : await api.images(PAGE, before ?? undefined);
    if (images.length) before = images.at(-1).id;
    return images.map((image) => tile({ id: image.id, path: image.paths[0], href: similarTo([image.id]) }));
  });
}

export async function showPictures({ state }) {
  if (!state.images) return nothingYet();
  return [
    element("div", { class: "head" }, element("div", {}, element("h1", {}, "Pictures"), element("p", { class: "sub" }, `${count(state.images, "picture")}, the newest first`))),
    newestFirst("Pictures, the newest first"),
  ];
}

// Clusters

export async function showClusters({ state }) {
  if (!state.images) return nothingYet();
  const group = (text, kind) => button(text, () => want("cluster"), { class: kind });
  if (state.clustering === null) {
    return [
      element(
        "div",
        { class: "head" },
        element("div", {}, element("h1", {}, "Not grouped yet"), element("p", { class: "sub" }, `${count(state.images, "picture")}. Grouping puts those together that look alike.`)),
        group("Group into clusters", "primary"),
      ),
      newestFirst("Pictures, the newest first"),
    ];
  }
  const clusters = await api.clusters();
  const cards = element("ul", { class: "cards", "aria-label": "Clusters, the largest first" }, clusters.map(card));
  return [
    element(
      "div",
      { class: "head" },
      element("div", {}, element("h1", {}, count(clusters.length, "cluster")), element("p", { class: "sub" }, `${count(state.images, "picture")}, the largest cluster first`)),
      group("Group again", ""),
    ),
    cards,
  ];
}

const whenSeen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      whenSeen.unobserve(entry.target);
      entry.target.dispatchEvent(new Event("seen"));
    }
  },
  { rootMargin: "300px" },
);

function card(cluster) {
  const mosaic = element("span", { class: "mosaic" });
  mosaic.addEventListener("seen", async () => {
    const members = await api.members(cluster.cluster, 4, 0, false).catch(() => []);
    mosaic.replaceChildren(
      ...members.map(({ id, path }) => {
        const image = element("img", { src: api.thumbnail(id), alt: "", decoding: "async" });
        image.addEventListener("error", () => image.replaceWith(missing(baseName(path))), { once: true });
        return image;
      }),
    );
    mosaic.dataset.pictures = members.length;
  });
  whenSeen.observe(mosaic);
  return element(
    "li",
    { class: "card" },
    element(
      "a",
      { href: `#/cluster/${cluster.cluster}` },
      mosaic,
      element("span", { class: "label" }, element("strong", {}, clusterName(cluster)), element("span", { class: "sub" }, count(cluster.size, "picture"))),
    ),
  );
}

export async function showCluster({ arguments: [, number], query, refresh }) {
  const id = Number(number);
  const farthest = query.get("order") === "odd";
  const cluster = (await api.clusters()).find((found) => found.cluster === id);
  if (!cluster) throw Object.assign(new Error(`There is no cluster ${id} in the current grouping.`), { status: 404 });
  const title = element("h1", {}, clusterName(cluster));
  const holder = element("div", { class: "title" }, title);
  const rename = button(cluster.name ? "Rename" : "Name it", () => editName(holder, cluster, refresh), { class: "quiet" });
  holder.append(rename);
  const order = (odd, text) =>
    element("a", { href: `#/cluster/${id}${odd ? "?order=odd" : ""}`, "aria-current": odd === farthest ? "true" : null }, text);
  let start = 0;
  const grid = endlessGrid(`Pictures of ${clusterName(cluster)}`, async () => {
    const members = await api.members(id, PAGE, start, farthest);
    start += members.length;
    return members.map((member) => tile({ id: member.id, path: member.path, href: similarTo([member.id]) }));
  });
  return [
    element("p", { class: "back" }, element("a", { href: "#/" }, "← All clusters")),
    element(
      "div",
      { class: "head" },
      element(
        "div",
        {},
        holder,
        element("p", { class: "sub" }, `${count(cluster.size, "picture")} · cohesion ${cluster.cohesion.toFixed(2)}`),
      ),
      element("div", { class: "choice", role: "group", "aria-label": "Order" }, order(false, "Typical first"), order(true, "Odd first")),
    ),
    grid,
  ];
}

function editName(holder, cluster, done) {
  const input = element("input", { type: "text", id: "name", value: cluster.name ?? "", maxlength: "200", "aria-label": "Name of the cluster", autocomplete: "off" });
  const form = element(
    "form",
    { class: "rename" },
    input,
    element("button", { type: "submit", class: "primary" }, "Save"),
    button("Cancel", done),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const named = await api.name(cluster.cluster, input.value);
      say(named.name ? `Called ${named.name}` : "The name is gone");
      await done();
    } catch (error) {
      say(error.message, true);
    }
  });
  form.addEventListener("keydown", (event) => event.key === "Escape" && done());
  holder.replaceChildren(form);
  input.select();
}

// Pictures by words

export async function showFound({ query }) {
  const q = (query.get("q") ?? "").trim();
  const head = (text) =>
    element("div", { class: "head" }, element("div", {}, element("h1", {}, q ? `“${q}”` : "Search by words"), element("p", { class: "sub" }, text)));
  if (!q) return head("Type what the pictures show: dog, bird, vehicle, food.");
  let hits;
  try {
    hits = await api.find(q, NEIGHBOURS);
  } catch (error) {
    // What cannot be asked for is an answer too, and says what can be.
    if (error.status !== 400) throw error;
    return head(error.message);
  }
  if (!hits.length) return head("No picture in the store shows this, as far as its network can tell.");
  const tiles = hits.map((hit) =>
    tile({
      id: hit.id,
      path: hit.path,
      href: similarTo([hit.id]),
      caption: element("span", { class: "score", title: `Probability that it shows this: ${hit.words.join(", ")}` }, hit.score.toFixed(2)),
    }),
  );
  return [
    head(`${count(hits.length, "picture")}, the most probable first. Below each picture: how probable it is.`),
    element("ul", { class: "grid", "aria-label": `Pictures of ${q}, the most probable first` }, tiles),
  ];
}

// Similar pictures

function ids(text) {
  return (text ?? "").split(",").filter((part) => /^\d+$/.test(part)).map(Number);
}

export async function showSimilar({ state, query, upload }) {
  const [plus, minus] = [ids(query.get("plus")), ids(query.get("minus"))];
  const sent = query.get("upload");
  if (sent && !upload) {
    return element(
      "div",
      { class: "empty" },
      element("h1", {}, "The picture is no longer here"),
      element("p", {}, "The server keeps nothing of a picture that is searched by. Drop it here again, paste it, or choose it."),
    );
  }
  if (!sent && !plus.length) throw Object.assign(new Error("No picture is named to find others like it."), { status: 404 });
  const single = !sent && plus.length === 1 && !minus.length ? plus[0] : null;
  const search = sent ? api.similarToFile(upload.file, plus, minus, NEIGHBOURS) : api.similar(plus, minus, NEIGHBOURS);
  const [hits, details, examples] = await Promise.all([
    search,
    single !== null ? aside(single, state) : null,
    Promise.all([...plus, ...minus].map((id) => api.image(id))),
  ]);
  const pathOf = new Map(examples.map((image) => [image.id, image.paths[0]]));
  const without = (list, id) => list.filter((other) => other !== id);
  const again = (p, m) => similarTo(p, m, sent);
  const tiles = hits.map((hit) =>
    tile({
      id: hit.id,
      path: hit.path,
      href: similarTo([hit.id]),
      caption: element("span", { class: "score", title: "Cosine similarity; 1 is the same picture" }, hit.score.toFixed(3)),
      actions: [
        example("+", `More like ${baseName(hit.path)}`, again([...without(plus, hit.id), hit.id], without(minus, hit.id)), plus.includes(hit.id)),
        example("−", `Less like ${baseName(hit.path)}`, again(without(plus, hit.id), [...without(minus, hit.id), hit.id]), minus.includes(hit.id)),
      ],
    }),
  );
  const chips = [];
  const canDrop = plus.length + (sent ? 1 : 0) > 1;
  if (sent) chips.push(chip("+", upload.name, upload.url, plus.length ? similarTo(plus, minus) : null));
  for (const id of plus) chips.push(chip("+", baseName(pathOf.get(id)), api.thumbnail(id), canDrop ? again(without(plus, id), minus) : null));
  for (const id of minus) chips.push(chip("−", baseName(pathOf.get(id)), api.thumbnail(id), again(plus, without(minus, id))));
  const found = element("ul", { class: "grid", "aria-label": "Similar pictures, the nearest first" }, tiles);
  const title = single !== null ? `Like ${baseName(pathOf.get(single))}` : sent && chips.length === 1 ? `Like ${upload.name}` : "Like these";
  return element(
    "div",
    { class: details ? "split" : "" },
    details,
    element(
      "div",
      {},
      element("div", { class: "head" }, element("div", {}, element("h1", {}, title), element("p", { class: "sub" }, `${count(hits.length, "picture")}, the nearest first. + looks for more of a kind, − looks away from it.`))),
      details ? null : element("ul", { class: "chips", "aria-label": "Examples" }, chips),
      tiles.length ? found : element("p", { class: "sub" }, "Nothing else is in the store yet."),
    ),
  );
}

function example(sign, label, href, isUsed) {
  return element("a", { class: isUsed ? "sign used" : "sign", href, "aria-label": label, title: label, role: "button" }, sign);
}

function chip(sign, name, source, removeHref) {
  const image = element("img", { src: source, alt: "" });
  image.addEventListener("error", () => image.remove(), { once: true });
  const label = sign === "+" ? `More like ${name}` : `Less like ${name}`;
  return element(
    "li",
    { class: sign === "+" ? "chip" : "chip minus" },
    image,
    element("span", {}, element("span", { class: "visually-hidden" }, sign === "+" ? "More like " : "Less like "), element("b", { "aria-hidden": "true" }, `${sign} `), name),
    removeHref ? element("a", { href: removeHref, "aria-label": `Take ${name} away`, title: label, class: "drop" }, "×") : null,
  );
}

/** All that is known of one picture, beside what is similar to it. */
async function aside(id, state) {
  const [image, clusters] = await Promise.all([api.image(id), state.clustering === null ? [] : api.clusters()]);
  const cluster = clusters.find((found) => found.cluster === image.cluster);
  const name = baseName(image.paths[0]);
  const picture = element("img", { src: api.original(id), alt: name });
  picture.addEventListener(
    "error",
    () => {
      picture.addEventListener("error", () => picture.replaceWith(missing(name)), { once: true });
      picture.src = api.thumbnail(id);
    },
    { once: true },
  );
  const size = image.width ? [element("dt", {}, "Size"), element("dd", {}, `${image.width} × ${image.height}`)] : [];
  return element(
    "section",
    { class: "detail", "aria-label": "The picture" },
    element("a", { href: api.original(id), target: "_blank", rel: "noopener", class: "picture", "aria-label": `Open ${name} in full size` }, picture),
    element(
      "dl",
      {},
      element("dt", {}, image.paths.length > 1 ? "Paths" : "Path"),
      image.paths.map((path) => element("dd", { class: "path" }, shown(path))),
      element("dt", {}, "Id"),
      element("dd", {}, `@${id}`),
      cluster ? [element("dt", {}, "Cluster"), element("dd", {}, element("a", { href: `#/cluster/${cluster.cluster}` }, clusterName(cluster)))] : null,
      size,
      element("dt", {}, "Added"),
      element("dd", {}, new Date(image.added).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })),
    ),
    element(
      "p",
      { class: "buttons" },
      element("a", { class: "button", href: api.original(id), target: "_blank", rel: "noopener" }, "Open original"),
      button("Remove", () => want("remove", id), { class: "danger quiet" }),
    ),
  );
}
