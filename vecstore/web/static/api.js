// The HTTP API, as this page uses it.

export class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Which store this is; thumbnails of another one at the same address must not come from the browser's cache. */
let storeName = "";

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  let detail = response.statusText;
  try {
    detail = (await response.json()).detail;
  } catch {
    // not ours: a proxy's page, say
  }
  if (response.status === 401) window.dispatchEvent(new Event("token-needed"));
  throw new ApiError(response.status, detail);
}

function send(method, path, body) {
  return ask(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) query.append(name, one);
    }
  }
  return `${path}?${query}`;
}

export const api = {
  async state() {
    const state = await ask("/api/state");
    storeName = state.store;
    return state;
  },
  info: () => ask("/api/info"),
  image: (id) => ask(`/api/images/${id}`),
  images: (k, before) => ask(withQuery("/api/images", { k, before })),
  clusters: () => ask("/api/clusters"),
  members: (id, k, start, farthest) => ask(withQuery(`/api/clusters/${id}/members`, { k, start, farthest })),
  find: (q, k) => ask(withQuery("/api/find", { q, k })),
  similar: (images, minus, k) => send("POST", "/api/similar", { images, minus, k }),
  similarToFile: (file, images, minus, k) =>
    ask(withQuery("/api/similar/upload", { images, minus, k }), {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
    }),
  map: () => ask("/api/map"),
  name: (cluster, name) => send("PATCH", `/api/clusters/${cluster}`, { name }),
  remove: (id) => ask(`/api/images/${id}`, { method: "DELETE" }),
  jobs: () => ask("/api/jobs"),
  start: (work) => send("POST", "/api/jobs", work),
  cancel: (id) => ask(`/api/jobs/${id}`, { method: "DELETE" }),
  login: (token) => send("POST", "/api/login", { token }),
  thumbnail: (id) => `/api/images/${id}/thumbnail?v=${encodeURIComponent(storeName)}`,
  original: (id) => `/api/images/${id}/original`,
};
