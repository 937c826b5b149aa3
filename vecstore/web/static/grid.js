// Grids of pictures: tiles, loading more as one scrolls, and arrow keys.

import { api } from "./api.js";
import { baseName, element } from "./dom.js";

/** One picture. caption: under it. actions: buttons beside the caption. */
export function tile({ id, path, href, caption = null, actions = [] }) {
  const name = baseName(path);
  const image = element("img", { src: api.thumbnail(id), alt: name, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(missing(name)), { once: true });
  const foot = caption === null && !actions.length ? null : element("div", { class: "foot" }, caption, ...actions);
  return element("li", { class: "tile" }, element("a", { href, title: name }, image), foot);
}

/** What stands for a picture whose file is gone or cannot be read. */
export function missing(name) {
  return element("span", { class: "missing" }, element("span", {}, name), element("small", {}, "its file is not there"));
}

/** A grid that asks for the next pictures when its end comes into view. more(): the next tiles, none at the end. */
export function endlessGrid(label, more) {
  const list = element("ul", { class: "grid", "aria-label": label });
  const end = element("p", { class: "end" });
  const holder = element("div", {}, list, end);
  let busy = false;
  let over = false;
  async function load() {
    if (busy || over || !holder.isConnected) return;
    busy = true;
    list.setAttribute("aria-busy", "true");
    try {
      const tiles = await more();
      list.append(...tiles);
      over = !tiles.length;
      if (over) watcher.disconnect();
    } catch (error) {
      over = true;
      watcher.disconnect();
      end.replaceChildren(error.message);
      end.classList.add("problem");
    } finally {
      busy = false;
      list.removeAttribute("aria-busy");
    }
    if (!over && end.getBoundingClientRect().top < innerHeight + 600) load();
  }
  const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), {
    rootMargin: "600px",
  });
  watcher.observe(end);
  return holder;
}

/** Arrow keys go from picture to picture, as the grid lies on the screen. */
document.addEventListener("keydown", (event) => {
  const here = event.target instanceof Element ? event.target.closest(".grid a, .cards a") : null;
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step) return;
  const links = [...here.closest("ul").querySelectorAll(":scope > li > a")];
  const at = links.indexOf(here);
  const top = here.getBoundingClientRect().top;
  const columns = links.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 2).length;
  const next = links[at + step[0] + step[1] * Math.max(columns, 1)];
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
