// The clusters, as cards with their most typical pictures.

import { api } from "../api.js";
import { baseName, button, clusterName, count, element, head, missing } from "../dom.js";
import { groupIntoClusters } from "../jobs.js";
import { current, isReadOnly } from "../live.js";
import { href } from "../router.js";
import { nothingYet } from "./nothing.js";
import { showPictures } from "./pictures.js";

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showClusters(asked) {
  const state = current();
  if (!state.images) return nothingYet();
  if (state.clustering === null) {
    const shown = await showPictures(asked, {
      title: "Not grouped yet",
      sub: (total) => `${count(total, "picture")}. Grouping puts those together that look alike.`,
      right: isReadOnly() ? [] : [button("Group into clusters", groupIntoClusters, { class: "primary" })],
    });
    return { ...shown, filters: undefined, changed: (before, now) => (now.clustering !== null ? "refresh" : shown.changed?.(before, now)) };
  }
  const [clusters, clusterings] = await Promise.all([api.clusters(), api.clusterings()]);
  const reason = clusterings.find((one) => one.current)?.k_reason;
  const sub = element("p", { class: "sub" }, `${count(state.images, "picture")}, the largest cluster first`);
  const top = head(
    count(clusters.length, "cluster"),
    null,
    element("a", { class: "button", href: href("/history") }, "Groupings before"),
    isReadOnly() ? null : button("Group again", groupIntoClusters),
  );
  top.querySelector(".sub")?.replaceWith(sub, ...(reason ? [element("p", { class: "sub" }, `Why ${clusters.length}: ${reason}.`)] : []));
  const list = element("ul", { class: "cards", "aria-label": "Clusters, the largest first" }, clusters.map(card));
  list.addEventListener("keydown", onKey);
  return {
    nodes: [top, list],
    changed: (before, now) => {
      sub.textContent = `${count(now.images, "picture")}, the largest cluster first`;
      const isEditing = document.activeElement?.closest("input");
      return before.changes !== now.changes && !isEditing ? "refresh" : undefined;
    },
  };
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

/** @param {import("../api.js").Cluster} cluster */
function card(cluster) {
  const mosaic = element("span", { class: "mosaic" });
  mosaic.addEventListener("seen", async () => {
    const members = await api.members(cluster.cluster, 4).catch(() => []);
    mosaic.replaceChildren(
      ...members.map(({ id, path }) => {
        const image = element("img", { src: api.thumbnail(id), alt: "", decoding: "async" });
        image.addEventListener("error", () => image.replaceWith(missing(baseName(path))), { once: true });
        return image;
      }),
    );
    mosaic.dataset.pictures = String(members.length);
  });
  whenSeen.observe(mosaic);
  return element(
    "li",
    { class: "card" },
    element(
      "a",
      { href: href(`/cluster/${cluster.cluster}`) },
      mosaic,
      element("span", { class: "label" }, element("strong", { dir: "auto" }, clusterName(cluster)), element("span", { class: "sub" }, count(cluster.size, "picture"))),
    ),
  );
}

/** Arrow keys go from card to card, as they lie on the screen. @param {KeyboardEvent} event */
function onKey(event) {
  const here = event.target instanceof Element ? event.target.closest(".cards a") : null;
  if (!here || event.ctrlKey || event.metaKey || event.altKey) return;
  const links = [...document.querySelectorAll(".cards > li > a")];
  const at = links.indexOf(here);
  const top = here.getBoundingClientRect().top;
  const columns = Math.max(links.filter((link) => Math.abs(link.getBoundingClientRect().top - top) < 2).length, 1);
  /** @type {Record<string, number>} */
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: links.length - 1 };
  const next = links[to[event.key]];
  if (next instanceof HTMLElement) {
    event.preventDefault();
    next.focus();
  }
}
