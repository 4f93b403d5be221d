// Parts that all charts share: scales, ticks, axes, the series' looks and who is shown.

const MAX_SHOWN_FIRST = 8;
const MARKERS = ["circle", "square", "triangle", "diamond"];
const redraws = [];

/** Systems that the legend has switched on, by their index in DATA.systems. */
const shown = new Set();

function isShown(index) {
  return shown.has(index);
}

/** Register a chart and draw it to its container's width, again when the legend changes. */
function liveChart(container, draw) {
  let width = 0;
  const again = () => { if (width) container.replaceChildren(draw(width)); };
  redraws.push(again);
  drawToWidth(container, (now) => { width = now; again(); });
  return again;
}

function seriesClass(index) {
  const system = DATA.systems[index];
  if (system.kind === "codec") return "series codec";
  const same = DATA.systems.filter((other) => other.kind === system.kind);
  const place = same.indexOf(system) % 8;
  return `series ${system.kind === "published" ? `published p${place % 2}` : `s${place}`}`;
}

function markerPath(index, x, y, r) {
  const shape = DATA.systems[index].kind === "codec" ? "square" : MARKERS[index % 4];
  if (shape === "square") return `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
  if (shape === "triangle") return `M${x} ${y - 1.3 * r}l${1.25 * r} ${2.2 * r}h${-2.5 * r}z`;
  if (shape === "diamond") return `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`;
  return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
}

function marker(index) {
  return svg("svg", { class: `swatch ${seriesClass(index)}`, width: 26, height: 14, "aria-hidden": "true" },
    svg("path", { class: "line", d: "M1 7H25" }),
    svg("path", { class: "dot", d: markerPath(index, 13, 7, 3.4) }));
}

function showLegend() {
  DATA.systems.forEach((system, index) => {
    const published = system.kind === "published";
    if (published || index < MAX_SHOWN_FIRST) shown.add(index);
  });
  byId("legend").replaceChildren(...DATA.systems.map((system, index) => {
    const box = h("input", { type: "checkbox", change: () => {
      if (box.checked) shown.add(index); else shown.delete(index);
      redraws.forEach((redraw) => redraw());
    } });
    box.checked = shown.has(index);
    return h("label", { class: "chip" }, box, marker(index), h("span", {}, systemLabel(system)));
  }));
}

function scale(low, high, from, to) {
  const size = high - low || 1;
  return (value) => from + ((value - low) / size) * (to - from);
}

/** Return round tick values within [low, high]. */
function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.99) || raw;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i += 1) found.push(i * step);
  return { values: found, digits: Math.max(0, Math.ceil(-Math.log10(step) - 1e-9) + (step / power === 2.5 ? 1 : 0)) };
}

/** Widen a range a little, so that nothing lies on the frame. */
function padded(values, share = 0.06) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const size = high - low || Math.abs(high) * 0.1 || 1;
  return [low - share * size, high + share * size];
}

function yAxis(y, low, high, left, right, count) {
  const { values, digits } = ticks(low, high, count);
  return values.map((value) => [
    svg("path", { class: "grid", d: `M${left} ${y(value)}H${right}` }),
    svg("text", { class: "tick", x: left - 7, y: y(value) + 4, "text-anchor": "end" }, format(value, digits)),
  ]);
}

function xAxis(x, low, high, top, bottom, count) {
  const { values, digits } = ticks(low, high, count);
  return values.map((value) => [
    svg("path", { class: "grid", d: `M${x(value)} ${top}V${bottom}` }),
    svg("text", { class: "tick", x: x(value), y: bottom + 17, "text-anchor": "middle" }, format(value, digits)),
  ]);
}

function tipRow(index, text) {
  return h("div", { class: "tip-row" }, marker(index), h("span", {}, systemLabel(DATA.systems[index])),
    h("b", {}, text));
}
