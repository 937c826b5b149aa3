// Work in progress: a tray with how far each job is, and what became of it.

import { api } from "./api.js";
import { button, byId, count, element, number, shown, within } from "./dom.js";
import { check, current, live } from "./live.js";
import { plain } from "./plain.js";
import { address, href } from "./router.js";
import { complain } from "./toasts.js";
import { undoing } from "./undo.js";

/** @typedef {import("./api.js").Job} Job */

const isOver = (/** @type {Job} */ job) => ["done", "failed", "cancelled"].includes(job.state);
// By so many seconds of the last measured ones a rate is said.
const RATE_MS = 8000;

/** Where the result of a job is seen anyway. @type {Record<string, string>} */
const SEEN_AT = { map: "/map", duplicates: "/duplicates" };

/** Jobs that were seen running, or have ended while the page was there and were not dismissed. @type {Set<number>} */
const followed = new Set();
/** @type {Set<number>} */
const ended = new Set();
/** @type {Map<number, [number, number][]>} */
const measured = new Map();

live.addEventListener("polled", () => (current().jobs || [...followed].some((id) => !ended.has(id))) && follow());

async function follow() {
  const jobs = await api.jobs().catch(() => null);
  if (!jobs) return;
  for (const job of jobs) if (!isOver(job)) followed.add(job.id);
  for (const job of [...jobs].reverse()) {
    if (!followed.has(job.id)) continue;
    if (isOver(job) && !ended.has(job.id)) {
      ended.add(job.id);
      await check();
      dispatchEvent(new CustomEvent("job-ended", { detail: job }));
    }
    if (job.state === "done" && SEEN_AT[job.kind] === address().path) dismiss(job.id);
    else draw(job);
  }
  // A server that was started anew has forgotten its jobs.
  for (const card of byId("jobs").querySelectorAll(".job")) {
    const id = Number(/** @type {HTMLElement} */ (card).dataset.job);
    if (!ended.has(id) && !jobs.some((job) => job.id === id)) dismiss(id);
  }
}

/** @param {Job} job */
function draw(job) {
  const tray = byId("jobs");
  tray.hidden = false;
  let card = tray.querySelector(`[data-job="${job.id}"]`);
  if (!card) {
    card = element("div", { class: "job", "data-job": job.id });
    tray.append(card);
  }
  if (!isOver(job)) {
    if (!card.querySelector("progress")) {
      card.replaceChildren(
        element("strong", {}, titleOf(job)),
        element("progress", { "aria-label": titleOf(job) }),
        element("small"),
        button("Stop", (event) => stop(job.id, /** @type {HTMLButtonElement} */ (event.currentTarget)), { class: "quiet" }),
      );
    }
    const bar = within(card, "progress", HTMLProgressElement);
    if (job.total) [bar.max, bar.value] = [job.total, job.done];
    else bar.removeAttribute("value");
    within(card, "small", HTMLElement).textContent = progressOf(job);
  } else if (!card.classList.contains("over")) {
    card.classList.add("over", job.state);
    card.replaceChildren(
      element("strong", {}, titleOf(job)),
      element("p", { role: job.state === "failed" ? "alert" : "status" }, ...resultOf(job)),
      button("×", () => dismiss(job.id), { class: "tool", "aria-label": `Dismiss: ${titleOf(job)}`, title: "Dismiss" }),
    );
    measured.delete(job.id);
  }
}

/** @param {number} id */
function dismiss(id) {
  followed.delete(id);
  const tray = byId("jobs");
  tray.querySelector(`[data-job="${id}"]`)?.remove();
  tray.hidden = !tray.children.length;
}

/** @param {number} id @param {HTMLButtonElement} stopping */
async function stop(id, stopping) {
  stopping.disabled = true;
  stopping.textContent = "Stopping…";
  await api.cancel(id).catch(complain);
}

/** @type {Record<string, string>} */
const TITLES = {
  cluster: "Grouping into clusters",
  map: "Drawing the map",
  retry: "Trying failures again",
  duplicates: "Comparing for duplicates",
  names: "Suggesting names",
};
/** @type {Record<string, string>} What a method does, by the library's name of the step. */
const STEPS = {
  "principal directions": "Looking for what differs",
  "nearest neighbours": "Looking for each one's neighbours",
  "eigenvectors of the nearest neighbours' graph": "Looking for each one's neighbours",
};

/** @param {Job} job */
function titleOf(job) {
  const named = TITLES[job.kind];
  if (named) return named;
  const paths = (job.asked.paths ?? []).map(shown).join(", ");
  return paths ? `Adding ${paths}` : job.kind;
}

