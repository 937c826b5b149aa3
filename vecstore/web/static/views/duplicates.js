// Duplicates, a group at a time: side by side with one zoom for all, what to keep, and what will happen before it does.

import { api } from "../api.js";
import { baseName, button, count, element, empty, head, number, shown, size, when, within } from "../dom.js";
import { sayIfMissing } from "../images.js";
import { start } from "../jobs.js";
import { check, isReadOnly, own } from "../live.js";
import { changed } from "../router.js";
import { complain, say } from "../toasts.js";
import { offerUndo } from "../undo.js";

/** @typedef {import("../api.js").DuplicateGroup} Group @typedef {import("../api.js").DuplicateFile} File_ */

const MOST = 500;
const MOST_ZOOM = 16;
const LISTED = 100;
/** @type {Record<string, string>} */
const RULES = {
  "": "as they were added",
  pixels: "the most pixels",
  bytes: "the largest file",
  oldest: "the oldest file",
  newest: "the newest file",
  sharpness: "the sharpest",
};
/** @type {Record<string, string>} */
const ORDERS = { "": "As they were added", score: "Most alike first", size: "Largest file first", taken: "First taken first", path: "By path" };
/** @type {Record<string, string>} */
const ACTS = { trash: "Put the others into the trash", hardlink: "Make links of the others, so that the room is used once", delete: "Delete the others for good" };

/** @param {import("./index.js").Asked} asked @returns {Promise<import("./index.js").View>} */
export async function showDuplicates({ query, refresh }) {
  const rule = Object.keys(RULES).find((one) => one === query.get("keep")) ?? "";
  const order = Object.keys(ORDERS).find((one) => one === query.get("sort")) ?? "";
  const look = () => Promise.all([api.duplicates({ keep_by: rule ? [rule] : [], k: MOST, known: true, sort: order }), api.compared()]);
  const [groups, compared] = await look();
  const keep = choice("Which one to keep", Object.entries(RULES).map(([value, text]) => [value, `Keep ${text}`]), rule, "keep");
  const sort = choice("Order", Object.entries(ORDERS), order, "sort");
  const left = whenCompared(refresh);
  if (!groups.length) {
    const news = toCompare(compared);
    const none = news ? "None are known so far." : "There are none that were not decided about.";
    return { nodes: [empty("No duplicates", none, news ?? comparedWhen(compared))], leave: left, changed: (before, now) => (before.changes !== now.changes || before.images !== now.images ? "refresh" : undefined) };
  }
  const review = new Review(groups, refresh, () => follow().catch(() => {})); // else with the next change
  // Cleared away is by the rule that one sees chosen, also while the groups are still on their way.
  const top = head("Duplicates", "", sort, keep, isReadOnly() ? null : button("Clear them away…", () => clearAway(keep.value, refresh), { class: "primary" }));
  const news = element("p", { class: "compared" });
  /** @param {Group[]} found @param {import("../api.js").Compared} known */
  const say = (found, known) => {
    within(top, ".sub", HTMLElement).textContent = summary(found);
    news.replaceChildren(toCompare(known) ?? comparedWhen(known));
  };
  say(groups, compared);
  let asked = 0;
  // What is in view stays there, with its zoom, whatever becomes of the others.
  const follow = async () => {
    const now = ++asked;
    const [found, known] = await look();
    if (now !== asked || review.gone.signal.aborted) return;
    if (!found.length) return void refresh();
    say(found, known);
    review.follow(found);
  };
  return {
    nodes: [top, news, review.element],
    leave: () => {
      left();
      review.leave();
    },
    changed: (before, now) => void (before.changes !== now.changes && review.look()),
  };
}

/** @param {Group[]} groups */
function summary(groups) {
  const taken = groups.reduce((sum, group) => sum + group.bytes, 0);
  return `${count(groups.length, "group")}${groups.length === MOST ? " and more" : ""}.${taken ? ` The files of the very same content take ${size(taken)}.` : ""}`;
}

/** What is shown of a group, but for its number, which changes with the others. @param {Group|undefined} group */
const contentOf = (group) => JSON.stringify(group, (name, value) => (name === "group" ? undefined : value));

/** What tells a group from others, whatever is in it now. @param {Group} group */
const keyOf = (group) => [...new Set(group.files.map((file) => file.id))].sort((one, other) => one - other).join();

