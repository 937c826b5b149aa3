// The pictures that are farthest from every cluster.

import { api } from "../api.js";
import { button, element, empty, head } from "../dom.js";
import { Grid, sizeControl } from "../grid.js";
import { groupIntoClusters } from "../grouping.js";
import { current, isReadOnly } from "../live.js";
import { href } from "../router.js";
import { ListSource } from "../sources.js";

const SHOWN = 500;

/** @returns {Promise<import("./index.js").View>} */
export async function showOutliers() {
  if (current().clustering === null) {
    return { nodes: [empty("Not grouped yet", "An outlier is a picture that is far from every cluster.", current().images && !isReadOnly() ? button("Group into clusters", groupIntoClusters, { class: "primary" }) : null)], changed: () => "refresh" };
  }
  const source = new ListSource((await api.outliers(SHOWN)).map(({ id, path, distance }) => ({ id, path, score: distance })));
  const grid = new Grid({
    label: "Outliers, the farthest first",
    source,
    lines: 1,
    extra: (item) => [element("span", { class: "score", title: "Distance to the centre of the nearest cluster; 0 is in its middle" }, (item.score ?? 0).toFixed(3))],
  });
  return {
    nodes: [head("Outliers", `The ${source.total.toLocaleString("en")} pictures that are farthest from every cluster, these first. Below each: how far.`, element("a", { class: "button", href: href("/oddities") }, "Odd pictures"), sizeControl()), grid.element],
    grid,
    changed: (before, now) => (before.clustering !== now.clustering || now.images < before.images ? "refresh" : undefined),
  };
}
