// The grid of pictures, for lists of any length: only tiles near the view are in the page, and each is where its
// position says. Browsers bound how high an element may be, so a list that is higher is mapped onto that height: the
// scroll bar leads to a place in proportion, and from there one scrolls pixel by pixel.

import { api } from "./api.js";
import { chosen } from "./chosen.js";
import { baseName, button, element, number, shown } from "./dom.js";
import { thumbnail } from "./images.js";
import { Layout } from "./layout.js";
import { live } from "./live.js";
import { changed } from "./router.js";

/** @typedef {import("./sources.js").Item} Item @typedef {import("./sources.js").Source} Source */
/** @typedef {{label: string, source: Source, lines?: number, extra?: (item: Item) => (Node|null)[],
 *   link?: (item: Item, at: number) => string, heads?: ((group: string|null) => string)|null}} Options
 * extra: what stands below the name; lines: how many lines that takes. heads: what the source's groups are called, each of
 * which then begins in a row of its own. */

const SIZES = [76, 104, 140, 190, 260, 360];
const LARGE_THUMBNAIL = 330;
const GAP = 10;
const LINE = 22;
const HEAD = 44;
const MOST_PX = 8_000_000;
// How far beyond the view tiles are there, and how long scrolling has to rest before pictures are asked for.
const BEYOND = 500;
const REST_MS = 70;
const PRESS_MS = 480;

let size = Number(stored("size") ?? 2);

/** @param {string} name */
function stored(name) {
  try {
    return localStorage.getItem(`vecstore.${name}`);
  } catch {
    return null;
  }
}

/** Sets how large thumbnails are. @param {number} wanted */
export function setSize(wanted) {
  size = Math.min(Math.max(wanted, 0), SIZES.length - 1);
  try {
    localStorage.setItem("vecstore.size", String(size));
  } catch {
    // a browser that keeps nothing
  }
  dispatchEvent(new Event("size"));
}

/** The control of how large thumbnails are. */
export function sizeControl() {
  const input = element("input", { type: "range", min: "0", max: String(SIZES.length - 1), step: "1", "aria-label": "Size of the pictures", class: "size" });
  input.value = String(size);
  input.addEventListener("input", () => setSize(Number(input.value)));
  return input;
}

export class Grid {
  /** @param {Options} options */
  constructor({ label, source, lines = 0, extra = () => [], link = (item) => changed({ at: item.id }), heads = null }) {
    this.source = source;
    this.extra = extra;
    this.link = link;
    this.heads = heads;
    this.foot = LINE * (1 + lines) + (lines ? 14 : 4);
    this.list = element("ul", { class: "grid", "aria-label": label });
    this.note = element("p", { class: "end", hidden: true });
    this.holder = element("div", { class: "grid-holder", tabindex: "-1" }, this.list);
    this.element = element("div", {}, this.holder, this.note);
    /** @type {Map<number, HTMLLIElement>} */
    this.tiles = new Map();
    /** @type {Map<number, HTMLLIElement>} */
    this.headsShown = new Map();
    this.layout = new Layout([], 0, 1, 100, 0);
    this.offset = 0;
    this.lastY = 0;
    this.active = 0;
    /** The position to be focused as soon as its tile is there. @type {number|null} */
    this.awaited = null;
    /** @type {number|null} */
    this.anchor = null;
    this.columns = 1;
    this.side = 100;
    this.first = 0;
    this.last = -1;
    this.offsetShown = 0;
    this.wasDragged = false;
    this.resting = 0;
    this.listen();
  }