/** A choice that is part of the address. @param {string} label @param {string[][]} offered values, and what they are called
 * @param {string} value @param {string} name in the address */
function choice(label, offered, value, name) {
  const select = element("select", { "aria-label": label }, offered.map(([one, text]) => element("option", { value: one }, text)));
  select.value = value;
  select.addEventListener("change", () => (location.hash = changed({ [name]: select.value })));
  return select;
}

/** When what is shown was compared. @param {import("../api.js").Compared} compared */
function comparedWhen({ compared, until }) {
  return element("span", { class: "sub" }, until ? `All ${count(compared, "picture")} are compared, up to those added ${when(until)}.` : "");
}

/** What was not compared yet, and what compares it; null for nothing. @param {import("../api.js").Compared} compared */
function toCompare({ images, compared, until }) {
  const left = images - compared;
  if (!left) return null;
  const said = until
    ? `${count(left, "picture")} of ${number(images)} ${left === 1 ? "was" : "were"} not compared with the others yet, or could not be read. Compared are those added until ${when(until)}.`
    : `The ${count(images, "picture")} were not compared with each other yet: only files of the very same content are known.`;
  const pressed = button("Compare now", async () => {
    pressed.disabled = true;
    await start({ kind: "duplicates" }).catch((error) => ((pressed.disabled = false), complain(error)));
  });
  return element("span", { class: "to-compare" }, element("span", {}, said), isReadOnly() ? null : pressed);
}

/** Makes the view anew when pictures were compared. @param {() => unknown} refresh @returns {() => void} */
function whenCompared(refresh) {
  const ended = (/** @type {Event} */ event) => /** @type {CustomEvent} */ (event).detail.kind === "duplicates" && refresh();
  addEventListener("job-ended", ended);
  return () => removeEventListener("job-ended", ended);
}

class Review {
  /** @param {Group[]} groups @param {() => unknown} refresh @param {() => unknown} look asks for the groups, for `follow` */
  constructor(groups, refresh, look) {
    this.look = look;
    this.groups = groups;
    this.refresh = refresh;
    this.at = 0;
    this.zoom = 1;
    this.pan = [0, 0];
    this.isDeciding = false;
    this.isBehind = false;
    this.element = element("section", { class: "review", tabindex: "-1", "aria-label": "A group of duplicates" });
    this.gone = new AbortController();
    document.addEventListener("keydown", (event) => this.onKey(event), { signal: this.gone.signal });
    this.draw();
  }

  leave() {
    this.gone.abort();
  }

  get group() {
    return this.groups[this.at];
  }

  /** Goes on with the groups as they are now, at the one that is in view. @param {Group[]} groups */
  follow(groups) {
    if (this.isDeciding) return void (this.isBehind = true);
    this.isBehind = false;
    const { group: before, at } = this;
    const there = before ? groups.findIndex((one) => keyOf(one) === keyOf(before)) : groups.length;
    this.groups = groups;
    this.at = there < 0 ? Math.min(at, groups.length) : there;
    if (contentOf(before) !== contentOf(this.group)) return this.draw();
    const where = this.element.querySelector("[role=status]");
    if (where) where.textContent = this.where;
  }

  get where() {
    return `${number(this.at + 1)} of ${number(this.groups.length)}`;
  }

  /** One of each image of the group, the one to keep first. */
  get images() {
    /** @type {Map<number, File_[]>} */
    const byId = new Map();
    for (const file of this.group.files) byId.set(file.id, [...(byId.get(file.id) ?? []), file]);
    return [...byId.values()];
  }

  draw() {
    [this.zoom, this.pan] = [1, [0, 0]];
    if (!this.group) {
      this.element.replaceChildren(element("p", { class: "sub" }, "That was the last one."), button("Look again", () => this.refresh()));
      return;
    }
    const { images } = this;
    const isCopies = images.length === 1;
    const files = isCopies ? images[0].map((file) => [file]) : images;
    const figures = files.map((own, at) => this.figure(own, at));
    const canWrite = !isReadOnly();
    this.element.replaceChildren(
      element(
        "div",
        { class: "review-bar" },
        button("←", () => this.step(-1), { "aria-label": "Group before", title: "Group before (p)", class: "tool" }),
        element("strong", { role: "status" }, this.where),
        button("→", () => this.step(1), { "aria-label": "Next group; decide later", title: "Decide later (l)", class: "tool" }),
        this.group.is_decided ? element("span", { class: "badge" }, "Decided") : null,
        element("span", { class: "grow" }),
        isCopies ? null : button("Differences", () => this.toggleDifferences(), { "aria-pressed": "false", title: "Show what differs from the first (d)", class: "differ" }),
        canWrite && !isCopies ? button("Not duplicates", () => this.decide("different"), { title: "n" }) : null,
        canWrite ? button(files.length > 2 ? "Keep all" : "Keep both", () => this.decide("both"), { title: "b" }) : null,
      ),
      element("div", { class: "pair" }, figures),
    );
    this.listenToZoom();
  }

