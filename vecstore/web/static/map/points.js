// The points of the map: a million of them, each a number by which all arrays go, and a grid to find them by.
//
// Their order is that of a shuffle, so that any number of the first is a fair sample of all.

/** @typedef {{left: number, top: number, right: number, bottom: number}} Part a part of the map, in its own units */

const PER_CELL = 2;
const MOST_SIDE = 1024;

export class Points {
  /** @param {Uint32Array} ids @param {Float32Array} at pairs; they are scaled here, so that the map is from -0.5 to 0.5
   * in both directions, y downwards. The two directions mean nothing by themselves, so each fills its side. */
  constructor(ids, at) {
    this.ids = ids;
    this.at = at;
    this.n = ids.length;
    const [left, right, top, bottom] = extent(at);
    const [across, down] = [right - left || 1, bottom - top || 1];
    for (let i = 0; i < at.length; i += 2) {
      at[i] = (at[i] - (left + right) / 2) / across;
      at[i + 1] = ((top + bottom) / 2 - at[i + 1]) / down;
    }
    this.side = Math.min(Math.max(Math.ceil(Math.sqrt(this.n / PER_CELL)), 1), MOST_SIDE);
    /** Where the points of each cell begin in `inCells`. */
    this.starts = new Uint32Array(this.side * this.side + 1);
    this.inCells = new Uint32Array(this.n);
    this.sort();
    this.highest = ids.reduce((most, id) => Math.max(most, id), 0);
    /** By id, one more than its number; 0 of a picture that is not on the map. */
    this.numbers = new Uint32Array(this.n ? this.highest + 1 : 0);
    ids.forEach((id, number) => (this.numbers[id] = number + 1));
  }

  sort() {
    const { at, n, side, starts } = this;
    const cells = new Uint32Array(n);
    for (let i = 0; i < n; i += 1) {
      cells[i] = this.cellAt(at[2 * i + 1]) * side + this.cellAt(at[2 * i]);
      starts[cells[i] + 1] += 1;
    }
    for (let cell = 0; cell < side * side; cell += 1) starts[cell + 1] += starts[cell];
    const next = starts.slice();
    for (let i = 0; i < n; i += 1) this.inCells[next[cells[i]]++] = i;
  }

  /** @param {number} place */
  cellAt(place) {
    return Math.min(Math.max(Math.floor((place + 0.5) * this.side), 0), this.side - 1);
  }

  /** The number of a picture, or -1. @param {number} id */
  numberOf(id) {
    return (this.numbers[id] ?? 0) - 1;
  }

  /** Calls for each run of numbers in the cells that a part of the map meets. @param {Part} part
   * @param {(from: number, to: number) => unknown} run positions in `inCells` */
  cellsIn({ left, top, right, bottom }, run) {
    const [first, last] = [this.cellAt(left), this.cellAt(right)];
    for (let row = this.cellAt(top); row <= this.cellAt(bottom); row += 1) {
      run(this.starts[row * this.side + first], this.starts[row * this.side + last + 1]);
    }
  }

  /** About how many lie in a part of the map. @param {Part} part */
  countIn(part) {
    let found = 0;
    this.cellsIn(part, (from, to) => (found += to - from));
    return found;
  }

  /** The numbers of those in a part of the map, the first first. @param {Part} part @returns {Uint32Array} */
  in(part) {
    const { at, inCells } = this;
    const found = new Uint32Array(this.countIn(part));
    let n = 0;
    this.cellsIn(part, (from, to) => {
      for (let j = from; j < to; j += 1) {
        const i = inCells[j];
        const [x, y] = [at[2 * i], at[2 * i + 1]];
        if (x >= part.left && x <= part.right && y >= part.top && y <= part.bottom) found[n++] = i;
      }
    });
    return found.subarray(0, n).sort();
  }

  /** The number of the point nearest to a place, or -1. @param {number} x @param {number} y
   * @param {[number, number]} scale pixels of the map's width and height @param {number} within pixels */
  nearest(x, y, [across, down], within) {
    const { at, inCells } = this;
    const least = 4;
    for (let reach = Math.min(least, within); ; reach = Math.min(reach * 2, within)) {
      let [best, far] = [-1, reach * reach];
      const part = { left: x - reach / across, right: x + reach / across, top: y - reach / down, bottom: y + reach / down };
      this.cellsIn(part, (from, to) => {
        for (let j = from; j < to; j += 1) {
          const i = inCells[j];
          const d = ((at[2 * i] - x) * across) ** 2 + ((at[2 * i + 1] - y) * down) ** 2;
          if (d < far) [best, far] = [i, d];
        }
      });
      const isAll = part.left < -0.5 && part.right > 0.5 && part.top < -0.5 && part.bottom > 0.5;
      if (best >= 0 || reach >= within || (isAll && reach > 2 * (across + down))) return best;
    }
  }
}

/** @param {Float32Array} at @returns {[number, number, number, number]} left, right, top, bottom */
function extent(at) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < at.length; i += 2) {
    left = Math.min(left, at[i]);
    right = Math.max(right, at[i]);
    top = Math.min(top, at[i + 1]);
    bottom = Math.max(bottom, at[i + 1]);
  }
  return at.length ? [left, right, top, bottom] : [0, 0, 0, 0];
}
