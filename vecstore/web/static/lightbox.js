// One picture, large: what is known of it, what is like it, and the pictures before and after it in its view.
// It is a dialog, so the focus stays in it and Escape leads back; the address names the picture (`at`).

import { api, ApiError } from "./api.js";
import { pinned, pinOrUnpin } from "./by_hand.js";
import { chosen, removeAll } from "./chosen.js";
import { baseName, button, byId, clusterName, count, element, shown, size, when } from "./dom.js";
import { sayIfMissing, thumbnail } from "./images.js";
import { isReadOnly, live } from "./live.js";
import { address, changed, go, href, remembered, replace } from "./router.js";
import { monthOf } from "./sidebar.js";

/** @typedef {import("./grid.js").Grid} Grid */

const NEIGHBOURS = 12;
const MOST_ZOOM = 16;

class Lightbox {
  constructor() {
    this.picture = element("div", { class: "stage", tabindex: "-1" });
    this.about = element("aside", { class: "about", "aria-label": "About this picture" });
    this.title = element("h2", { id: "lightbox-title", tabindex: "-1" });
    const tool = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {() => unknown} */ run, key = "") =>
      button(sign, run, { class: "tool", "aria-label": label, title: key ? `${label} (${key})` : label });
    this.before = tool("‹", "Picture before", () => this.step(-1), "←");
    this.after = tool("›", "Next picture", () => this.step(1), "→");
    this.before.classList.add("side");
    this.after.classList.add("side", "next");
    this.choose = tool("✓", "Choose this picture", () => this.toggle(), "x");
    this.dialog = element(
      "dialog",
      { class: "lightbox", "aria-labelledby": "lightbox-title" },
      element(
        "header",
        {},
        this.title,
        element(
          "div",
          { class: "tools" },
          tool("−", "Zoom out", () => this.zoomBy(1 / 1.5), "−"),
          tool("+", "Zoom in", () => this.zoomBy(1.5), "+"),
          tool("⤢", "Fit to the window", () => this.fit(), "0"),
          this.choose,
          tool("i", "What is known of it", () => this.toggleAbout(), "i"),
          tool("×", "Close", () => this.close(), "Esc"),
        ),
      ),
      element("div", { class: "middle" }, this.before, this.picture, this.after),
      this.about,
    );
    document.body.append(this.dialog);
    /** @type {number|null} */
    this.id = null;
    /** @type {Grid|null} */
    this.grid = null;
    this.at = -1;
    this.zoom = 1;
    this.pan = [0, 0];
    this.asked = 0;
    this.listen();
  }

  listen() {
    this.dialog.addEventListener("cancel", (event) => (event.preventDefault(), this.close()));
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    chosen.addEventListener("changed", () => this.markChosen());
    live.addEventListener("changed", () => this.markPinned());  // an undo, or another tab
    /** @type {Map<number, number[]>} */
    const pointers = new Map();
    let start = [0, 0];
    this.picture.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.002), [event.clientX, event.clientY]);
    }, { passive: false });
    this.picture.addEventListener("dblclick", (event) => (this.zoom > 1 ? this.fit() : this.zoomBy(2.5, [event.clientX, event.clientY])));
    this.picture.addEventListener("pointerdown", (event) => {
      this.picture.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      start = [event.clientX, event.clientY];
    });
    this.picture.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = [event.clientX, event.clientY];
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = (/** @type {number[]} */ a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
        this.zoomBy(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      } else if (this.zoom > 1) {
        this.pan = [this.pan[0] + now[0] - before[0], this.pan[1] + now[1] - before[1]];
        this.place();
      }
      pointers.set(event.pointerId, now);
    });
    this.picture.addEventListener("pointerup", (event) => {
      const [dx, dy] = [event.clientX - start[0], event.clientY - start[1]];
      if (pointers.size === 1 && event.pointerType !== "mouse" && this.zoom === 1) {
        if (Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(dy)) this.step(dx < 0 ? 1 : -1);
        else if (dy > 90) this.close();
      }
      pointers.delete(event.pointerId);
    });
    this.picture.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Shows a picture. @param {number} id @param {Grid|null} grid the view's pictures, among which it is */
  async show(id, grid) {
    if (this.isOpen && this.id === id) return;
    [this.id, this.grid] = [id, grid];
    this.at = grid ? grid.source.find(id) : -1;
    const asked = ++this.asked;
    this.fit();
    this.title.textContent = `@${id}`;
    this.drawPicture(id, "");
    this.markSides();
    this.markChosen();
    if (!this.isOpen) {
      this.dialog.classList.toggle("bare", isBare());
      this.dialog.append(byId("float")); // what is said meanwhile is said above it, and can be answered
      this.dialog.showModal();
      this.title.focus();
    }
    /** @type {import("./api.js").StoredImage} */
    let image;
    try {
      image = await api.image(id);
    } catch (error) {
      if (asked === this.asked) this.fail(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (asked !== this.asked) return;
    const name = baseName(image.paths[0]);
    this.title.replaceChildren(element("bdi", {}, name));
    const large = this.picture.querySelector("img");
    if (large) large.alt = name;
    this.drawAbout(image, asked);
  }

  /** @param {Error} error */
  fail(error) {
    this.title.textContent = error instanceof ApiError && error.status === 404 ? "This picture is not in the store" : "That did not work";
    this.picture.replaceChildren(element("p", { class: "missing" }, error.message));
    this.about.replaceChildren();
  }

  /** @param {number} id @param {string} name */
  drawPicture(id, name) {
    const image = element("img", { alt: name, draggable: "false" });
    sayIfMissing(image, name || `@${id}`, api.thumbnail(id));
    image.src = api.original(id);
    this.picture.replaceChildren(image);
  }

  /** @param {import("./api.js").StoredImage} image @param {number} asked */
  drawAbout(image, asked) {
    const id = image.id;
    const row = (/** @type {string} */ term, /** @type {(Node|string)[]} */ ...values) => [element("dt", {}, term), ...values.map((value) => element("dd", {}, value))];
    const cluster = element("dd", {}, image.cluster === null ? "none yet" : "…");
    const facts = element("dl", { class: "facts" });
    const words = element("p", { class: "words" });
    const near = element("ul", { class: "near", "aria-label": "The most similar pictures" });
    this.about.replaceChildren(
      element(
        "p",
        { class: "buttons" },
        element("a", { class: "button primary", href: href("/similar", { plus: id }) }, "Find similar"),
        element("a", { class: "button", href: api.original(id), target: "_blank", rel: "noopener" }, "Open original"),
        image.cluster === null || isReadOnly() ? null : this.pinButton(id),
        isReadOnly() ? null : button("Remove", () => this.remove(id), { class: "danger quiet" }),
      ),
      element(
        "dl",
        {},
        row(image.paths.length > 1 ? "Paths" : "Path", ...image.paths.map((path) => element("bdi", { class: "path" }, shown(path)))),
        element("dt", {}, "Cluster"),
        cluster,
        image.width ? row("Size", `${image.width} × ${image.height}`) : null,
        row("Id", `@${id}`),
        row("Added", when(image.added)),
      ),
      facts,
      words,
      element("h3", {}, "Similar"),
      near,
    );
    this.fill(image, asked, cluster, words, near);
    api.facts(id).then((known) => asked === this.asked && facts.append(...factsOf(known)), () => {});
  }

  /**
   * @param {import("./api.js").StoredImage} image @param {number} asked @param {HTMLElement} cluster
   * @param {HTMLElement} words @param {HTMLElement} near
   */
  async fill(image, asked, cluster, words, near) {
    const still = () => asked === this.asked;
    const clusters = image.cluster === null ? Promise.resolve([]) : api.clusters();
    api.words(image.id).then((tags) => {
      if (!still() || !tags.length) return;
      words.append(...tags.map((tag) => element("a", { class: "tag", href: href("/find", { q: tag.word }), title: `Probability ${tag.probability.toFixed(2)}` }, tag.word)));
    }, () => {});
    clusters.then((all) => {
      const own = all.find((found) => found.cluster === image.cluster);
      if (still() && own) cluster.replaceChildren(element("a", { href: href(`/cluster/${own.cluster}`) }, clusterName(own)), ` (${count(own.size, "picture")})`);
    }, () => {});
    api.similar({ images: [image.id], k: NEIGHBOURS + 1 }).then((hits) => {
      if (!still()) return;
      near.replaceChildren(
        ...hits.filter((hit) => hit.id !== image.id).slice(0, NEIGHBOURS).map((hit) =>
          element("li", {}, element("a", { href: changed({ at: hit.id }), title: `${shown(hit.path)}, ${hit.score.toFixed(3)}`, onclick: (/** @type {Event} */ event) => (event.preventDefault(), replace(changed({ at: hit.id })), this.show(hit.id, this.grid)) }, thumbnail(api.thumbnail(hit.id), baseName(hit.path)))),
        ),
      );
    }, () => {});
  }

  // Going on

  markSides() {
    this.before.disabled = this.at <= 0;
    this.after.disabled = this.at < 0 || !this.grid || this.at >= this.grid.source.total - 1;
  }

  /** @param {number} by */
  step(by) {
    if (this.at >= 0) this.to(this.at + by);
  }

  /** @param {number} at */
  async to(at) {
    const { grid } = this;
    if (!grid || at < 0 || at >= grid.source.total) return;
    const [item] = await grid.source.between(at, at);
    if (!item || grid !== this.grid) return;
    grid.active = at;
    grid.reveal(at);
    replace(changed({ at: item.id }));
    await this.show(item.id, grid);
  }

  /** Leads back to the view: by Back where it was opened from there, so that the history does not grow. */
  close() {
    if (remembered().opened) history.back();
    else {
      replace(changed({ at: null }));
      dispatchEvent(new Event("address"));
    }
  }

  /** The address no longer names a picture. */
  hide() {
    if (!this.isOpen) return;
    this.asked += 1;
    document.body.append(byId("float"));
    this.dialog.close();
    this.picture.replaceChildren();
    this.about.replaceChildren();
    const { grid, at } = this;
    [this.id, this.grid] = [null, null];
    if (grid && at >= 0) grid.focus(at);
  }

  /** What pins the picture to its cluster. @param {number} id */
  pinButton(id) {
    const made = button("Pin", () => this.pin(id), { class: "pin", "aria-pressed": "false", title: "It stays in its cluster when pictures are grouped again (p)" });
    pinned().then((held) => markPinned(made, held.has(id)), () => {});
    return made;
  }

  markPinned() {
    const { id } = this;
    const shown = this.about.querySelector(".pin");
    if (id !== null && shown instanceof HTMLElement) pinned().then((held) => markPinned(shown, held.has(id)), () => {});
  }

  /** @param {number} id */
  async pin(id) {
    const isPinned = await pinOrUnpin([id]);
    const shown = this.about.querySelector(".pin");
    if (isPinned !== null && id === this.id && shown instanceof HTMLElement) markPinned(shown, isPinned);
  }

  /** @param {number} id */
  async remove(id) {
    if (await removeAll([id])) this.close();
  }

  toggle() {
    if (this.id !== null) chosen.toggle(this.id);
  }

  markChosen() {
    const isChosen = this.id !== null && chosen.has(this.id);
    this.choose.setAttribute("aria-pressed", String(isChosen));
  }

  toggleAbout() {
    const bare = this.dialog.classList.toggle("bare");
    try {
      localStorage.setItem("vecstore.bare", bare ? "1" : "");
    } catch {
      // a browser that keeps nothing
    }
  }

  // Zoom

  fit() {
    [this.zoom, this.pan] = [1, [0, 0]];
    this.place();
  }

  /** @param {number} factor @param {number[]} [at] */
  zoomBy(factor, at) {
    const box = this.picture.getBoundingClientRect();
    const middle = [box.left + box.width / 2, box.top + box.height / 2];
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const real = zoom / this.zoom;
    const centre = at ?? middle;
    this.pan = this.pan.map((pan, axis) => centre[axis] - middle[axis] - (centre[axis] - middle[axis] - pan) * real);
    this.zoom = zoom;
    if (zoom === 1) this.pan = [0, 0];
    this.place();
  }

  place() {
    const image = this.picture.querySelector("img");
    if (image) image.style.transform = this.zoom === 1 ? "" : `translate(${this.pan[0]}px, ${this.pan[1]}px) scale(${this.zoom})`;
    this.picture.classList.toggle("zoomed", this.zoom > 1);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => unknown>} */
    const keys = {
      ArrowLeft: () => (this.zoom > 1 ? this.shift(80, 0) : this.step(-1)),
      ArrowRight: () => (this.zoom > 1 ? this.shift(-80, 0) : this.step(1)),
      ArrowUp: () => this.zoom > 1 && this.shift(0, 80),
      ArrowDown: () => this.zoom > 1 && this.shift(0, -80),
      PageUp: () => this.step(-1),
      PageDown: () => this.step(1),
      Home: () => this.at >= 0 && this.to(0),
      End: () => this.at >= 0 && this.grid && this.to(this.grid.source.total - 1),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.fit(),
      x: () => this.toggle(),
      i: () => this.toggleAbout(),
      s: () => this.id !== null && go(href("/similar", { plus: this.id })),
      o: () => this.id !== null && open(api.original(this.id), "_blank", "noopener"),
      p: () => this.id !== null && this.about.querySelector(".pin") && this.pin(this.id),
      Delete: () => this.id !== null && !isReadOnly() && this.remove(this.id),
    };
    const run = keys[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  }

  /** @param {number} dx @param {number} dy */
  shift(dx, dy) {
    this.pan = [this.pan[0] + dx, this.pan[1] + dy];
    this.place();
  }
}

/** What a picture's file says of it. @param {import("./api.js").ImageFacts} known @returns {Node[]} */
function factsOf(known) {
  const maker = known.maker && !known.camera?.startsWith(known.maker) ? `${known.maker} ` : "";
  const where = known.latitude === null || known.longitude === null ? null : `${known.latitude.toFixed(5)}, ${known.longitude.toFixed(5)}`;
  /** @type {[string, string|null, string|null][]} */
  const rows = [
    ["Taken", known.taken && known.taken.replace("T", " "), known.taken && href("/pictures", monthOf(known.taken.slice(0, 7)))],
    ["Camera", known.camera && maker + known.camera, known.camera && href("/pictures", { camera: known.camera })],
    ["Lens", known.lens, null],
    ["Place", known.place ?? where, where && href("/pictures", { near: `${known.latitude},${known.longitude},10` })],
    ["File", [known.format, known.bytes === null ? null : size(known.bytes)].filter(Boolean).join(", ") || null, null],
    ["Rating", known.rating === null ? null : known.rating < 0 ? "rejected" : "★".repeat(known.rating), null],
    ["Keywords", known.keywords.map(shown).join(", ") || null, null],
    ["Caption", known.caption && shown(known.caption), null],
  ];
  return rows.flatMap(([term, text, to]) => (text ? [element("dt", {}, term), element("dd", { dir: "auto" }, to ? element("a", { href: to }, text) : text)] : []));
}

/** @param {HTMLElement} pin @param {boolean} isPinned */
function markPinned(pin, isPinned) {
  pin.setAttribute("aria-pressed", String(isPinned));
  pin.textContent = isPinned ? "Pinned" : "Pin";
}

function isBare() {
  try {
    return innerWidth > 700 && Boolean(localStorage.getItem("vecstore.bare"));
  } catch {
    return false;
  }
}

/** @type {Lightbox|null} */
let lightbox = null;

/** Shows the picture that the address names, or none. @param {Grid|null} grid */
export function followAddress(grid) {
  const at = address().query.get("at");
  if (at && /^\d+$/.test(at)) {
    lightbox ??= new Lightbox();
    lightbox.show(Number(at), grid);
  } else lightbox?.hide();
}
