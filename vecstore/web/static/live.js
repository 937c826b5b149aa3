// What others do to the store, and whether the server is there: the state is asked for again and again.

import { api, ApiError } from "./api.js";
import { byId, count } from "./dom.js";
import { say } from "./toasts.js";

/** @typedef {import("./api.js").State} State */

const QUIET_MS = 3000;
const BUSY_MS = 700;
const DOWN_MS = 2000;

/** @type {State} */
let state = { store: "", images: 0, newest: null, clustering: null, map: false, jobs: 0, failures: 0, changes: "", map_version: "" };
let timer = 0;
let isDown = false;
let isKnown = false;
/** How often the state was asked for, and which of these answers is the present one: they may overtake each other. */
let [asked, answered] = [0, 0];
/** What this page has done itself needs no message. */
let isOwn = false;

/** Events: "changed" with {before, now}, "polled", "up". */
export const live = new EventTarget();
export const current = () => state;
/** The server has answered, as it does to who is logged in. */
export const hasAnswered = () => isKnown;
/** The server has no store yet: the first add makes it. */
export const isUnmade = () => isKnown && !state.store;
export const isReadOnly = () => Boolean(state.read_only);

/** The next change is this page's own. */
export function own() {
  isOwn = true;
}

/** Asks for the state now, and from now on again and again. */
export async function check() {
  clearTimeout(timer);
  const number = ++asked;
  try {
    const found = await api.state();
    if (number < answered) return; // a later one has come already
    answered = number;
    const before = state;
    state = found;
    isKnown = true;
    if (isDown) {
      isDown = false;
      byId("offline").hidden = true;
      live.dispatchEvent(new Event("up"));
    }
    live.dispatchEvent(new Event("polled"));
    const names = /** @type {(keyof State)[]} */ (["store", "images", "newest", "clustering", "map", "map_version", "failures", "changes"]);
    if (before.changes !== state.changes || names.some((name) => state[name] !== before[name])) {
      const isByJob = before.jobs || state.jobs; // which says itself what it does
      if (before.store && before.store === state.store && !isOwn && !isByJob) tell(before);
      isOwn = false;
      live.dispatchEvent(new CustomEvent("changed", { detail: { before, now: state } }));
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) return; // until there is a login
    if (error.status === 0 || error.status >= 500) missed();
  }
  clearTimeout(timer);
  timer = window.setTimeout(check, isDown ? DOWN_MS : document.hidden ? 4 * QUIET_MS : state.jobs ? BUSY_MS : QUIET_MS);
}

function missed() {
  isDown = true;
  byId("offline").hidden = false;
}

/** @param {State} before */
function tell(before) {
  const more = state.images - before.images;
  if (more > 0) say(`${count(more, "new picture")} in the store`);
  if (more < 0) say(`${count(-more, "picture")} left the store`);
}

addEventListener("server-missed", () => {
  if (isDown) return;
  missed();
  clearTimeout(timer);
  timer = window.setTimeout(check, DOWN_MS);
});
document.addEventListener("visibilitychange", () => document.hidden || check());
