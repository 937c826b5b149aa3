// The HTTP API, as this page uses it. Addresses are relative to the page's, so that it works below any path.

import { plain } from "./plain.js";

/**
 * @typedef {{store: string, images: number, newest: number|null, clustering: number|null, map: boolean, jobs: number,
 *   failures: number, changes: string, map_version: string, read_only?: boolean, uploads?: boolean}} State
 * @typedef {{id: number, paths: string[], width: number, height: number, added: string, cluster: number|null,
 *   distance: number|null}} StoredImage
 * @typedef {{total: number, images: StoredImage[]}} Part
 * @typedef {{rank: number, id: number, score: number, path: string, cluster: number|null, words?: string[]}} Hit
 * @typedef {{cluster: number, name: string|null, suggested: string|null, size: number, cohesion: number|null,
 *   separation: number|null, nearest: number|null, representative_id: number|null, noise: boolean, kept: number|null,
 *   doubtful: boolean}} Cluster
 * @typedef {{cluster: number, name: string|null, suggested: string|null, level: number, parent: number|null,
 *   children: number, size: number, representative: string|null, representative_id: number|null, kept: number|null,
 *   doubtful: boolean}} TreeNode
 * @typedef {{nodes: number[], name: string|null, suggested: string|null, size: number, representative_id: number|null,
 *   doubtful: boolean}} Cut
 * @typedef {{method: string, images: number, worked_on: number, seconds: number, bytes: number}} ClusteringCost
 * @typedef {{images: number, compared: number, until: string|null, pairs: number}} Compared
 * @typedef {{id: number, path: string, cluster: number}} Pin
 * @typedef {{clustering: number, k: number, rows: number, created: string, current: boolean, previous: number|null,
 *   kept: number, born: number, gone: number, moved: number, k_reason: string|null}} Clustering
 * @typedef {{id: number, path: string, distance: number}} Member
 * @typedef {{path: string, reason: string}} Failure
 * @typedef {{colours: string[], shapes: string[], polygons: Record<string, number[][]>, circle: number}} Palette
 * @typedef {{path: string, images: number}} FolderCount
 * @typedef {{cluster: number, name: string|null, suggested: string|null, images: number}} ClusterCount
 * @typedef {{total: number, under: string, folders: FolderCount[], clusters: ClusterCount[],
 *   words: {word: string, images: number}[], months: Group[], cameras: Group[], places: Group[]}} Facets
 * @typedef {{seen: number, new: number, is_complete: boolean}} NewFiles
 * @typedef {{operation: number, kind: string, what: string, began: string, undone: boolean, forgotten?: number,
 *   restored?: number, lost?: number}} Operation
 * @typedef {{word: string, probability: number}} Tag
 * @typedef {{kind: string, relation: string, confidence: number, id: number, path: string, score: number,
 *   why: string|null, width: number, height: number, bytes: number|null}} DuplicateFile
 * @typedef {{group: number, files: DuplicateFile[], bytes: number, is_decided: boolean}} DuplicateGroup
 * @typedef {{act: string, done: number, refused: number, bytes: number,
 *   acts: {path: string, state: string, reason: string|null}[]}} ActReport
 * @typedef {{name: string, images: number}} SelectionInfo
 * @typedef {{taken: string|null, maker: string|null, camera: string|null, lens: string|null, latitude: number|null,
 *   longitude: number|null, bytes: number|null, format: string|null, rating: number|null, keywords: string[],
 *   caption: string|null, place: string|null, country: string|null}} ImageFacts
 * @typedef {{group: string|null, images: number}} Group
 * @typedef {{kind: string, id: number, path: string, measure: string, value: number, bound: number}} Oddity
 * @typedef {{name: string, added: number, removed: number, images: number}} SelectReport
 * @typedef {{cluster: number, moved: number, pinned: number}} MoveReport
 * @typedef {{id: number, kind: string, asked: any, state: string, done: number, total: number|null, note: string,
 *   result: any, error: string|null, created: string, started: string|null, ended: string|null}} Job
 * @typedef {{name: string, url: string, current: boolean}} ServedStore
 * @typedef {Record<string, string|number|boolean|null|undefined|(string|number)[]>} Query
 */

