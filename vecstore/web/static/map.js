// The map: every picture a dot near those it is like. Wheel, pinch, drag, buttons or keys zoom and move it.

import { api } from "./api.js";
import { baseName, count, element } from "./dom.js";
import { clusterName, want } from "./views.js";

// Okabe and Ito's colours, which colour-blind people tell apart, and tints of them for more clusters than that.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b39f00", "#7a5195"];
const THUMBNAIL_PX = 48;
const MOST_THUMBNAILS = 160;
// Few pictures may lie on each other like prints on a table; of many, most are dots, and their thumbnails keep apart.
const FEW = 300;
const [FEW_APART, MANY_APART] = [0.4, 1.5];
const MOST_ZOOM = 400;

export async function showMap({ state, refresh }) {
  if (!state.images) return element("div", { class: "empty" }, element("h1", {}, "No pictures yet"), element("p", {}, "There is nothing to draw a map of."));
  if (!state.map) return noMap(refresh);
  const found = await api.map();
  const clusters = state.clustering === null ? [] : await api.clusters();
  const names = new Map(clusters.map((cluster) => [cluster.cluster, clusterName(cluster)]));
  const order = new Map(clusters.map((cluster, at) => [cluster.cluster, at]));
  const colourOf = (cluster) => (order.has(cluster) ? COLOURS[order.get(cluster) % COLOURS.length] : "#8a8a86");
  const note =
    found.points.length < found.images
      ? `${found.points.length.toLocaleString("en")} of ${count(found.images, "picture")}, drawn at random`
      : count(found.points.length, "picture");
  const stale = found.images !== state.images;
  const plot = new Plot(found.points, colourOf, names);
  return [
    element(
      "div",
      { class: "head" },
      element("div", {}, element("h1", {}, "Map"), element("p", { class: "sub" }, `${note}. Pictures that are alike lie together.`)),
      stale ? element("button", { type: "button", onclick: () => draw() }, "Bring up to date") : null,
    ),
    plot.holder,
    legend(clusters, names, colourOf),
  ];
}

async function draw() {
  await api.start({ kind: "map" });
  want("job-started");
}

function noMap(refresh) {
  const button = element("button", { type: "button", class: "primary" }, "Draw the map");
  const box = element(
    "div",
    { class: "empty" },
    element("h1", {}, "No map yet"),
    element("p", {}, "A map puts pictures that are alike near each other. Drawing it takes up to a minute for some thousands."),
    element("p", {}, button),
  );
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = "Drawing…";
    await draw();
    addEventListener("job-ended", function ended({ detail }) {
      if (detail.kind !== "map") return;
      removeEventListener("job-ended", ended);
      if (box.isConnected && detail.state === "done") refresh();
    });
  });
  return box;
}

function legend(clusters, names, colourOf) {
  if (!clusters.length) return null;
  return element(
    "ul",
    { class: "legend", "aria-label": "Clusters" },
    clusters.map((cluster) => {
      const dot = element("span", { class: "dot" });
      dot.style.backgroundColor = colourOf(cluster.cluster);
      return element("li", {}, element("a", { href: `#/cluster/${cluster.cluster}` }, dot, names.get(cluster.cluster), element("span", { class: "sub" }, cluster.size.toLocaleString("en"))));
    }),
  );
}