  /** @param {File_[]} files @param {number} at */
  figure(files, at) {
    const [file] = files;
    const name = baseName(file.path);
    const image = element("img", { src: api.thumbnail(file.id, "large"), alt: name, draggable: "false" });
    sayIfMissing(image, name);
    // What is laid over it by `difference` leaves black what is alike.
    const first = element("img", { class: "over", src: api.thumbnail(this.group.files[0].id, "large"), alt: "", hidden: true });
    const about = [
      at ? `${file.relation || file.kind}${file.relation && file.confidence < 1 ? `, ${Math.round(file.confidence * 100)} % sure` : ""}` : `To keep${file.why && !file.why.startsWith("no rule") ? `: ${file.why}` : ""}`,
      file.width ? `${file.width} × ${file.height}` : "",
      file.bytes === null ? "" : size(file.bytes),
    ];
    return element(
      "figure",
      { class: at ? "" : "keep" },
      element("div", { class: "frame" }, image, at ? first : null),
      element("figcaption", {}, element("span", { class: at ? "badge plain" : "badge" }, about.filter(Boolean).join(" · ")), ...files.map((one) => element("bdi", { class: "path" }, shown(one.path)))),
      isReadOnly() ? null : button(`Keep this (${at + 1})`, () => this.decide("keep", file), { class: at ? "" : "primary", "aria-keyshortcuts": String(at + 1) }),
    );
  }

  toggleDifferences() {
    const pressed = this.element.querySelector(".differ");
    const isOn = pressed?.getAttribute("aria-pressed") !== "true";
    pressed?.setAttribute("aria-pressed", String(isOn));
    for (const over of this.element.querySelectorAll(".over")) {
      /** @type {HTMLElement} */ (over).hidden = !isOn;
      over.parentElement?.classList.toggle("differing", isOn);
    }
  }

  /** @param {"different"|"both"|"keep"} verdict @param {File_} [file] */
  async decide(verdict, file) {
    const { group } = this;
    if (this.isDeciding) return; // the same group is still in view
    this.isDeciding = true;
    const images = [...new Set(group.files.map((one) => one.id))];
    try {
      own();
      await api.decide({ verdict, images, ...(file ? { keep: file.path } : {}) });
    } catch (error) {
      return complain(error);
    } finally {
      this.isDeciding = false;
    }
    if (file) group.is_decided = true;
    else this.groups.splice(this.groups.indexOf(group), 1);
    if (file) this.at += 1;
    this.at = Math.min(this.at, this.groups.length);
    this.draw();
    if (this.isBehind) this.look();
    this.element.focus({ preventScroll: true });
    const words = { different: "Not duplicates", both: "All are kept", keep: `${baseName(file?.path ?? "")} is kept` };
    await offerUndo(words[verdict]).catch(complain);
  }

  /** @param {number} by */
  step(by) {
    if (this.isDeciding) return;
    this.at = Math.min(Math.max(this.at + by, 0), this.groups.length);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (!this.element.isConnected || (event.target instanceof Element && event.target.closest("input, select"))) return;
    const files = this.group ? (this.images.length === 1 ? this.images[0] : this.images.map(([file]) => file)) : [];
    /** @type {Record<string, () => unknown>} */
    const keys = {
      l: () => this.step(1),
      ArrowRight: () => this.step(1),
      p: () => this.step(-1),
      ArrowLeft: () => this.step(-1),
      d: () => this.toggleDifferences(),
      "+": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.zoomBy(0),
    };
    if (this.group && !isReadOnly()) {
      keys.b = () => this.decide("both");
      if (this.images.length > 1) keys.n = () => this.decide("different");
      const chosen = files[Number(event.key) - 1];
      if (chosen && event.key !== "0") keys[event.key] = () => this.decide("keep", chosen);
    }
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }

