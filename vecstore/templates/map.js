// A wheel zooms, a drag moves, + - 0 and the arrows do the same; what has a title says it at the pointer.
const svg = document.querySelector("svg"), note = document.querySelector("output");
const whole = svg.viewBox.baseVal, full = [whole.x, whole.y, whole.width, whole.height];
let view = [...full];
const show = () => svg.setAttribute("viewBox", view.join(" "));
function zoom(factor, x, y) {
  const width = Math.min(full[2], Math.max(full[2] / 40, view[2] * factor)), by = width / view[2];
  view = [x - (x - view[0]) * by, y - (y - view[1]) * by, width, view[3] * by];
  if (width === full[2]) view = [...full];
  show();
}
function move(dx, dy) { view[0] += dx; view[1] += dy; show(); }
function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  return [at.x, at.y];
}
svg.addEventListener("wheel", event => {
  event.preventDefault(); zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, ...place(event));
}, {passive: false});
let from = null;
svg.addEventListener("pointerdown", event => { from = place(event); svg.setPointerCapture(event.pointerId); });
svg.addEventListener("pointerup", () => { from = null; });
svg.addEventListener("pointermove", event => {
  if (from) { const at = place(event); move(from[0] - at[0], from[1] - at[1]); return; }
  const title = event.target.querySelector && event.target !== svg && event.target.querySelector("title");
  note.textContent = title ? title.textContent : "";
});
svg.addEventListener("dblclick", event => zoom(1 / 2, ...place(event)));
document.addEventListener("keydown", event => {
  const step = view[2] / 10, middle = [view[0] + view[2] / 2, view[1] + view[3] / 2];
  const does = {"+": () => zoom(1 / 1.5, ...middle), "-": () => zoom(1.5, ...middle), "0": () => zoom(99, ...middle),
    ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step),
    ArrowDown: () => move(0, step)}[event.key];
  if (does) { event.preventDefault(); does(); }
});
