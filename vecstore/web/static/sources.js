// Where a grid's pictures come from: parts of a list that the server has, or a list that is here.

import { api } from "./api.js";

/**
 * @typedef {{id: number, path: string, score?: number, words?: string[], note?: string}} Item
 * @typedef {EventTarget & {total: number, peek(at: number): Item|undefined, want(first: number, last: number): void,
 *   refresh(): Promise<void>, between(first: number, last: number): Promise<Item[]>, find(id: number): number, sections?: import("./layout.js").Section[]|null}} Source
 * sections: the groups of the list in its order, where it has some.
 */

const BLOCK = 100;
// Blocks that are kept: of a list of a million, a few thousand entries.
const MOST_BLOCKS = 60;
const MOST_BETWEEN = 10_000;

/** Parts of a list on the server, by position. Events: "changed", "failed" with the error as detail. */
export class RangedSource extends EventTarget {
  /** @param {(start: number, k: number, signal: AbortSignal) => Promise<{total: number, items: Item[]}>} fetchPart
   * @param {(() => Promise<import("./layout.js").Section[]>)|null} [fetchSections] */
  constructor(fetchPart, fetchSections = null) {
    super();
    this.fetchPart = fetchPart;
    this.fetchSections = fetchSections;
    /** @type {import("./layout.js").Section[]|null} */
    this.sections = null;
    this.total = 0;
    this.version = 0;
    /** @type {Map<number, {version: number, items: Item[]}>} */
    this.blocks = new Map();
    /** @type {Map<number, AbortController>} */
    this.loading = new Map();
  }

  /** Loads the part around a position, so that the total is known. @param {number} [at] */
  async start(at = 0) {
    await Promise.all([this.load(Math.floor(at / BLOCK)), this.loadSections()]);
    return this;
  }

  /** @param {number} at */
  peek(at) {
    return this.blocks.get(Math.floor(at / BLOCK))?.items[at % BLOCK];
  }

  /** What is in view, or soon will be; whatever else was asked for is no longer wanted. @param {number} first @param {number} last */
  want(first, last) {
    const [from, to] = [Math.floor(first / BLOCK), Math.floor(Math.min(last, this.total - 1) / BLOCK)];
    for (const [block, controller] of this.loading) {
      if (block < from || block > to) controller.abort();
    }
    for (let block = from; block <= to; block += 1) {
      if (this.blocks.get(block)?.version === this.version || this.loading.has(block)) continue;
      this.load(block).catch((error) => {
        if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      });
    }
  }

  /** @param {number} block */
  async load(block) {
    const [version, controller] = [this.version, new AbortController()];
    this.loading.set(block, controller);
    try {
      const { total, items } = await this.fetchPart(block * BLOCK, BLOCK, controller.signal);
      if (total !== this.total && this.total) {
        this.version += 1; // positions have moved
        this.reloadSections();
      }
      this.total = total;
      this.blocks.delete(block);
      this.blocks.set(block, { version: Math.max(version, this.version), items });
      for (const old of this.blocks.keys()) {
        if (this.blocks.size <= MOST_BLOCKS) break;
        this.blocks.delete(old);
      }
    } finally {
      this.loading.delete(block);
    }
    this.dispatchEvent(new Event("changed"));
  }

  async loadSections() {
    if (!this.fetchSections) return;
    const { version } = this;
    const found = await this.fetchSections();
    if (version === this.version) this.sections = found;
  }

  reloadSections() {
    this.loadSections().then(
      () => this.dispatchEvent(new Event("changed")),
      (error) => this.dispatchEvent(new CustomEvent("failed", { detail: error })),
    );
  }

  /** Asks anew for what is shown; what was there stays until its answer has come. */
  async refresh() {
    this.version += 1;
    if (this.fetchSections) this.reloadSections();
    this.dispatchEvent(new Event("changed"));
  }

  /** @param {number} first @param {number} last @returns {Promise<Item[]>} */
  async between(first, last) {
    /** @type {Item[]} */
    const found = [];
    const end = Math.min(last, this.total - 1, first + MOST_BETWEEN - 1);
    for (let at = first; at <= end; ) {
      if (!this.peek(at)) await this.load(Math.floor(at / BLOCK));
      const block = this.blocks.get(Math.floor(at / BLOCK))?.items.slice(at % BLOCK, (at % BLOCK) + end - at + 1) ?? [];
      if (!block.length) break;
      found.push(...block);
      at += block.length;
    }
    return found;
  }

  /** @param {number} id */
  find(id) {
    for (const [block, { items }] of this.blocks) {
      const at = items.findIndex((item) => item.id === id);
      if (at >= 0) return block * BLOCK + at;
    }
    return -1;
  }
}

/** A list that is here, and may be asked to grow when its end comes into view. */
export class ListSource extends EventTarget {
  /** @param {Item[]} items @param {((n: number) => Promise<Item[]|null>)|null} [more] the whole list, longer; null: no more */
  constructor(items, more = null) {
    super();
    this.items = items;
    this.more = more;
    this.isGrowing = false;
    /** How many of them are shown. @type {number|null} */
    this.cut = null;
  }

  get total() {
    return this.cut ?? this.items.length;
  }

  /** @param {number} at */
  peek(at) {
    return at < this.total ? this.items[at] : undefined;
  }

  /** @param {number} _first @param {number} last */
  want(_first, last) {
    if (this.cut === null && last >= this.items.length - 60) this.grow();
  }

  async grow() {
    if (!this.more || this.isGrowing) return;
    this.isGrowing = true;
    try {
      const longer = await this.more(this.items.length);
      if (longer && longer.length > this.items.length) this.items = longer;
      else this.more = null;
      this.dispatchEvent(new Event("changed"));
    } catch (error) {
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      this.isGrowing = false;
    }
  }

  /** Shows only the first ones; null: all. @param {number|null} n */
  cutAt(n) {
    this.cut = n;
    this.dispatchEvent(new Event("changed"));
  }

  async refresh() {}

  /** @param {number} first @param {number} last @returns {Promise<Item[]>} */
  async between(first, last) {
    return this.items.slice(first, Math.min(last + 1, this.total));
  }

  /** @param {number} id */
  find(id) {
    return this.items.findIndex((item) => item.id === id);
  }
}

/** A list of stored images as the server has it. groupedBy: what its groups are asked for by, if it has some.
 * @param {import("./api.js").Query} query @param {string|null} groupedBy */
export async function browsed(query, at = 0, groupedBy = null) {
  return new RangedSource(async (start, k, signal) => {
    const part = await api.browse({ ...query, start, k }, signal);
    return { total: part.total, items: part.images.map(({ id, paths }) => ({ id, path: paths[0] })) };
  }, groupedBy ? () => api.sections({ ...query, group: groupedBy }) : null).start(at);
}
