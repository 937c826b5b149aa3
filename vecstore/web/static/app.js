// The page: shows the view that the address names, leads back to where one was, and logs in.

import { api, ApiError } from "./api.js";
import { offerActs } from "./by_hand.js";
import { button, byId, element, empty } from "./dom.js";
import { barHeight } from "./grid.js";
import { addPictures } from "./adding.js";
import { listenToKeys, showKeys } from "./keys.js";
import { followAddress } from "./lightbox.js";
import { check, current, hasAnswered, isReadOnly, isUnmade, live } from "./live.js";
import { address, changed, go, remembered, replace, setPlace, viewKey } from "./router.js";
import { listenToSearch, showInField } from "./search.js";
import { hideSidebar, showSidebar } from "./sidebar.js";
import { ROUTES } from "./views/index.js";
import { nothingYet } from "./views/nothing.js";

/** @typedef {import("./views/index.js").View} View */

const main = byId("main");
/** @type {View|null} */
let view = null;
let viewed = "";
let asked = 0;

/** Shows what the address names. isNew: one went there; else the view is made anew where it is.
 * @param {boolean} [isNew] @param {boolean} [isFirst] the page was just opened, and the focus stays at its beginning */
async function show(isNew = false, isFirst = false) {
  const where = address();
  showInField();
  if (where.path.startsWith("token=")) return logInWith(where.path.slice("token=".length));
  if (where.path === "main") return; // the skip link
  const key = viewKey(where);
  if (isNew && key === viewed && view) return followAddress(view.grid ?? null); // the same view, at another picture
  const number = ++asked;
  const kept = isNew ? remembered() : { y: view?.grid ? view.grid.at : scrollY, active: view?.grid?.active };
  const route = ROUTES.find(({ pattern }) => pattern.test(where.path));
  for (const link of document.querySelectorAll("nav a")) {
    if (link instanceof HTMLElement && link.dataset.view === route?.name) {
      link.setAttribute("aria-current", "page");
      if (isNew) link.parentElement?.scrollTo({ left: link.offsetLeft - 40 });
    } else link.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  /** @type {View} */
  let made;
  try {
    if (!route) throw new ApiError(404, `There is nothing at ${where.path} on this page.`);
    made = isUnmade() ? nothingYet() : await route.show({ ...where, found: /** @type {RegExpExecArray} */ (route.pattern.exec(where.path)), refresh: () => show() });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return;
    made = problem(error);
  }
  if (number !== asked) return leave(made); // another one was asked for meanwhile
  main.removeAttribute("aria-busy");
  if (view) leave(view);
  [view, viewed] = [made, key];
  const wasOnMap = document.activeElement instanceof HTMLCanvasElement && main.contains(document.activeElement);
  main.replaceChildren(...made.nodes.filter((node) => node !== null));
  made.shown?.();
  if (wasOnMap) main.querySelector("canvas")?.focus({ preventScroll: true }); // drawn anew under someone's keys
  const { grid } = made;
  setPlace(() => (grid ? { y: grid.at, active: grid.active } : { y: scrollY }));
  if (made.filters) showSidebar(where.query, made.filters);
  else hideSidebar();
  grid?.measure();
  if (grid) grid.active = Math.min(kept.active ?? 0, Math.max(grid.source.total - 1, 0));
  if (grid && kept.y) grid.scrollTo(kept.y);
  else {
    scrollTo(0, kept.y ?? 0);
    made.begin?.();
  }
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.textContent} · vecstore` : "vecstore";
  if (isNew && !isFirst && !(grid && kept.y && grid.focusIfShown()) && heading instanceof HTMLElement) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  if (!isUnmade()) followAddress(grid ?? null);
}

/** @param {View} left */
function leave(left) {
  left.grid?.destroy();
  left.leave?.();
}

/** @param {unknown} error @returns {View} */
function problem(error) {
  const isMissing = error instanceof ApiError && error.status === 404;
  const message = error instanceof Error ? error.message : String(error);
  return {
    nodes: [empty(isMissing ? "Not found" : "That did not work", message, isMissing ? element("a", { class: "button", href: "#/" }, "To the clusters") : button("Try again", () => show()))],
    changed: () => (isMissing ? undefined : "refresh"),
  };
}

// What others do to the store

live.addEventListener("changed", (event) => {
  const { before, now } = /** @type {CustomEvent} */ (event).detail;
  markFailures();
  if (!viewed) return;
  if (before.store !== now.store) return void show();
  if (view?.changed?.(before, now) === "refresh") show();
  else if (view?.filters && before.changes !== now.changes && !now.jobs) showSidebar(address().query, view.filters);
});
addEventListener("job-ended", () => view?.filters && showSidebar(address().query, view.filters)); // and not at each of its steps
live.addEventListener("up", () => !view?.grid && show());

function markFailures() {
  const link = document.querySelector("nav [data-view=failures]");
  if (link instanceof HTMLElement) link.hidden = !current().failures;
  for (const id of ["add"]) byId(id).hidden = isReadOnly();
}

// Looking at a picture of a view opens it there, so that Back leads to the view again.
main.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a.picture") : null;
  if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey) return;
  const to = link.getAttribute("href") ?? "";
  if (!new URLSearchParams(to.split("?")[1]).has("at")) return;
  event.preventDefault();
  open(to);
});

/** @param {string} to */
function open(to) {
  go(to);
  // The new entry is there at once, its event comes later.
  history.replaceState({ ...history.state, opened: true, y: view?.grid ? view.grid.at : scrollY }, "");
}
addEventListener("picture-wanted", (event) => open(changed({ at: /** @type {CustomEvent} */ (event).detail })));

// Logging in

/** @param {string} token */
async function logInWith(token) {
  replace("#/"); // so that it stays in no history
  try {
    await api.login(decodeURIComponent(token));
    await start();
  } catch (error) {
    askForToken(error instanceof Error ? error.message : "");
  }
}

function askForToken(wrong = "") {
  asked += 1;
  viewed = ""; // whatever was shown is no longer there
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
  await check();
  if (main.querySelector(".login") && !hasAnswered()) return;
  showStores();
  await show(true, true);
}

for (const { name, label, pattern } of ROUTES) {
  if (!label) continue;
  const path = pattern.source.replace(/[\\^$]/g, "");
  byId("views").append(element("a", { href: `#${path}`, "data-view": name, hidden: name === "failures" }, label));
}
/** Where a server has several stores, a choice of them. */
async function showStores() {
  const stores = await api.stores().catch(() => []);
  if (stores.length < 2) return;
  const select = element("select", { "aria-label": "Store" }, stores.map((store) => element("option", { value: store.name }, store.name)));
  select.value = stores.find((store) => store.current)?.name ?? "";
  select.addEventListener("change", () => (location.href = stores.find((store) => store.name === select.value)?.url ?? location.href));
  byId("stores").replaceChildren(select);
  byId("stores").hidden = false;
}

offerActs();
listenToSearch();
listenToKeys();
byId("add").addEventListener("click", () => addPictures());
byId("keys").addEventListener("click", () => showKeys());
addEventListener("hashchange", () => show(true));
addEventListener("address", () => show(true));
addEventListener("stayed", () => (viewed = viewKey()));
new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${barHeight()}px`)).observe(byId("bar"));
if (location.hash.startsWith("#token=")) show();
else start();
