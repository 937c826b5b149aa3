// Adding pictures by sending their files: each is kept in the server's folder for uploads, and then a job adds them.

import { api, ApiError } from "./api.js";
import { button, byId, count, element, number, shown } from "./dom.js";
import { start } from "./jobs.js";
import { current, isReadOnly } from "./live.js";
import { say } from "./toasts.js";

const AT_ONCE = 2;
// A job takes so many paths; of more, it adds their folder.
const MOST_PATHS = 100;
const MOST_LISTED = 200;

/** Whether the server takes files. */
export const takesFiles = () => Boolean(current().uploads) && !isReadOnly();

/** Sends files to be kept and added. @param {Iterable<File>} files */
export async function sendFiles(files) {
  const all = [...files];
  if (!all.length) return;
  const card = new Sending(all.length);
  /** @type {string[]} */
  const kept = [];
  let next = 0;
  const sender = async () => {
    while (next < all.length && !card.isStopped) {
      const file = all[next++];
      try {
        kept.push((await api.upload(file)).path);
      } catch (error) {
        if (error instanceof ApiError && (error.status === 0 || error.status === 401)) card.stop(error.message);
        card.refused.push([file.name, (error instanceof Error ? error.message : String(error)).replace(/^.* is not kept: /, "")]);
      }
      card.draw();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  card.end(kept.length);
  if (!kept.length) return;
  try {
    const [first] = kept;
    await start({ kind: "add", paths: kept.length > MOST_PATHS ? [first.slice(0, first.lastIndexOf("/"))] : kept });
  } catch (error) {
    say(`They are kept, and were not added: ${error instanceof Error ? error.message : error}`, { problem: true });
  }
}

/** The card of files that are being sent, in the tray of jobs. */
class Sending {
  /** @param {number} total */
  constructor(total) {
    this.total = total;
    this.done = 0;
    this.isStopped = false;
    this.why = "";
    /** @type {[string, string][]} */
    this.refused = [];
    this.title = `Sending ${count(total, "file")}`;
    this.bar = element("progress", { "aria-label": this.title, max: String(total), value: "0" });
    this.note = element("small", {}, `0 of ${number(total)}`);
    this.element = element("div", { class: "job" }, element("strong", {}, this.title), this.bar, this.note, button("Stop", () => this.stop(""), { class: "quiet" }));
    byId("jobs").prepend(this.element);
    byId("jobs").hidden = false;
  }

  /** @param {string} why */
  stop(why) {
    this.isStopped = true;
    this.why ||= why;
  }

  draw() {
    this.done += 1;
    this.bar.value = this.done;
    const failed = this.refused.length ? ` · ${number(this.refused.length)} not taken` : "";
    this.note.textContent = `${number(this.done)} of ${number(this.total)}${failed}`;
  }

  /** @param {number} kept */
  end(kept) {
    if (!this.refused.length && !this.isStopped) return this.remove(); // the job goes on from here
    const said = `${count(kept, "file")} of ${number(this.total)} sent${this.isStopped ? `, then stopped${this.why ? `: ${this.why}` : "."}` : "."}`;
    const rows = this.refused.slice(0, MOST_LISTED).map(([name, why]) => element("li", {}, element("bdi", {}, shown(name)), element("span", { class: "sub" }, ` ${shown(why)}`)));
    const list = this.refused.length
      ? element("details", { open: this.refused.length <= 3 ? "" : null }, element("summary", {}, `${count(this.refused.length, "file")} not taken`), element("ul", { class: "refused" }, rows))
      : null;
    this.element.classList.add("over");
    this.element.replaceChildren(element("strong", {}, "Sending files"), element("p", { role: this.refused.length ? "alert" : "status" }, said), button("×", () => this.remove(), { class: "tool", "aria-label": "Dismiss: Sending files", title: "Dismiss" }));
    if (list) this.element.append(list);
  }

  remove() {
    this.element.remove();
    byId("jobs").hidden = !byId("jobs").children.length;
  }
}
