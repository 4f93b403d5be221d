// The page's data and small helpers that build elements. All text becomes text nodes.

const DATA = JSON.parse(document.getElementById("data").textContent);
const METRIC = new Map(DATA.metrics.map((metric) => [metric.id, metric]));
const SVG = "http://www.w3.org/2000/svg";
const DASH = "\u2013";

function byId(id) {
  return document.getElementById(id);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** Create an HTML element; functions among the attributes are event listeners. */
function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Format with a true minus sign; a missing number is a dash. */
function format(value, digits = 2) {
  if (!isNumber(value)) return DASH;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
}

function withUnit(metric) {
  return metric.unit ? `${metric.label} (${metric.unit})` : metric.label;
}

function systemLabel(system) {
  if (system.kind === "codec") return "Codec, unrestored";
  return system.kind === "published" ? `${system.name} (published)` : system.name;
}

/** Fill a select with [value, text] pairs. */
function fillSelect(select, options) {
  select.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
}

/** Join the cells of a table as CSV (RFC 4180). */
function csvText(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Offer text as a file; a data set of results never leaves the machine. */
function saveFile(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Call `draw` now and whenever the element's width changes. */
function drawToWidth(element, draw) {
  let width = 0;
  const check = () => {
    const now = Math.floor(element.clientWidth);
    if (now && now !== width) {
      width = now;
      draw(width);
    }
  };
  new ResizeObserver(check).observe(element);
  check();
}

const tip = byId("tip");

/** Show lines of text beside the pointer. */
function showTip(event, lines) {
  tip.replaceChildren(...lines.map((line) => (line instanceof Node ? line : h("div", {}, line))));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
  const above = event.clientY + 14 + box.height > window.innerHeight;
  const top = above ? event.clientY - box.height - 10 : event.clientY + 14;
  Object.assign(tip.style, { left: `${Math.max(8, left)}px`, top: `${Math.max(8, top)}px` });
}

function hideTip() {
  tip.hidden = true;
}
