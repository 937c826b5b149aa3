// The outlines of the largest groups, and where their names stand: lines of equal density that have most of a group inside.

/** @typedef {{category: number, lines: Float32Array, x: number, y: number}} Outline lines: from x, y to x, y, again and again */

const MOST = 40;
const INSIDE = 0.85;
// Fewer have no outline: a few points are seen by themselves.
const LEAST = 30;

/** @param {import("./points.js").Points} points @param {import("./paint.js").Paint} paint @returns {Outline[]} */
export function outlines(points, paint) {
  const n = Math.min(paint.values?.categories?.length ?? 0, MOST);
  const side = Math.min(Math.max(Math.round(0.7 * Math.sqrt(points.n)), 24), 128);
  const [wide, found] = [side + 4, /** @type {Outline[]} */ ([])]; // two empty cells around, so that lines close
  const size = wide * wide;
  const counts = new Float32Array(n * size);
  const sizes = new Uint32Array(n);
  const cell = (/** @type {number} */ place) => 2 + Math.min(Math.max(Math.floor((place + 0.5) * side), 0), side - 1);
  for (let i = 0; i < points.n; i += 1) {
    const category = paint.categoryOf(i);
    if (category === null || category >= n) continue;
    counts[category * size + cell(points.at[2 * i + 1]) * wide + cell(points.at[2 * i])] += 1;
    sizes[category] += 1;
  }
  for (let category = 0; category < n; category += 1) {
    if (!sizes[category] || paint.values?.categories?.[category].cluster === paint.noise) continue;
    const own = counts.subarray(category * size, (category + 1) * size);
    const density = blurred(blurred(own, wide), wide);
    let peak = 0;
    for (let i = 0; i < size; i += 1) if (density[i] > density[peak]) peak = i;
    const place = (/** @type {number} */ at) => (at - 1.5) / side - 0.5;
    const lines = sizes[category] < LEAST ? [] : contour(density, wide, levelOf(own, density, sizes[category]));
    found.push({ category, lines: Float32Array.from(lines, place), x: place(peak % wide), y: place(Math.floor(peak / wide)) });
  }
  return found;
}

/** The density above which most of a group lies. @param {Float32Array} own @param {Float32Array} density @param {number} total */
function levelOf(own, density, total) {
  const cells = [...own.keys()].filter((i) => own[i]).sort((a, b) => density[b] - density[a]);
  let inside = 0;
  for (const i of cells) {
    inside += own[i];
    if (inside >= INSIDE * total) return density[i] * 0.999;
  }
  return 0;
}

/** @param {Float32Array} density @param {number} wide */
function blurred(density, wide) {
  const made = new Float32Array(density.length);
  for (let y = 1; y < wide - 1; y += 1) {
    for (let x = 1; x < wide - 1; x += 1) {
      const i = y * wide + x;
      const sides = density[i - 1] + density[i + 1] + density[i - wide] + density[i + wide];
      const corners = density[i - wide - 1] + density[i - wide + 1] + density[i + wide - 1] + density[i + wide + 1];
      made[i] = (4 * density[i] + 2 * sides + corners) / 16;
    }
  }
  return made;
}

/** The lines along which a density has a level, by marching squares. @param {Float32Array} density @param {number} wide @param {number} level */
function contour(density, wide, level) {
  /** @type {number[]} */
  const lines = [];
  for (let y = 0; y < wide - 1; y += 1) {
    for (let x = 0; x < wide - 1; x += 1) {
      const i = y * wide + x;
      const corners = [density[i], density[i + 1], density[i + wide + 1], density[i + wide]];
      const above = corners.map((value) => value >= level);
      if (above.every(Boolean) || !above.some(Boolean)) continue;
      /** Where the line crosses each side of the square: above, right, below, left. @type {number[][]} */
      const crossings = [];
      const ends = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]];
      for (let side = 0; side < 4; side += 1) {
        const next = (side + 1) % 4;
        if (above[side] === above[next]) continue;
        const part = (level - corners[side]) / (corners[next] - corners[side]);
        crossings.push(ends[side].map((at, axis) => at + part * (ends[next][axis] - at)));
      }
      for (let k = 0; k + 1 < crossings.length; k += 2) lines.push(...crossings[k], ...crossings[k + 1]);
    }
  }
  return lines;
}
