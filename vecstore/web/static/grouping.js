// The form that groups the pictures: into how many clusters, by which method, and what that takes, before it is begun.

import { api } from "./api.js";
import { openForm } from "./dialogs.js";
import { count, number, size, within } from "./dom.js";
import { duration, start } from "./jobs.js";
import { current } from "./live.js";

const SETTLE_MS = 250;

export function groupIntoClusters() {
  const dialog = openForm("cluster-dialog", (form) => start(workOf(form)));
  const form = within(dialog, "form", HTMLFormElement);
  const cost = within(dialog, "#cluster-cost", HTMLElement);
  const problem = within(dialog, ".problem", HTMLElement);
  within(dialog, "#cluster-k", HTMLInputElement).max = String(current().images);
  let timer = 0;
  let asked = 0;

  const fit = () => {
    const method = String(new FormData(form).get("method"));
    for (const part of form.querySelectorAll("[data-for]")) {
      if (part instanceof HTMLElement) part.hidden = !(part.dataset.for ?? "").split(" ").includes(method);
    }
    problem.hidden = true;
    clearTimeout(timer);
    timer = window.setTimeout(state, SETTLE_MS);
  };

  /** States what it takes, or why it cannot be. */
  const state = async () => {
    const now = ++asked;
    let text = "";
    let wrong = "";
    try {
      const { kind: _kind, tree, min_size: _min, ...way } = workOf(new FormData(form));
      text = costOf(await api.clusteringCost({ ...way, tree: Array.isArray(tree) ? tree.join(",") : tree }), way.k);
    } catch (error) {
      wrong = error instanceof Error ? error.message : String(error);
    }
    if (now !== asked || !dialog.open) return;
    [cost.textContent, cost.hidden] = [text, !text];
    [problem.textContent, problem.hidden] = [wrong, !wrong];
  };
  form.oninput = fit;
  cost.hidden = true;
  fit();
}

/** What is asked for. Throws for what is no number. @param {FormData} form
 * @returns {{kind: string, method?: string, k?: number|"auto", graph?: boolean, min_size?: number, tree?: number[]|"auto"}} */
function workOf(form) {
  const method = String(form.get("method"));
  const k = wholeNumber(form, "k", current().images);
  if (method === "tree") return { kind: "cluster", tree: levelsOf(String(form.get("tree") ?? "")) };
  const takesK = method === "kmeans" || method === "agglomerative";
  const least = takesK ? undefined : wholeNumber(form, "min_size", current().images);
  return { kind: "cluster", method, ...(takesK ? { k: k ?? "auto", graph: form.has("graph") } : { min_size: least }) };
}

/** @param {FormData} form @param {string} name @param {number} most */
function wholeNumber(form, name, most) {
  const text = String(form.get(name) ?? "").trim();
  if (!text) return undefined;
  if (!(Number.isInteger(Number(text)) && Number(text) >= 1 && Number(text) <= most)) {
    throw new Error(`Choose a number from 1 to ${number(most)}, or leave it to the page.`);
  }
  return Number(text);
}

/** @param {string} text @returns {number[]|"auto"} */
function levelsOf(text) {
  if (!text.trim()) return "auto";
  const levels = text.split(/[\s,]+/).filter(Boolean).map(Number);
  if (levels.some((n, at) => !Number.isInteger(n) || n < 2 || (at && n <= levels[at - 1]))) {
    throw new Error("Give growing numbers of clusters, such as 20, 400, or leave it to the page.");
  }
  return levels;
}

/** @param {import("./api.js").ClusteringCost} cost @param {number|string|undefined} k */
function costOf(cost, k) {
  const few = cost.worked_on < cost.images && cost.method !== "kmeans" && cost.method !== "tree" ? `, by ${number(cost.worked_on)} that stand for them` : "";
  const least = cost.method === "kmeans" && k === "auto" ? "At most about" : "About";
  return `${least} ${duration(cost.seconds)} and ${size(cost.bytes)} of memory for ${count(cost.images, "picture")}${few}.`;
}
