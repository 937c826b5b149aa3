// Draws the points by WebGL2: all of them in one call, whose cost for the page does not grow with their number.

import { trace } from "../palette.js";

/** @typedef {import("../api.js").Palette} Palette @typedef {import("./points.js").Points} Points @typedef {import("./paint.js").Paint} Paint
 * @typedef {{across: number, down: number, middle: number[], width: number, height: number, ratio: number, radius: number, alpha: number, accent: string}} Seen
 * across, down: pixels of the map's width and height. middle: what is seen in the middle. radius: of a mark, in pixels. */

const SHAPE_PX = 64;
const VERTEX = `#version 300 es
layout(location = 0) in vec2 at;
layout(location = 1) in uint style;
uniform vec2 middle, scale;
uniform float size;
uniform vec4 ring;
uniform sampler2D styles;
flat out vec4 ink;
flat out float strength;
void main() {
  // What has none of the colours steps back, so that the others are seen among it.
  strength = style < 2u && ring.a == 0.0 ? 0.4 : 1.0;
  gl_Position = vec4((at - middle) * scale, 0.0, 1.0);
  gl_PointSize = size;
  ink = ring.a > 0.0 ? ring : texelFetch(styles, ivec2(int(style), 0), 0);
}`;
// The colour's last part says which shape it is, in a row of them, each within a rim.
const FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 ink;
flat in float strength;
uniform sampler2D shapes;
uniform float alpha, count;
out vec4 colour;
void main() {
  float shape = floor(ink.a * 255.0 + 0.5) - 1.0;
  float cover = texture(shapes, vec2((shape + gl_PointCoord.x) / count, gl_PointCoord.y)).a * alpha * strength;
  if (cover < 0.02) discard;
  colour = vec4(ink.rgb * cover, cover);
}`;

export class WebglMarks {
  /** Null where there is no WebGL2. @param {HTMLCanvasElement} canvas @param {Palette} colours */
  static on(canvas, colours) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, powerPreference: "high-performance" });
    return gl && new WebglMarks(gl, canvas, colours);
  }

  /** @param {WebGL2RenderingContext} gl @param {HTMLCanvasElement} canvas @param {Palette} colours */
  constructor(gl, canvas, colours) {
    this.gl = gl;
    this.canvas = canvas;
    this.colours = colours;
    /** @type {Points|null} */
    this.points = null;
    /** @type {Paint|null} */
    this.paint = null;
    /** @type {Uint32Array} */
    this.chosen = new Uint32Array(0);
    /** What can be drawn at once, where a browser or its processor draws all of it too slowly. */
    this.most = Infinity;
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.begin());
    this.begin();
  }

  begin() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program) ?? "");
    gl.useProgram(program);
    const names = ["middle", "scale", "size", "ring", "alpha", "count", "styles", "shapes"];
    this.places = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.atBuffer = gl.createBuffer();
    this.styleBuffer = gl.createBuffer();
    this.chosenBuffer = gl.createBuffer();
    gl.uniform1i(this.places.styles, 0);
    gl.uniform1i(this.places.shapes, 1);
    this.drawShapes();
    this.stylesTexture = gl.createTexture();
    if (this.points && this.paint) this.show(this.points, this.paint);
    this.choose(this.chosen);
  }

  /** The shapes as the drawn map has them, and the ring around a chosen one, in a row. */
  drawShapes() {
    const { gl, colours } = this;
    this.shapes = [...colours.shapes, "ring"];
    const canvas = new OffscreenCanvas(SHAPE_PX * this.shapes.length, SHAPE_PX);
    const context = /** @type {CanvasRenderingContext2D} */ (/** @type {unknown} */ (canvas.getContext("2d")));
    this.shapes.forEach((shape, i) => {
      context.save();
      context.beginPath();
      context.rect(i * SHAPE_PX, 0, SHAPE_PX, SHAPE_PX);
      context.clip();
      trace(colours, context, shape, (i + 0.5) * SHAPE_PX, SHAPE_PX / 2, (shape === "ring" ? 0.4 : 0.46) * SHAPE_PX);
      context.lineWidth = SHAPE_PX / 6;
      if (shape === "ring") context.stroke();
      else context.fill();
      context.restore();
    });
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, canvas);
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.uniform1f(this.places?.count ?? null, this.shapes.length);
  }

  /** @param {Points} points @param {Paint} paint */
  show(points, paint) {
    const { gl } = this;
    if (points !== this.points || !gl.isBuffer(this.atBuffer ?? null)) this.fill(this.atBuffer, points.at);
    [this.points, this.paint] = [points, paint];
    gl.enableVertexAttribArray(0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.atBuffer ?? null);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.fill(this.styleBuffer, paint.ofPoints);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribIPointer(1, 1, gl.UNSIGNED_BYTE, 0, 0);
    const pixels = new Uint8Array(4 * paint.styles.length);
    paint.styles.forEach(([colour, shape], i) => pixels.set([...rgb(colour), 1 + (this.shapes ?? []).indexOf(shape)], 4 * i));
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.stylesTexture ?? null);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, paint.styles.length, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
  }

  /** @param {WebGLBuffer|null|undefined} buffer @param {Float32Array|Uint8Array} numbers */
  fill(buffer, numbers) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer ?? null);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, numbers, this.gl.STATIC_DRAW);
  }

  /** Rings these points. @param {Uint32Array} numbers */
  choose(numbers) {
    this.chosen = numbers;
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.chosenBuffer ?? null);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, numbers, this.gl.STATIC_DRAW);
  }

  /** @param {Seen} seen */
  draw({ across, down, middle, width, height, ratio, radius, alpha, accent }) {
    const { gl, canvas, places, points } = this;
    if (!places || !points || gl.isContextLost()) return;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    gl.viewport(0, 0, wide, high);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(places.middle, middle[0], middle[1]);
    gl.uniform2f(places.scale, (2 * across) / width, (-2 * down) / height);
    gl.uniform4f(places.ring, 0, 0, 0, 0);
    gl.uniform1f(places.size, (2 * radius + 1) * ratio);
    gl.uniform1f(places.alpha, alpha);
    gl.drawArrays(gl.POINTS, 0, Math.min(points.n, this.most));
    if (!this.chosen.length) return;
    const [r, g, b] = rgb(accent);
    gl.uniform4f(places.ring, r / 255, g / 255, b / 255, (this.shapes?.length ?? 0) / 255);
    gl.uniform1f(places.size, (2 * radius + 9) * ratio);
    gl.uniform1f(places.alpha, 1);
    gl.drawElements(gl.POINTS, this.chosen.length, gl.UNSIGNED_INT, 0);
  }

  /** Bytes that the points take on the graphics processor. */
  get bytes() {
    return (this.points?.n ?? 0) * 9 + this.chosen.byteLength;
  }

  leave() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** @param {string} colour `#rrggbb` */
function rgb(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}