class Plot {
  constructor(points, colourOf, names) {
    this.points = points;
    this.colourOf = colourOf;
    this.names = names;
    const xs = points.map((point) => point.x);
    const ys = points.map((point) => point.y);
    const [left, right] = extent(xs);
    const [top, bottom] = extent(ys);
    this.centre = [(left + right) / 2, (top + bottom) / 2];
    this.span = [right - left || 1, bottom - top || 1];
    this.zoom = 1;
    this.pan = [0, 0];
    this.images = new Map();
    this.nearest = null;
    this.pointers = new Map();
    const label = `Map of ${points.length} pictures. Plus and minus zoom, arrow keys move it, 0 shows all of it.`;
    this.canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": label });
    this.tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    const tool = (text, name, action) => element("button", { type: "button", "aria-label": name, title: name, onclick: action }, text);
    const tools = element(
      "div",
      { class: "zoom" },
      tool("+", "Zoom in", () => this.zoomBy(1.6)),
      tool("−", "Zoom out", () => this.zoomBy(1 / 1.6)),
      tool("⤢", "Show all", () => this.reset()),
    );
    this.holder = element("div", { class: "map" }, this.canvas, tools, this.tip);
    this.listen();
    new ResizeObserver(() => this.resize()).observe(this.holder);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.plan());
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * 0.0016), [event.offsetX, event.offsetY]);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        const was = this.pointers.delete(event.pointerId);
        if (name === "pointerup" && was && this.moved < 5) this.open([event.offsetX, event.offsetY]);
      });
    }
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  onMove(event) {
    const at = [event.offsetX, event.offsetY];
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.point(this.nearestTo(at), at);
    const [dx, dy] = [at[0] - before[0], at[1] - before[1]];
    this.moved += Math.abs(dx) + Math.abs(dy);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
      this.zoomBy(apart(at) / apart(before), [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
    } else {
      this.pan = [this.pan[0] + dx, this.pan[1] + dy];
      this.point(null);
      this.plan();
    }
    this.pointers.set(event.pointerId, at);
  }

  onKey(event) {
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (step) this.pan = [this.pan[0] + step[0], this.pan[1] + step[1]];
    else if (event.key === "+" || event.key === "=") this.zoomBy(1.4);
    else if (event.key === "-") this.zoomBy(1 / 1.4);
    else if (event.key === "0") this.reset();
    else if (event.key === "Enter") this.open([this.width / 2, this.height / 2], Infinity);
    else return;
    event.preventDefault();
    this.plan();
  }

  reset() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.plan();
  }

  zoomBy(factor, at = [this.width / 2, this.height / 2]) {
    const zoom = Math.min(Math.max(this.zoom * factor, 0.5), MOST_ZOOM);
    const real = zoom / this.zoom;
    const middle = [this.width / 2, this.height / 2];
    this.pan = this.pan.map((pan, axis) => at[axis] - middle[axis] - (at[axis] - middle[axis] - pan) * real);
    this.zoom = zoom;
    this.plan();
  }

  /** Where a point is on the canvas. The two directions mean nothing by themselves, so each fills its side. */
  place(point) {
    const across = ((this.width - 3 * THUMBNAIL_PX) / this.span[0]) * this.zoom;
    const down = ((this.height - 2 * THUMBNAIL_PX) / this.span[1]) * this.zoom;
    return [
      this.width / 2 + this.pan[0] + (point.x - this.centre[0]) * across,
      this.height / 2 + this.pan[1] - (point.y - this.centre[1]) * down,
    ];
  }

  nearestTo(at, within = 24) {
    let best = null;
    let least = within * within;
    for (const point of this.points) {
      const [x, y] = this.place(point);
      const far = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  open(at, within = 24) {
    const point = this.nearestTo(at, within);
    if (point) location.hash = `#/similar?plus=${point.id}`;
  }

  point(point, at) {
    this.canvas.style.cursor = point ? "pointer" : "";
    if (point !== this.nearest) {
      this.nearest = point;
      if (point) {
        const cluster = this.names.get(point.cluster);
        const image = element("img", { src: api.thumbnail(point.id), alt: "" });
        this.tip.replaceChildren(image, element("strong", {}, baseName(point.path)), cluster ? element("span", { class: "sub" }, cluster) : "");
      }
      this.plan();
    }
    this.tip.hidden = !point;
    if (point && at) {
      const [wide, tall] = [this.tip.offsetWidth, this.tip.offsetHeight];
      this.tip.style.left = `${Math.min(Math.max(at[0] + 16, 4), this.width - wide - 4)}px`;
      this.tip.style.top = `${at[1] + 16 + tall > this.height ? Math.max(at[1] - tall - 12, 4) : at[1] + 16}px`;
    }
  }

  resize() {
    [this.width, this.height] = [this.holder.clientWidth, this.holder.clientHeight];
    const ratio = devicePixelRatio || 1;
    this.canvas.width = this.width * ratio;
    this.canvas.height = this.height * ratio;
    this.canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    this.plan();
  }

  /** Draws once before the next frame, however often it is asked to. */
  plan() {
    if (this.planned) return;
    this.planned = true;
    requestAnimationFrame(() => {
      this.planned = false;
      this.draw();
    });
  }

  draw() {
    if (!this.width || !this.holder.isConnected) return;
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    const inside = [];
    for (const point of this.points) {
      const [x, y] = this.place(point);
      if (x > -THUMBNAIL_PX && y > -THUMBNAIL_PX && x < this.width + THUMBNAIL_PX && y < this.height + THUMBNAIL_PX) inside.push([point, x, y]);
    }
    const radius = Math.min(Math.max(2.2 * Math.sqrt(this.zoom), 2.2), 6);
    context.globalAlpha = inside.length > 5000 ? 0.6 : 0.9;
    for (const [point, x, y] of inside) {
      context.fillStyle = this.colourOf(point.cluster);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    for (const [point, x, y] of thinned(inside)) this.drawThumbnail(context, point, x, y);
    const near = this.nearest && inside.find(([point]) => point === this.nearest);
    if (near) {
      context.strokeStyle = getComputedStyle(this.holder).color;
      context.lineWidth = 2.5;
      context.beginPath();
      context.arc(near[1], near[2], radius + 4, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  drawThumbnail(context, point, x, y) {
    let image = this.images.get(point.id);
    if (!image) {
      image = new Image();
      image.onload = () => this.plan();
      image.src = api.thumbnail(point.id);
      this.images.set(point.id, image);
    }
    if (!image.complete || !image.naturalWidth) return;
    const side = Math.min(image.naturalWidth, image.naturalHeight);
    const [sx, sy] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
    const half = THUMBNAIL_PX / 2;
    context.fillStyle = this.colourOf(point.cluster);
    context.fillRect(x - half - 2, y - half - 2, THUMBNAIL_PX + 4, THUMBNAIL_PX + 4);
    context.drawImage(image, sx, sy, side, side, x - half, y - half, THUMBNAIL_PX, THUMBNAIL_PX);
  }
}

/** Returns the points whose pictures are drawn: the same ones as long as they are seen. */
function thinned(inside) {
  const apart = THUMBNAIL_PX * (inside.length > FEW ? MANY_APART : FEW_APART);
  const taken = new Map();
  const kept = [];
  const cell = (x, y) => `${Math.floor(x / apart)},${Math.floor(y / apart)}`;
  for (const found of inside) {
    const [, x, y] = found;
    const near = [-apart, 0, apart].flatMap((dx) => [-apart, 0, apart].map((dy) => taken.get(cell(x + dx, y + dy))));
    if (near.some((other) => other && Math.abs(other[1] - x) < apart && Math.abs(other[2] - y) < apart)) continue;
    taken.set(cell(x, y), found);
    kept.push(found);
    if (kept.length === MOST_THUMBNAILS) break;
  }
  return kept;
}

function extent(values) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return [least, most];
}