  listen() {
    const options = { passive: true };
    const controller = (this.gone = new AbortController());
    const { signal } = controller;
    addEventListener("scroll", () => this.onScroll(), { ...options, signal });
    addEventListener("size", () => this.measure(), { signal });
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.holder);
    this.source.addEventListener("changed", () => this.measure(), { signal });
    this.source.addEventListener("failed", (event) => this.fail(/** @type {CustomEvent} */ (event).detail), { signal });
    live.addEventListener("up", () => this.again(), { signal });
    chosen.addEventListener("changed", () => this.markChosen(), { signal });
    this.holder.addEventListener("keydown", (event) => this.onKey(event));
    this.holder.addEventListener("click", (event) => this.onClick(event));
    this.holder.addEventListener("focusin", (event) => {
      const tile = event.target instanceof Element && event.target.closest("li");
      if (tile instanceof HTMLElement) this.setActive(Number(tile.dataset.at));
    });
    this.listenToDrags();
  }

  /** The grid is left. */
  destroy() {
    this.gone?.abort();
    this.observer?.disconnect();
    clearTimeout(this.resting);
    for (const tile of this.tiles.values()) stop(tile);
  }

  /** @param {Error} error */
  fail(error) {
    this.note.replaceChildren(error.message, " ", button("Try again", () => this.again(), { class: "quiet" }));
    this.note.classList.add("problem");
    this.note.hidden = false;
  }

  again() {
    this.note.hidden = true;
    this.ask();
  }

  // Where things are

  get top() {
    return this.holder.getBoundingClientRect().top + scrollY;
  }

  get rowHeight() {
    return this.side + this.foot + GAP;
  }

  get realHeight() {
    return this.layout.height;
  }

  get height() {
    return Math.min(this.realHeight, MOST_PX);
  }

  /** How far the list itself is scrolled, in its own pixels. */
  get at() {
    return scrollY + this.offset;
  }

  /** @param {number} real Where to be in the list's own pixels. */
  scrollTo(real) {
    if (this.realHeight <= MOST_PX) {
      this.offset = 0;
      scrollTo(0, real);
    } else {
      const wanted = Math.min(Math.max(real, 0), this.realHeight + this.top - innerHeight);
      scrollTo(0, this.proportional(wanted));
      this.offset = Math.round(wanted - scrollY);
    }
    this.lastY = scrollY;
    this.render();
  }

  /** Where the scroll bar is when the list is scrolled so far. @param {number} real */
  proportional(real) {
    if (this.realHeight <= MOST_PX) return real;
    const span = MOST_PX + this.top - innerHeight;
    return Math.round((real / (this.realHeight + this.top - innerHeight)) * span);
  }

  onScroll() {
    if (this.realHeight > MOST_PX) {
      const span = MOST_PX + this.top - innerHeight;
      const whole = this.realHeight + this.top - innerHeight;
      if (Math.abs(scrollY - this.lastY) > innerHeight * 2 || scrollY < 1 || scrollY > span - 1) {
        this.offset = Math.round((Math.min(scrollY, span) / span) * whole) - scrollY; // a jump: in proportion
      }
      this.lastY = scrollY;
    }
    this.render();
  }

  measure() {
    const width = this.holder.clientWidth;
    if (!width || !this.holder.isConnected) return;
    const before = this.layout;
    const first = this.firstVisible();
    const isAtHead = this.at < this.top + before.topOf(first) - barHeight();
    const narrow = width < 560;
    const least = narrow ? SIZES[size] * 0.75 : SIZES[size];
    this.columns = Math.max(Math.floor((width + GAP) / (least + GAP)), 1);
    this.side = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    const sections = this.heads ? this.source.sections : null;
    this.layout = new Layout(sections ?? [{ group: null, images: this.source.total }], this.source.total, this.columns, this.rowHeight, sections ? HEAD : 0);
    for (const head of this.headsShown.values()) head.remove();
    this.headsShown.clear();
    this.holder.style.height = `${this.height}px`;
    this.list.classList.toggle("small", this.side < 90);
    if ((before.columns !== this.columns || before.rowHeight !== this.rowHeight) && first > 0 && this.tiles.size) {
      this.scrollTo(this.top + this.layout.topOf(Math.min(first, this.source.total - 1)) - barHeight() - (isAtHead ? this.layout.headHeight : 0));
    }
    const isFirst = !this.tiles.size;
    for (const [at, tile] of this.tiles) this.put(tile, at);
    this.render();
    if (isFirst) this.rest(); // nobody scrolls past these yet
  }

  firstVisible() {
    return this.layout.firstAt(this.at - this.top + barHeight());
  }

  /** @param {HTMLElement} tile @param {number} at */
  put(tile, at) {
    const { column } = this.layout.placeOf(at);
    tile.style.transform = `translate(${column * (this.side + GAP)}px, ${this.layout.topOf(at) - this.offset}px)`;
    tile.style.width = `${this.side}px`;
    tile.style.height = `${this.side + this.foot}px`;
    tile.style.setProperty("--side", `${this.side}px`);
  }

  // What is there

  render() {
    if (!this.holder.isConnected) return;
    const y = this.at - this.top;
    const first = this.layout.firstAt(y - BEYOND);
    const last = Math.min(this.layout.lastAt(y + innerHeight + BEYOND), this.source.total - 1);
    for (const [section, head] of this.headsShown) {
      if (section < this.layout.sectionOf(first) || section > this.layout.sectionOf(last)) {
        head.remove();
        this.headsShown.delete(section);
      } else this.putHead(head, section);
    }
    for (const [at, tile] of this.tiles) {
      const item = this.source.peek(at);
      const isGone = at < first || at > last || tile.dataset.id !== (item ? String(item.id) : "");
      if (isGone && !(tile.contains(document.activeElement) && item && tile.dataset.id === String(item.id))) {
        if (tile.contains(document.activeElement)) {
          this.awaited = at <= last && at >= first ? at : null;
          this.holder.focus({ preventScroll: true });
        }
        stop(tile);
        tile.remove();
        this.tiles.delete(at);
      } else if (this.offsetShown !== this.offset) this.put(tile, at);
    }
    this.offsetShown = this.offset;
    let after = null;
    for (let at = last; at >= first; at -= 1) {
      let tile = this.tiles.get(at);
      if (!tile) {
        tile = this.makeTile(at);
        this.tiles.set(at, tile);
        this.put(tile, at);
        this.list.insertBefore(tile, after);
      }
      after = tile;
      if (this.layout.headHeight) after = this.headBefore(at, tile, first) ?? tile;
    }
    this.first = first;
    this.last = last;
    if (this.awaited !== null) this.focusAwaited();
    this.keepOneTabStop();
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => this.rest(), REST_MS);
  }

  /** The head of the group that begins with a picture, in its place before it; or goes on with the first that is there.
   * @param {number} at @param {HTMLElement} tile @param {number} first */
  headBefore(at, tile, first) {
    const section = this.layout.sectionOf(at);
    if (Math.max(this.layout.starts[section], first) !== at || !this.heads) return null;
    let head = this.headsShown.get(section);
    if (!head) {
      const { group, images } = (this.source.sections ?? [])[section] ?? { group: null, images: 0 };
      head = element("li", { class: "group-head" }, element("h2", {}, element("span", { dir: "auto" }, this.heads(group)), " ", element("small", {}, number(images))));
      this.headsShown.set(section, head);
      this.putHead(head, section);
      this.list.insertBefore(head, tile);
    }
    return head;
  }

  /** Over all of its group, as far as that is within the list: it stays in view by itself. A place by `transform` would
   * not count for that. @param {HTMLElement} head @param {number} section */
  putHead(head, section) {
    const { tops, height } = this.layout;
    const top = Math.max(tops[section] - this.offset, 0);
    const end = Math.min((tops[section + 1] ?? height) - this.offset, this.height);
    head.style.top = `${top}px`;
    head.style.height = `${end - top}px`;
  }

  rest() {
    // The browser has scrolled already and says so a moment later: where that leads is not to be taken for the old place.
    if (this.realHeight > MOST_PX && scrollY !== this.lastY) return this.onScroll();
    const y = this.proportional(this.at);
    if (this.realHeight > MOST_PX && Math.abs(y - scrollY) > 1) {
      // The scroll bar is put where it belongs; nothing else moves.
      const real = this.at;
      this.offset = real - y;
      scrollTo(0, y);
      this.lastY = scrollY;
      this.offset = real - scrollY;
      this.render();
      return;
    }
    this.ask();
    for (const tile of this.tiles.values()) {
      const image = tile.querySelector("img[data-src]");
      if (image instanceof HTMLImageElement) {
        image.src = image.dataset.src ?? "";
        delete image.dataset.src;
      }
    }
  }

  ask() {
    if (this.source.total) this.source.want(this.first, Math.max(this.last, this.first));
  }

  /** @param {number} at @returns {HTMLLIElement} */
  makeTile(at) {
    const item = this.source.peek(at);
    const place = { "data-at": at, "aria-posinset": at + 1, "aria-setsize": this.source.total };
    if (!item) return element("li", { class: "tile waiting", "data-id": "", ...place }, element("span", { class: "picture" }));
    const name = baseName(item.path);
    const image = thumbnail("", name);
    image.dataset.src = api.thumbnail(item.id, this.side * devicePixelRatio > LARGE_THUMBNAIL ? "large" : "small");
    const isChosen = chosen.has(item.id);
    const tile = element(
      "li",
      { class: isChosen ? "tile chosen" : "tile", "data-id": item.id, ...place },
      element("a", { href: this.link(item, at), class: "picture", title: shown(item.path), tabindex: "-1" }, image),
      element("button", { type: "button", class: "corner", tabindex: "-1", "aria-pressed": String(isChosen), "aria-label": `Choose ${name}` }),
      element("div", { class: "foot" }, element("span", { class: "name", dir: "auto", "aria-hidden": "true" }, name), ...this.extra(item)),
    );
    return tile;
  }

  markChosen() {
    for (const tile of this.tiles.values()) {
      const isChosen = tile.dataset.id !== "" && chosen.has(Number(tile.dataset.id));
      tile.classList.toggle("chosen", isChosen);
      tile.querySelector(".corner")?.setAttribute("aria-pressed", String(isChosen));
    }
  }

  // Keys

  keepOneTabStop() {
    const inside = this.tiles.has(this.active) ? this.active : Math.min(this.firstVisible(), this.source.total - 1);
    for (const [at, tile] of this.tiles) tile.querySelector("a")?.setAttribute("tabindex", at === inside ? "0" : "-1");
  }

  /** @param {number} at */
  setActive(at) {
    this.active = at;
    this.keepOneTabStop();
  }

  /** Focuses a picture, wherever it is. @param {number} at */
  focus(at) {
    this.active = Math.min(Math.max(at, 0), this.source.total - 1);
    this.awaited = this.active;
    this.holder.focus({ preventScroll: true });
    this.reveal(this.active);
    this.focusAwaited();
  }

  /** Focuses the picture that was active, if it is in view; says whether it was. */
  focusIfShown() {
    const link = this.tiles.get(this.active)?.querySelector("a");
    const box = link?.getBoundingClientRect();
    if (!link || !box || box.bottom < 0 || box.top > innerHeight) return false;
    link.focus({ preventScroll: true });
    return true;
  }

  focusAwaited() {
    const link = this.tiles.get(this.awaited ?? -1)?.querySelector("a");
    const hasFocus = document.activeElement === document.body || this.holder.contains(document.activeElement);
    if (!link) return;
    this.awaited = null;
    if (hasFocus) link.focus({ preventScroll: true });
  }

  /** Scrolls no further than it takes to see a picture. @param {number} at */
  reveal(at) {
    const top = this.top + this.layout.topOf(at);
    const covered = barHeight() + this.layout.headHeight;
    if (top < this.at + covered) this.scrollTo(top - covered - GAP);
    else if (top + this.rowHeight > this.at + innerHeight) this.scrollTo(top + this.rowHeight - innerHeight);
    else this.render();
  }

  /** Shows a group from its head on. @param {number} start the position of its first picture */
  jumpTo(start) {
    const hasFocus = this.holder.contains(document.activeElement);
    this.scrollTo(this.top + this.layout.topOf(start) - this.layout.headHeight - barHeight() - GAP);
    if (hasFocus) this.focus(start);
    else this.setActive(start);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.altKey || (event.target instanceof Element && event.target.closest("input"))) return;
    const page = Math.max(Math.floor((innerHeight - barHeight()) / this.rowHeight), 1) * this.columns;
    const last = this.source.total - 1;
    /** @type {Record<string, number>} */
    const to = {
      ArrowLeft: this.active - 1,
      ArrowRight: this.active + 1,
      ArrowUp: this.layout.beside(this.active, -1),
      ArrowDown: this.layout.beside(this.active, 1),
      PageUp: Math.max(this.active - page, 0),
      PageDown: Math.min(this.active + page, last),
      Home: 0,
      End: last,
    };
    const item = this.source.peek(this.active);
    if (event.key in to && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const [from, next] = [this.active, to[event.key]];
      if (next < 0 || next > last || (event.shiftKey && next === from)) return;
      if (event.shiftKey) this.chooseRange(this.anchor ?? (this.anchor = from), next);
      this.focus(next);
      if (event.key === "Home") this.scrollTo(0); // with all that stands above the pictures
    } else if (event.key === " " && item && !(event.target instanceof HTMLButtonElement)) {
      event.preventDefault();
      this.chooseAt(this.active, event.shiftKey);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.chooseRange(0, last);
    } else if (event.key === "+" || event.key === "-") setSize(size + (event.key === "+" ? 1 : -1));
  }

  // Choosing

  /** @param {number} at @param {boolean} [range] */
  chooseAt(at, range = false) {
    if (range && this.anchor !== null) return this.chooseRange(this.anchor, at);
    const item = this.source.peek(at);
    if (item) chosen.toggle(item.id);
    this.anchor = at;
  }

  /** @param {number} from @param {number} to */
  async chooseRange(from, to) {
    const items = await this.source.between(Math.min(from, to), Math.max(from, to));
    chosen.set(items.map((item) => item.id));
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = event.target instanceof Element ? event.target : null;
    const tile = target?.closest("li[data-at]");
    if (!(tile instanceof HTMLElement) || target?.closest(".foot")) return;
    const at = Number(tile.dataset.at);
    const isCorner = Boolean(target?.closest(".corner"));
    if (this.wasDragged) {
      event.preventDefault();
    } else if (isCorner || event.shiftKey || (chosen.size() && !event.ctrlKey && !event.metaKey)) {
      event.preventDefault();
      this.chooseAt(at, event.shiftKey);
    }
    this.wasDragged = false;
  }

  /** From a corner one drags over others with a mouse; with a finger a long press chooses. */
  listenToDrags() {
    /** @type {{from: number, to: number, wanted: boolean}|null} */
    let drag = null;
    let press = 0;
    const tileAt = (/** @type {PointerEvent} */ event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("li[data-at]");
    this.holder.addEventListener("pointerdown", (event) => {
      const tile = event.target instanceof Element ? event.target.closest("li") : null;
      this.wasDragged = false;
      if (!tile || !tile.dataset.id) return;
      const at = Number(tile.dataset.at);
      if (event.pointerType === "mouse") {
        if (event.button === 0 && event.target instanceof Element && event.target.closest(".corner")) drag = { from: at, to: at, wanted: !chosen.has(Number(tile.dataset.id)) };
        return;
      }
      press = window.setTimeout(() => {
        this.wasDragged = true;
        this.chooseAt(at);
        navigator.vibrate?.(10);
      }, PRESS_MS);
    });
    for (const name of ["pointermove", "pointerup", "pointercancel"]) this.holder.addEventListener(name, (event) => (name !== "pointermove" || Math.abs(/** @type {PointerEvent} */ (event).movementY) > 4) && clearTimeout(press));
    this.holder.addEventListener("contextmenu", (event) => this.wasDragged && event.preventDefault());
    const { signal } = /** @type {AbortController} */ (this.gone);
    addEventListener("pointermove", (event) => {
      const tile = drag && tileAt(event);
      if (!drag || !(tile instanceof HTMLElement)) return;
      const at = Number(tile.dataset.at);
      if (at === drag.to) return;
      drag.to = at;
      this.wasDragged = true;
      this.anchor = drag.from;
      const [from, to] = [Math.min(drag.from, at), Math.max(drag.from, at)];
      const items = Array.from({ length: to - from + 1 }, (_, i) => this.source.peek(from + i)).filter((item) => item !== undefined);
      chosen.set(items.map((item) => item.id), drag.wanted);
    }, { signal });
    addEventListener("pointerup", () => (drag = null), { signal });
  }
}

/** What is on its way to a tile that is left is not waited for. @param {Element} tile */
function stop(tile) {
  const image = tile.querySelector("img");
  if (image && !image.complete) image.removeAttribute("src");
}

/** What covers the upper end of the view. */
export function barHeight() {
  return document.querySelector(".bar")?.getBoundingClientRect().height ?? 0;
}

/** A line such as "12 pictures". @param {number} n */
export const pictures = (n) => `${number(n)} ${n === 1 ? "picture" : "pictures"}`;