export class ApiError extends Error {
  /** @param {number} status 0: the server was not reached. @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Which store this is; thumbnails of another one at the same address must not come from the browser's cache. */
let storeName = "";

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function ask(path, options = {}) {
  const response = await answered(path, options);
  return response.status === 204 ? null : response.json();
}

/** @param {string} path @param {RequestInit} options @returns {Promise<Response>} */
async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    dispatchEvent(new Event("server-missed"));
    throw new ApiError(0, "The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail;
  } catch {
    // not ours: a proxy's page, say
  }
  if (response.status === 401) dispatchEvent(new Event("token-needed"));
  throw new ApiError(response.status, plain(detail));
}

/** @param {string} method @param {string} path @param {unknown} body */
function send(method, path, body) {
  return ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** @param {string} path @param {Query} values */
function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(name, String(one));
    }
  }
  return `${path}?${query}`;
}

export const api = {
  /** @returns {Promise<State>} */
  async state() {
    const state = await ask("api/state");
    storeName = state.store;
    return state;
  },
  /** @returns {Promise<ServedStore[]>} */
  stores: () => ask("api/stores"),
  /** @param {number} id @returns {Promise<StoredImage>} */
  image: (id) => ask(`api/images/${id}`),
  /** @param {number} id @returns {Promise<Tag[]>} */
  words: (id) => ask(`api/images/${id}/words`),
  /** @param {Query} query @param {AbortSignal} [signal] @returns {Promise<Part>} */
  browse: (query, signal) => ask(withQuery("api/browse", query), { signal }),
  /** @param {Query} query @returns {Promise<Group[]>} */
  sections: (query) => ask(withQuery("api/sections", query)),
  /** @param {Query} query @returns {Promise<Facets>} */
  facets: (query) => ask(withQuery("api/facets", query)),
  /** @returns {Promise<Cluster[]>} */
  clusters: () => ask("api/clusters"),
  /** @returns {Promise<{levels: number[]}>} how many nodes each level of the tree has; none where there is none */
  treeLevels: () => ask("api/tree"),
  /** @param {Query} query @returns {Promise<TreeNode[]>} */
  nodes: (query) => ask(withQuery("api/clusters", query)),
  /** @param {number} k @returns {Promise<Cut[]>} */
  cut: (k) => ask(withQuery("api/clusters/cut", { k })),
  /** @param {number} id @returns {Promise<TreeNode[]>} */
  treePath: (id) => ask(`api/clusters/${id}/path`),
  /** @param {Query} query @returns {Promise<ClusteringCost>} */
  clusteringCost: (query) => ask(withQuery("api/clusterings/cost", query)),
  /** @param {number} id @param {number} k @returns {Promise<Member[]>} */
  members: (id, k) => ask(withQuery(`api/clusters/${id}/members`, { k })),
  /** @param {number} k @returns {Promise<Member[]>} */
  outliers: (k) => ask(withQuery("api/outliers", { k })),
  /** @returns {Promise<Failure[]>} */
  failures: () => ask("api/failures"),
  /** @returns {Promise<Clustering[]>} */
  clusterings: () => ask("api/clusterings"),
  /** @returns {Promise<Operation[]>} */
  operations: () => ask("api/operations"),
  /** @returns {Promise<Palette>} */
  palette: () => ask("api/palette"),
  /** @param {Query} query @returns {Promise<Hit[]>} */
  find: (query) => ask(withQuery("api/find", query)),
  /** @param {object} query @returns {Promise<Hit[]>} */
  similar: (query) => send("POST", "api/similar", query),
  /** @param {File[]} files @param {Query} query @returns {Promise<Hit[]>} */
  similarToFiles: (files, query) =>
    ask(withQuery("api/similar/upload", { ...query, sizes: files.length > 1 ? files.map((file) => file.size) : [] }), {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: new Blob(files),
    }),
  /** What a path answers with, as it is. The browser asks whether what it has is still right.
   * @param {string} path @returns {Promise<ArrayBuffer>} */
  bytes: async (path) => (await answered(path, { cache: "no-cache" })).arrayBuffer(),
  /** @param {number} cluster @param {string} name @returns {Promise<Cluster>} */
  name: (cluster, name) => send("PATCH", `api/clusters/${cluster}`, { name }),
  /** @param {number} number @returns {Promise<Clustering>} */
  useClustering: (number) => send("POST", `api/clusterings/${number}/use`, {}),
  /** @param {number[]} images @returns {Promise<{removed: number, forgotten: number}>} */
  remove: (images) => send("POST", "api/remove", { images }),
  /** @param {boolean} [redo] @returns {Promise<Operation>} */
  undo: (redo = false) => send("POST", "api/undo", { redo }),
  /** @param {number} id @returns {Promise<ImageFacts>} */
  facts: (id) => ask(`api/images/${id}/facts`),
  /** @param {Query} query @returns {Promise<Oddity[]>} */
  oddities: (query) => ask(withQuery("api/oddities", query)),
  /** @param {Query} query @returns {Promise<DuplicateGroup[]>} */
  duplicates: (query) => ask(withQuery("api/duplicates", query)),
  /** @returns {Promise<Compared>} */
  compared: () => ask("api/duplicates/compared"),
  /** @param {object} decision */
  decide: (decision) => send("POST", "api/decisions", decision),
  /** @param {object} order @returns {Promise<ActReport>} */
  act: (order) => send("POST", "api/acts", order),
  /** @returns {Promise<SelectionInfo[]>} */
  selections: () => ask("api/selections"),
  /** @param {string} name @param {object} change @returns {Promise<SelectReport>} */
  select: (name, change) => send("POST", `api/selections/${encodeURIComponent(name)}`, change),
  /** Puts pictures into a selection, any number of them. @param {string} name @param {number[]} images @returns {Promise<SelectReport>} */
  putInto: (name, images) =>
    ask(`api/map/selections/${encodeURIComponent(name)}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: Uint32Array.from(images),
    }),
  /** @param {number[]} images @returns {Promise<MoveReport>} */
  newCluster: (images) => send("POST", "api/clusters", { images }),
  /** @param {number} cluster @param {number[]} images @returns {Promise<MoveReport>} */
  moveTo: (cluster, images) => send("POST", `api/clusters/${cluster}/images`, { images }),
  /** @returns {Promise<Pin[]>} */
  pins: () => ask("api/pins"),
  /** @param {number[]} images @param {boolean} [remove] @returns {Promise<Pin[]>} those that are pinned, or were */
  pin: (images, remove = false) => send("POST", "api/pins", { images, remove }),
  /** @param {number[]} clusters */
  merge: (clusters) => send("POST", "api/clusters/merge", { clusters }),
  /** @param {File} file @returns {Promise<{path: string, bytes: number, is_new: boolean}>} */
  upload: (file) => ask(withQuery("api/uploads", { name: file.name || "picture" }), { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }),
  /** @param {string[]} paths @returns {Promise<NewFiles>} */
  preview: (paths) => send("POST", "api/preview", { paths }),
  /** @returns {Promise<Job[]>} */
  jobs: () => ask("api/jobs"),
  /** @param {object} work @returns {Promise<Job>} */
  start: (work) => send("POST", "api/jobs", work),
  /** @param {number} id */
  cancel: (id) => ask(`api/jobs/${id}`, { method: "DELETE" }),
  /** @param {string} token */
  login: (token) => send("POST", "api/login", { token }),
  /** @param {number} id @param {"small"|"large"} [size] */
  thumbnail: (id, size = "small") =>
    `api/images/${id}/thumbnail?v=${encodeURIComponent(storeName)}${size === "large" ? "&size=large" : ""}`,
  /** @param {number} id */
  original: (id) => `api/images/${id}/original`,
};
