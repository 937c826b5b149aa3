// The page: which view is shown, searching by a picture from outside, work in progress, and logging in.

import { api } from "./api.js";
import { count, element, say, shown } from "./dom.js";
import { showMap } from "./map.js";
import { showClusters, showCluster, showFound, showPictures, showSimilar } from "./views.js";

const main = document.getElementById("main");
const words = document.getElementById("find-text");
const ROUTES = [
  [/^\/?$/, "clusters", showClusters],
  [/^\/pictures$/, "pictures", showPictures],
  [/^\/cluster\/(\d+)$/, "clusters", showCluster],
  [/^\/similar$/, "", showSimilar],
  [/^\/find$/, "", showFound],
  [/^\/map$/, "map", showMap],
];
const QUIET_MS = 3000;
const BUSY_MS = 700;

let state = { store: "", images: 0, newest: null, clustering: null, map: false, jobs: 0 };
/** The picture from outside that is searched by, which the server does not keep. */
let upload = null;
let shownAt = 0;
/** The address that the search field was last set from: what is typed into it since then stays when a view is drawn anew. */
let addressInField = "";

// Views

async function show() {
  const [path, query] = location.hash.slice(1).split("?");
  if (location.hash !== addressInField) {
    addressInField = location.hash;
    words.value = path === "/find" ? (new URLSearchParams(query).get("q") ?? "") : "";
  }
  if (path.startsWith("token=")) return logInWith(path.slice("token=".length));
  if (path === "main") return; // the skip link
  const number = ++shownAt;
  const found = ROUTES.find(([pattern]) => pattern.test(path)) ?? ROUTES[0];
  const [pattern, name, view] = found;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const context = { state, upload, refresh: show, arguments: pattern.exec(path) ?? [], query: new URLSearchParams(query) };
  let made;
  main.setAttribute("aria-busy", "true");
  try {
    made = await view(context);
  } catch (error) {
    if (error.status === 401) return;
    made = problem(error);
  }
  main.removeAttribute("aria-busy");
  if (number !== shownAt) return; // another one was asked for meanwhile
  main.replaceChildren(...[made].flat());
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} · vecstore` : "vecstore";
}

async function go() {
  await show();
  scrollTo(0, 0);
  const heading = main.querySelector("h1");
  if (heading) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
}

function problem(error) {
  return element(
    "div",
    { class: "empty" },
    element("h1", {}, error.status === 404 ? "Not found" : "That did not work"),
    element("p", {}, error.message),
    element("p", {}, element("button", { type: "button", onclick: show }, "Try again")),
  );
}

// Searching by words

document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const q = words.value.trim();
  if (q) location.hash = `#/find?${new URLSearchParams({ q })}`;
});

// Searching by a picture from outside

const file = document.getElementById("file");
document.getElementById("search").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  if (file.files[0]) searchBy(file.files[0]);
  file.value = "";
});

function searchBy(picture) {
  if (upload) URL.revokeObjectURL(upload.url);
  upload = { file: picture, url: URL.createObjectURL(picture), name: shown(picture.name || "pasted picture") };
  const wanted = `#/similar?upload=${Date.now()}`;
  location.hash = wanted;
}

function firstPicture(transfer) {
  return [...(transfer?.files ?? [])][0] ?? null;
}

const drop = document.getElementById("drop");
let depth = 0;
addEventListener("dragenter", (event) => {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  depth += 1;
  drop.hidden = false;
});
addEventListener("dragleave", () => {
  depth = Math.max(depth - 1, 0);
  drop.hidden = depth === 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  drop.hidden = true;
  const picture = firstPicture(event.dataTransfer);
  if (picture) searchBy(picture);
});
addEventListener("paste", (event) => {
  const picture = firstPicture(event.clipboardData);
  if (picture) searchBy(picture);
});

// Dialogs

function openDialog(id, submitted) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  const told = form.querySelector(".problem");
  form.reset();
  told.hidden = true;
  form.onsubmit = async (event) => {
    event.preventDefault();
    told.hidden = true;
    try {
      await submitted(new FormData(form));
      dialog.close();
    } catch (error) {
      told.textContent = error.message;
      told.hidden = false;
    }
  };
  dialog.showModal();
}
for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

const addPictures = () =>
  openDialog("add-dialog", async (form) => {
    await api.start({ kind: form.has("sync") ? "sync" : "add", paths: [form.get("path")] });
    await watch();
  });
const groupIntoClusters = () =>
  openDialog("cluster-dialog", async (form) => {
    await api.start({ kind: "cluster", k: form.get("k") ? Number(form.get("k")) : "auto" });
    await watch();
  });
document.getElementById("add").addEventListener("click", addPictures);
addEventListener("wanted", (event) => {
  const { what, id } = event.detail;
  if (what === "add") addPictures();
  if (what === "cluster") groupIntoClusters();
  if (what === "job-started") watch();
  if (what === "remove") {
    openDialog("remove-dialog", async () => {
      await api.remove(id);
      say(`@${id} is no longer in the store`);
      history.length > 1 ? history.back() : (location.hash = "#/");
    });
  }
});

// Work in progress, and what others do to the store

