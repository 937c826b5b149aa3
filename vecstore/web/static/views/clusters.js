// The clusters, as cards with their most typical pictures.

import { api } from "../api.js";
import { button, count, element, head } from "../dom.js";
import { groupIntoClusters } from "../grouping.js";
import { start } from "../jobs.js";
import { current, isReadOnly } from "../live.js";
import { href } from "../router.js";
import { complain } from "../toasts.js";
import { cardList, ofCluster } from "./cards.js";
import { nothingYet } from "./nothing.js";
import { showPictures } from "./pictures.js";
import { showTree } from "./tree.js";

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
  const { levels } = await api.treeLevels();
  const actions = [element("a", { class: "button", href: href("/history") }, "Groupings before"), ...(isReadOnly() ? [] : [button("Suggest names", suggestNames), button("Group again", groupIntoClusters)])];
  if (levels.length) return showTree(asked, levels, actions);
  const [clusters, clusterings] = await Promise.all([api.clusters(), api.clusterings()]);
  const reason = clusterings.find((one) => one.current)?.k_reason;
  const noise = clusters.find((one) => one.noise);
  const n = clusters.length - (noise ? 1 : 0);
  const sub = element("p", { class: "sub" });
  const say = (/** @type {number} */ images) => (sub.textContent = `${count(images, "picture")}, the largest cluster first${noise ? `; ${count(noise.size, "picture")} in no cluster, last` : ""}`);
  say(state.images);
  const top = head(count(n, "cluster"), null, ...actions);
  top.querySelector(".sub")?.replaceWith(sub, ...(reason ? [element("p", { class: "sub" }, `Why ${n}: ${reason}.`)] : []));
  return {
    nodes: [top, cardList("Clusters, the largest first", clusters.map(ofCluster))],
    changed: (before, now) => {
      say(now.images);
      const isEditing = document.activeElement?.closest("input");
      return before.changes !== now.changes && !isEditing ? "refresh" : undefined;
    },
  };
}

/** Lets names be suggested by the pictures' words. */
function suggestNames() {
  start({ kind: "names" }).catch(complain);
}
