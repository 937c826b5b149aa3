// The views of the page, by address. A subject of its own adds its view here, and a link to it in the bar.

import { showClusters } from "./clusters.js";
import { showDuplicates } from "./duplicates.js";
import { showFailures } from "./failures.js";
import { showFound } from "./find.js";
import { showHistory } from "./history.js";
import { showMap } from "./map.js";
import { showOddities } from "./oddities.js";
import { showOutliers } from "./outliers.js";
import { showCluster, showPictures } from "./pictures.js";
import { showSimilar } from "./similar.js";
import { showNode } from "./tree.js";

/**
 * @typedef {{path: string, query: URLSearchParams, found: RegExpExecArray, refresh: () => Promise<void>}} Asked
 * @typedef {{nodes: (Node|null)[], grid?: import("../grid.js").Grid, filters?: {words?: boolean}, begin?: () => void, shown?: () => void, leave?: () => void,
 *   changed?: (before: import("../api.js").State, now: import("../api.js").State) => "refresh"|void}} View
 * filters: the sidebar is of use. begin: goes where the address says, on the first visit. shown: it is in the page now. leave: what has to end with the view. changed: the store has; "refresh" makes it anew.
 * @typedef {{pattern: RegExp, name: string, label?: string, show: (asked: Asked) => Promise<View>|View}} Route
 * name: of the link in the bar that is marked. label: of a link to it there.
 */

/** @type {Route[]} */
export const ROUTES = [
  { pattern: /^\/$/, name: "clusters", label: "Clusters", show: showClusters },
  { pattern: /^\/pictures$/, name: "pictures", label: "Pictures", show: showPictures },
  { pattern: /^\/cluster\/(\d+)$/, name: "clusters", show: showCluster },
  { pattern: /^\/node\/(\d+(?:,\d+){0,999})$/, name: "clusters", show: showNode },
  { pattern: /^\/map$/, name: "map", label: "Map", show: showMap },
  { pattern: /^\/duplicates$/, name: "duplicates", label: "Duplicates", show: showDuplicates },
  { pattern: /^\/outliers$/, name: "outliers", label: "Outliers", show: showOutliers },
  { pattern: /^\/oddities$/, name: "outliers", show: showOddities },
  { pattern: /^\/failures$/, name: "failures", label: "Failures", show: showFailures },
  { pattern: /^\/history$/, name: "history", label: "History", show: showHistory },
  { pattern: /^\/similar$/, name: "", show: showSimilar },
  { pattern: /^\/find$/, name: "", show: showFound },
];