const jobsPanel = document.getElementById("jobs");
const isOver = (job) => ["done", "failed", "cancelled"].includes(job.state);
let openJobs = new Set();
let timer = 0;

async function watch() {
  clearTimeout(timer);
  try {
    const before = state;
    state = await api.state();
    if (state.jobs || openJobs.size) await followJobs();
    const changed = ["store", "images", "newest", "clustering"].some((name) => state[name] !== before[name]);
    if (changed && before.store) tellChange(before);
    if (changed && isRefreshable()) await show();
  } catch (error) {
    if (error.status === 401) return; // until there is a login
  }
  clearTimeout(timer);
  timer = setTimeout(watch, document.hidden ? 4 * QUIET_MS : openJobs.size ? BUSY_MS : QUIET_MS);
}
document.addEventListener("visibilitychange", () => document.hidden || watch());

/** Whether the view may be made anew without taking something away from under a reader's eyes. */
function isRefreshable() {
  const path = location.hash.slice(1).split("?")[0];
  return (path === "" || path === "/" || path === "/pictures") && scrollY < 200 && !main.contains(document.activeElement.closest("input"));
}

function tellChange(before) {
  const more = state.images - before.images;
  if (more > 0) say(`${count(more, "new picture")} in the store`);
  if (more < 0) say(`${count(-more, "picture")} left the store`);
}

async function followJobs() {
  const jobs = await api.jobs();
  const ended = jobs.filter((job) => isOver(job) && openJobs.has(job.id));
  if (ended.length) state = await api.state(); // what they did came after the state that was asked for before
  ended.forEach(tellEnd);
  const running = jobs.filter((job) => !isOver(job)).reverse();
  openJobs = new Set(running.map((job) => job.id));
  jobsPanel.hidden = !running.length;
  for (const job of running) drawJob(job);
  for (const card of [...jobsPanel.children]) {
    if (!openJobs.has(Number(card.dataset.job))) card.remove();
  }
}

function drawJob(job) {
  let card = jobsPanel.querySelector(`[data-job="${job.id}"]`);
  if (!card) {
    const bar = element("progress", { "aria-label": titleOf(job) });
    const stop = element("button", { type: "button", class: "quiet" }, "Stop");
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      stop.textContent = "Stopping…";
      await api.cancel(job.id).catch((error) => say(error.message, true));
    });
    card = element("div", { class: "job", "data-job": job.id }, element("strong", {}, titleOf(job)), bar, element("small"), stop);
    jobsPanel.append(card);
  }
  const bar = card.querySelector("progress");
  if (job.total) [bar.max, bar.value] = [job.total, job.done];
  else bar.removeAttribute("value");
  const far = job.total ? `${job.done.toLocaleString("en")} of ${job.total.toLocaleString("en")}` : "";
  const note = job.state === "waiting" ? "waiting" : [far, job.note].filter(Boolean).join(" · ") || "starting";
  card.querySelector("small").textContent = note;
}

function titleOf(job) {
  if (job.kind === "cluster") return "Grouping into clusters";
  if (job.kind === "map") return "Drawing the map";
  return `Adding ${job.asked.paths.map(shown).join(", ")}`;
}

function tellEnd(job) {
  dispatchEvent(new CustomEvent("job-ended", { detail: job }));
  if (job.state === "failed") return say(`${titleOf(job)}: ${job.error}`, true);
  if (job.state === "cancelled") return say(`${titleOf(job)} was stopped: ${job.error}`);
  const result = job.result;
  if (job.kind === "cluster") say(`${count(result.rows, "picture")} in ${count(result.k, "cluster")}`);
  if (job.kind === "add" || job.kind === "sync") {
    const parts = [`added ${result.added}`, `known ${result.known}`, result.updated ? `updated ${result.updated}` : ""];
    parts.push(result.failed ? `${result.failed} could not be read` : "", result.forgotten ? `forgot ${result.forgotten}` : "");
    say(parts.filter(Boolean).join(", "));
  }
}

// Logging in

async function logInWith(token) {
  history.replaceState(null, "", "#/"); // so that it stays in no history
  try {
    await api.login(decodeURIComponent(token));
    await start();
  } catch (error) {
    askForToken(error.message);
  }
}

function askForToken(wrong = "") {
  shownAt += 1;
  const input = element("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const form = element(
    "form",
    { class: "login" },
    element("h1", {}, "This store needs a token"),
    element("p", { class: "hint" }, "It was printed where the server was started."),
    element("label", { for: "token" }, "Token"),
    input,
    wrong ? element("p", { class: "problem", role: "alert" }, wrong) : null,
    element("button", { type: "submit", class: "primary" }, "Log in"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    api.login(input.value).then(start, (error) => askForToken(error.message));
  });
  main.replaceChildren(form);
  document.title = "Log in · vecstore";
}
addEventListener("token-needed", () => main.querySelector(".login") || askForToken());

async function start() {
  try {
    state = await api.state();
  } catch (error) {
    if (error.status === 401) return;
  }
  await show();
  watch();
}

addEventListener("hashchange", go);
if (location.hash.startsWith("#token=")) show();
else start();
