// Where the pictures of a list are: rows of them, group below group, and above each group room for its head. A list
// without groups is one group without a head. Knows no element of the page.

/** @typedef {{group: string|null, images: number}} Section */

export class Layout {
  /** @param {Section[]} sections @param {number} total @param {number} columns @param {number} rowHeight @param {number} headHeight */
  constructor(sections, total, columns, rowHeight, headHeight) {
    this.columns = columns;
    this.rowHeight = rowHeight;
    this.headHeight = headHeight;
    this.total = total;
    /** The position of each group's first picture, and where its head is, in pixels. @type {number[]} */
    this.starts = [];
    /** @type {number[]} */
    this.tops = [];
    let [start, top] = [0, 0];
    for (const { images } of sections) {
      if (start >= total) break; // the list has become shorter meanwhile
      this.starts.push(start);
      this.tops.push(top);
      const n = Math.min(images, total - start);
      start += n;
      top += headHeight + Math.ceil(n / columns) * rowHeight;
    }
    if (!this.starts.length) [this.starts, this.tops] = [[0], [0]];
    if (start < total) top = (this.tops.at(-1) ?? 0) + headHeight + Math.ceil((total - (this.starts.at(-1) ?? 0)) / columns) * rowHeight; // or longer
    this.height = total ? top : 0;
  }

  /** The group that a position is in. @param {number} at */
  sectionOf(at) {
    return last(this.starts, at);
  }

  /** @param {number} section */
  endOf(section) {
    return (this.starts[section + 1] ?? this.total) - 1;
  }

  /** The row and the column of a position in its group. @param {number} at */
  placeOf(at) {
    const section = this.sectionOf(at);
    const within = at - this.starts[section];
    return { section, row: Math.floor(within / this.columns), column: within % this.columns };
  }

  /** How far down a position's row begins. @param {number} at */
  topOf(at) {
    const { section, row } = this.placeOf(at);
    return this.tops[section] + this.headHeight + row * this.rowHeight;
  }

  /** The first position of the row at a height, or of the next one below. @param {number} y */
  firstAt(y) {
    const section = last(this.tops, y);
    const row = Math.max(Math.floor((y - this.tops[section] - this.headHeight) / this.rowHeight), 0);
    return Math.max(Math.min(this.starts[section] + row * this.columns, this.endOf(section)), 0);
  }

  /** The last position of the row at a height. @param {number} y */
  lastAt(y) {
    const first = this.firstAt(y);
    const { section, row } = this.placeOf(first);
    return Math.min(this.starts[section] + (row + 1) * this.columns - 1, this.endOf(section));
  }

  /** The position above or below one, in the same column as far as there is one; itself at the ends. @param {number} at @param {1|-1} step */
  beside(at, step) {
    const { section, row, column } = this.placeOf(at);
    const end = this.endOf(section);
    const next = at + step * this.columns;
    if (next >= this.starts[section] && next <= end) return next;
    const lastRow = Math.floor((end - this.starts[section]) / this.columns);
    if (step > 0 && row < lastRow) return end;
    const other = section + step;
    if (other < 0 || other >= this.starts.length) return at;
    if (step > 0) return Math.min(this.starts[other] + column, this.endOf(other));
    const { row: rows } = this.placeOf(this.endOf(other));
    return Math.min(this.starts[other] + rows * this.columns + column, this.endOf(other));
  }
}

/** The last index whose value is at most so much; 0 if none is. @param {number[]} values ascending @param {number} most */
function last(values, most) {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (values[middle] <= most) low = middle;
    else high = middle - 1;
  }
  return low;
}