  listenToZoom() {
    for (const frame of this.element.querySelectorAll(".frame")) {
      if (!(frame instanceof HTMLElement)) continue;
      frame.addEventListener("wheel", (event) => {
        event.preventDefault();
        const box = frame.getBoundingClientRect();
        this.zoomBy(Math.exp(-event.deltaY * 0.002), [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2]);
      }, { passive: false });
      frame.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
      frame.addEventListener("pointermove", (event) => {
        if (!event.buttons || this.zoom === 1) return;
        this.pan = [this.pan[0] + event.movementX, this.pan[1] + event.movementY];
        this.place();
      });
      frame.addEventListener("dblclick", () => this.zoomBy(this.zoom > 1 ? 0 : 3));
    }
  }

  /** @param {number} factor 0: all of it @param {number[]} [at] from the middle of its frame */
  zoomBy(factor, at = [0, 0]) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const real = zoom / this.zoom;
    this.pan = zoom === 1 ? [0, 0] : this.pan.map((pan, axis) => at[axis] - (at[axis] - pan) * real);
    this.zoom = zoom;
    this.place();
  }

  place() {
    for (const image of this.element.querySelectorAll(".frame img")) {
      /** @type {HTMLElement} */ (image).style.transform = this.zoom === 1 ? "" : `translate(${this.pan[0]}px, ${this.pan[1]}px) scale(${this.zoom})`;
    }
  }
}

/** Says what would be done with all duplicates, and does it when that is wanted. @param {string} rule @param {() => unknown} refresh */
function clearAway(rule, refresh) {
  const act = element("select", { id: "act" }, Object.entries(ACTS).map(([value, text]) => element("option", { value }, text)));
  const near = element("input", { type: "checkbox" });
  const plan = element("div", { class: "plan", role: "status" });
  const go = button("Do it", () => run(false), { class: "danger", disabled: true });
  const order = () => ({ act: act.value, keep_by: rule ? [rule] : [], near: near.checked });
  /** @type {HTMLDialogElement} */
  const dialog = element(
    "dialog",
    { class: "wide", "aria-labelledby": "clear-title" },
    element("h2", { id: "clear-title" }, "Clear duplicates away"),
    element("p", { class: "hint" }, rule ? `Kept is what was decided, else ${RULES[rule]}. Nothing is done that would leave a picture without a file.` : "Only what was decided is acted on. Choose which one to keep above for the others."),
    element("label", { for: "act" }, "What to do"),
    act,
    rule ? element("label", { class: "check" }, near, "Also altered copies, not only files of the very same content") : null,
    plan,
    element("div", { class: "buttons" }, button("Cancel", () => dialog.close()), go),
  );
  let asked = 0;
  const run = async (/** @type {boolean} */ isDry) => {
    const now = ++asked;
    go.disabled = true;
    plan.replaceChildren("Working out what would be done…");
    try {
      if (!isDry) own();
      const done = await api.act({ ...order(), dry_run: isDry });
      if (isDry && now !== asked) return; // it was for another choice
      const what = `${count(done.done, "file")}${done.bytes ? `, ${size(done.bytes)}` : ""}`;
      if (isDry) {
        go.disabled = !done.done;
        const refused = done.acts.filter((one) => one.state === "refused");
        plan.replaceChildren(
          element("p", {}, element("strong", {}, done.done ? `${what}:` : "Nothing would be done.")),
          element("ul", {}, done.acts.filter((one) => one.state !== "refused").slice(0, LISTED).map((one) => element("li", { class: "path" }, element("bdi", {}, shown(one.path))))),
          done.done > LISTED ? `and ${number(done.done - LISTED)} more` : "",
          ...(refused.length ? [element("p", { class: "problem" }, `${count(refused.length, "file")} would be left: ${refused[0].reason}`)] : []),
        );
        return;
      }
      dialog.close();
      if (order().act === "delete") {
        say(`${what} deleted`);
        await check();
      } else await offerUndo(`${what} ${order().act === "trash" ? "in the trash" : "now links"}`);
      if (done.refused) say(`${count(done.refused, "file")} could not be acted on`, { problem: true });
      await refresh();
    } catch (error) {
      if (isDry && now !== asked) return;
      plan.replaceChildren(element("p", { class: "problem" }, error instanceof Error ? error.message : String(error)));
    }
  };
  act.addEventListener("change", () => run(true));
  near.addEventListener("change", () => run(true));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  run(true);
}