/** How far it is, how fast, and how long it still takes. @param {Job} job */
function progressOf(job) {
  if (job.state === "waiting") return "Waiting for the job before it";
  const parts = [];
  if (job.kind === "cluster" || job.kind === "map" || job.kind === "names") {
    parts.push(stepOf(job));
    if (job.started) parts.push(duration((Date.now() - Date.parse(job.started)) / 1000));
    return parts.join(" · ");
  }
  if (!job.total) return job.done ? number(job.done) : job.kind === "duplicates" ? "Finding what may be alike" : "Looking for pictures";
  parts.push(`${number(job.done)} of ${number(job.total)}`);
  const rate = rateOf(job);
  if (rate > 0) {
    parts.push(`${rate >= 10 ? number(Math.round(rate)) : rate.toFixed(1)} a second`);
    if (job.total > job.done) parts.push(`${duration((job.total - job.done) / rate)} left`);
  }
  if (job.kind === "duplicates") parts[0] += job.note === "pairs" ? " that may be alike" : " pictures read";
  else if (job.note) parts.push(job.note.replace("failed", "could not be read"));
  return parts.join(" · ");
}

/** What a job without a count of pictures is doing. @param {Job} job */
function stepOf(job) {
  if (job.kind === "map") return "Placing pictures";
  if (job.kind === "names") return "Reading the pictures' words";
  const level = /^level (\d+)/.exec(job.note)?.[1];
  if (level) return `Level ${level}: ${number(job.done)} of ${number(job.total ?? 0)} split`;
  const run = /^run (\d+)/.exec(job.note)?.[1];
  if (run) return `Comparing ways to group them, try ${run}`;
  const stands = /^(\d+) representatives/.exec(job.note)?.[1];
  if (stands) return `Choosing ${number(Number(stands))} that stand for the others`;
  return STEPS[job.note] ?? (job.note ? "Forming clusters" : job.asked.k === "auto" ? "Looking for a good number of clusters" : "Beginning");
}

/** @param {Job} job */
function rateOf(job) {
  const now = Date.now();
  const points = measured.get(job.id) ?? [];
  points.push([now, job.done]);
  while (points.length > 2 && now - points[0][0] > RATE_MS) points.shift();
  measured.set(job.id, points);
  const [then, done] = points[0];
  return now - then > 900 ? ((job.done - done) / (now - then)) * 1000 : 0;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(Math.round(seconds), 1)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** @param {Job} job @returns {(Node|string)[]} */
function resultOf(job) {
  const taking = button("Undo", undoing(), { class: "quiet" });
  if (job.state === "failed") return [failure(job)];
  if (job.state === "cancelled") return [`Stopped: ${job.error}`];
  const { result } = job;
  if (job.kind === "cluster") return [...groupedAs(result), " ", taking];
  if (job.kind === "names") return [result.suggested ? `${count(result.suggested, "cluster")} of ${number(result.clusters)} ${result.suggested === 1 ? "has a suggestion" : "have a suggestion"}, with a question mark.` : "The words say nothing that would tell the clusters apart."];
  if (job.kind === "duplicates") return [`${number(result.compared)} of ${count(result.images, "picture")} are compared. `, element("a", { href: href("/duplicates") }, "Show the duplicates")];
  if (job.kind === "map") return [`${count(result.points, "picture")} on it. `, element("a", { href: href("/map") }, "Show the map")];
  const parts = [`${number(result.added)} added`];
  if (result.known) parts.push(`${number(result.known)} already there`);
  if (result.updated) parts.push(`${number(result.updated)} changed`);
  if (result.forgotten) parts.push(`${number(result.forgotten)} forgotten`);
  /** @type {(Node|string)[]} */
  const said = [`${parts.join(", ")}. `];
  if (result.failed) said.push(element("a", { href: href("/failures") }, `${number(result.failed)} could not be read`), ". ");
  return result.added || result.updated || result.forgotten ? [...said, taking] : said;
}

/** What a grouping made, and which names it put in doubt. @param {any} result @returns {(Node|string)[]} */
function groupedAs(result) {
  /** @type {(Node|string)[]} */
  const said = [`${count(result.rows, "picture")} in ${count(result.k, "cluster")}.`];
  if (result.k_reason) said.push(` Why ${result.k}: ${result.k_reason}.`);
  for (const name of result.names ?? []) {
    if (!name.doubtful) continue;
    said.push(" ", element("a", { href: href(`/cluster/${name.cluster}`) }, element("bdi", {}, shown(name.name))), ` kept ${Math.round(100 * name.kept)} % of its pictures: is the name still true?`);
  }
  return said;
}

/** @param {Job} job */
function failure(job) {
  const text = job.error ?? "it failed";
  const said = element("span", {}, plainly(text));
  if (/could be added/.test(text)) said.append(" ", element("a", { href: href("/failures") }, "Show why"));
  return said;
}

/** @param {string} text */
function plainly(text) {
  const made = plain(text);
  return made.charAt(0).toUpperCase() + made.slice(1) + (/[.!?]$/.test(made) ? "" : ".");
}

/** @param {object} work */
export async function start(work) {
  await api.start(work);
  await started();
}

/** A job was started: follow it now, and not only when the state is asked for next. */
async function started() {
  await check();
  await follow();
}

