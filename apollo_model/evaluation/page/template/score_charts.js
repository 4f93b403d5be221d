// The three charts: scores over the bitrate, distributions, and one point for each clip.

function curveSeries(metric) {
  return DATA.systems.flatMap((system, index) => {
    if (!isShown(index)) return [];
    const points = DATA.bitrates.map(({ id }) => {
      const scores = system.by_bitrate[id];
      return (scores && scores.values[metric.id]) || null;
    });
    return points.some(Boolean) ? [{ index, points }] : [];
  });
}

function drawCurves(metric, width) {
  const series = curveSeries(metric);
  const heading = h("h3", { class: "panel-title" }, withUnit(metric));
  if (!series.length) return h("div", {}, heading, h("p", { class: "hint" }, "No scores to show."));
  const height = Math.round(Math.max(210, Math.min(290, width * 0.68)));
  const [left, right, top, bottom] = [46, width - 12, 10, height - 42];
  const all = series.flatMap(({ points }) => points.flatMap((p) => (p ? p.filter(isNumber) : [])));
  const [low, high] = padded(all);
  const y = scale(low, high, bottom, top);
  const step = (right - left) / DATA.bitrates.length;
  const x = (i) => left + step * (i + 0.5);
  const short = DATA.bitrates.map(({ label }) => label.replace(" kbit/s", ""));
  const chart = svg("svg", { width, height, role: "img",
    "aria-label": `${withUnit(metric)} over the bitrate; the numbers stand in the table of scores` },
    yAxis(y, low, high, left, right, 5),
    short.map((text, i) => svg("text", { class: "tick", x: x(i), y: bottom + 17, "text-anchor": "middle" }, text)),
    svg("path", { class: "axis", d: `M${left} ${bottom}H${right}` }),
    svg("text", { class: "axis-label", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, "kbit/s"));
  const guide = svg("path", { class: "guide" });
  chart.append(guide);
  series.forEach(({ index, points }, place) => {
    const shift = (place - (series.length - 1) / 2) * Math.min(5, step / (series.length * 3));
    chart.append(curve(index, points, (i) => x(i) + shift, y));
  });
  const move = (event) => {
    const box = chart.getBoundingClientRect();
    const i = Math.max(0, Math.min(short.length - 1, Math.floor((event.clientX - box.left - left) / step)));
    guide.setAttribute("d", `M${x(i)} ${top}V${bottom}`);
    showTip(event, [h("b", {}, DATA.bitrates[i].label), ...series.filter(({ points }) => points[i])
      .map(({ index, points }) => tipRow(index, withInterval(points[i], metric.digits)))]);
  };
  chart.addEventListener("pointermove", move);
  chart.addEventListener("pointerdown", move);
  chart.addEventListener("pointerleave", () => { guide.removeAttribute("d"); hideTip(); });
  return h("div", {}, heading, chart);
}

function withInterval([mean, low, high], digits) {
  const text = format(mean, digits);
  return isNumber(low) && isNumber(high) ? `${text} [${format(low, digits)}, ${format(high, digits)}]` : text;
}

function curve(index, points, x, y) {
  let path = "";
  let dots = "";
  let bars = "";
  points.forEach((point, i) => {
    if (!point) return;
    const [mean, low, high] = point;
    path += `${path && points[i - 1] ? "L" : "M"}${x(i)} ${y(mean)}`;
    dots += markerPath(index, x(i), y(mean), 3.2);
    if (isNumber(low) && isNumber(high)) bars += `M${x(i)} ${y(low)}V${y(high)}`;
  });
  return svg("g", { class: seriesClass(index) }, svg("path", { class: "interval-bar", d: bars }),
    svg("path", { class: "line", d: path }), svg("path", { class: "dot", d: dots }));
}

function showCurves() {
  if (!DATA.bitrates.length) { byId("curves").hidden = true; return; }
  for (const metric of DATA.metrics) {
    const panel = h("div", { class: "panel" });
    byId("curve-charts").append(panel);
    liveChart(panel, (width) => drawCurves(metric, width));
  }
}

function drawSpread(metric, width) {
  const found = DATA.distributions[metric.id];
  const rows = found.systems.map((own, index) => ({ own, index })).filter(({ own, index }) => own && isShown(index));
  if (!rows.length) return h("p", { class: "hint" }, "No scores to show.");
  const narrow = width < 560;
  const [left, right, top, row] = [narrow ? 12 : 190, width - 12, 4, narrow ? 84 : 70];
  const bottom = top + row * rows.length + 6;
  const low = found.start;
  const high = found.start + found.width * rows[0].own.counts.length;
  const x = scale(low, high, left, right);
  const chart = svg("svg", { width, height: bottom + 42, role: "img", "aria-label": `Distribution of ${withUnit(metric)}: ` +
    rows.map(({ own, index }) => `${systemLabel(DATA.systems[index])}: median ${format(own.quantiles[2], metric.digits)}`).join("; ") },
    xAxis(x, low, high, top, bottom, narrow ? 4 : 8),
    svg("path", { class: "axis", d: `M${left} ${bottom}H${right}` }),
    svg("text", { class: "axis-label", x: (left + right) / 2, y: bottom + 37, "text-anchor": "middle" }, withUnit(metric)));
  rows.forEach(({ own, index }, i) => {
    const base = top + row * (i + 1) - 16;
    const most = Math.max(...own.counts);
    const tall = scale(0, most, base, base - row * (narrow ? 0.5 : 0.66));
    const shape = own.counts.map((n, b) => `L${x(low + found.width * (b + 0.5))} ${tall(n)}`).join("");
    const [q05, q25, q50, q75, q95] = own.quantiles.map((q) => x(Math.max(low, Math.min(high, q))));
    const group = svg("g", { class: seriesClass(index) },
      svg("path", { class: "area", d: `M${left} ${base}${shape}L${right} ${base}z` }),
      svg("path", { class: "whisker", d: `M${q05} ${base + 6}H${q95}` }),
      svg("path", { class: "box", d: `M${q25} ${base + 6}H${q75}` }),
      svg("circle", { class: "median", cx: q50, cy: base + 6, r: 3.6 }),
      spreadLabel(index, own, metric, narrow ? left : left - 14, narrow ? base - row * 0.56 : base - 12, narrow));
    const tell = (event) => showTip(event, spreadTip(index, own, metric));
    group.addEventListener("pointermove", tell);
    group.addEventListener("pointerleave", hideTip);
    chart.append(group);
  });
  return chart;
}

function spreadLabel(index, own, metric, x, y, narrow) {
  const name = systemLabel(DATA.systems[index]);
  const room = narrow ? 40 : 24;
  const text = svg("text", { class: "row-label", x, y, "text-anchor": narrow ? "start" : "end" },
    name.length > room ? `${name.slice(0, room - 1)}\u2026` : name);
  text.append(svg("title", {}, name));
  const median = `median ${format(own.quantiles[2], metric.digits)}`;
  if (narrow) text.append(svg("tspan", { class: "tick", dx: 8 }, median));
  return [text, narrow ? null : svg("text", { class: "tick", x, y: y + 17, "text-anchor": "end" }, median)];
}

function spreadTip(index, own, metric) {
  const names = ["5 %", "25 %", "median", "75 %", "95 %"];
  return [tipRow(index, `${own.n} clips`),
    ...own.quantiles.map((q, i) => h("div", { class: "tip-row" }, h("span", {}, names[i]), h("b", {}, format(q, metric.digits))))];
}

function showSpread() {
  const metrics = DATA.metrics.filter((metric) => Object.hasOwn(DATA.distributions, metric.id));
  if (!metrics.length) { byId("spread").hidden = true; return; }
  const select = byId("spread-metric");
  fillSelect(select, metrics.map((metric) => [metric.id, withUnit(metric)]));
  const again = liveChart(byId("spread-chart"), (width) => drawSpread(METRIC.get(select.value), width));
  select.addEventListener("change", again);
}

/** List the clips' points: {index, pair, x, y} of every system that is shown. */
function clipPoints(yId, xId, pairFits) {
  const { pairs, systems } = DATA.points;
  const found = [];
  systems.forEach((own, index) => {
    if (!isShown(index) || !own[yId]) return;
    if (xId === "codec" && DATA.systems[index].kind === "codec") return;
    const across = xId === "codec" ? systems[0][yId] : own[xId];
    pairs.forEach((pair, p) => {
      if (!pairFits(pair) || !across || across[p] === null || own[yId][p] === null) return;
      found.push({ index, pair, x: across[p], y: own[yId][p] });
    });
  });
  return found;
}

function drawClips(width) {
  const [yMetric, xId] = [METRIC.get(byId("clips-y").value), byId("clips-x").value];
  const [kind, id] = JSON.parse(byId("clips-case").value);
  const place = kind === "category" ? 1 : 2;
  const points = clipPoints(yMetric.id, xId, (pair) => kind === "all" || pair[place] === id);
  if (!points.length) return h("p", { class: "hint" }, "No scores to show.");
  const against = xId === "codec";
  const xMetric = against ? yMetric : METRIC.get(xId);
  const height = Math.round(Math.max(280, Math.min(460, width * 0.62)));
  const [left, right, top, bottom] = [52, width - 12, 10, height - 44];
  const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
  const [xLow, xHigh] = padded(xs, 0.04);
  const [yLow, yHigh] = padded(ys, 0.04);
  const x = scale(xLow, xHigh, left, right);
  const y = scale(yLow, yHigh, bottom, top);
  const xTitle = against ? `The codec\u2019s ${withUnit(yMetric)}` : withUnit(xMetric);
  const chart = svg("svg", { width, height, role: "img", "aria-label": `${withUnit(yMetric)} of each clip against ${xTitle}` },
    yAxis(y, yLow, yHigh, left, right, 6), xAxis(x, xLow, xHigh, top, bottom, Math.max(3, Math.round(width / 130))),
    svg("path", { class: "axis", d: `M${left} ${bottom}H${right}` }),
    svg("text", { class: "axis-label", x: (left + right) / 2, y: height - 5, "text-anchor": "middle" }, xTitle));
  if (against) {
    const [from, to] = [Math.max(xLow, yLow), Math.min(xHigh, yHigh)];
    if (to > from) chart.append(svg("path", { class: "diagonal", d: `M${x(from)} ${y(from)}L${x(to)} ${y(to)}` }));
  }
  for (const index of new Set(points.map((p) => p.index))) {
    const dots = points.filter((p) => p.index === index).map((p) => `M${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}h0`).join("");
    chart.append(svg("path", { class: `${seriesClass(index)} cloud${points.length < 300 ? " few" : ""}`, d: dots }));
  }
  const ring = svg("circle", { class: "ring", r: 6, visibility: "hidden" });
  chart.append(ring);
  followClips(chart, ring, points, x, y, [xTitle, xMetric], yMetric);
  return chart;
}

function followClips(chart, ring, points, x, y, [xTitle, xMetric], yMetric) {
  const move = (event) => {
    const box = chart.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = null;
    let least = 24 ** 2;
    for (const point of points) {
      const distance = (x(point.x) - px) ** 2 + (y(point.y) - py) ** 2;
      if (distance < least) [nearest, least] = [point, distance];
    }
    ring.setAttribute("visibility", nearest ? "visible" : "hidden");
    if (!nearest) { hideTip(); return; }
    ring.setAttribute("cx", x(nearest.x));
    ring.setAttribute("cy", y(nearest.y));
    const [label, category, bitrate] = nearest.pair;
    showTip(event, [tipRow(nearest.index, ""), [label, labelOf(DATA.categories, category), labelOf(DATA.bitrates, bitrate)].filter(Boolean).join(" \u00b7 "),
      `${withUnit(yMetric)}: ${format(nearest.y, yMetric.digits)}`, `${xTitle}: ${format(nearest.x, xMetric.digits)}`]);
  };
  chart.addEventListener("pointermove", move);
  chart.addEventListener("pointerdown", move);
  chart.addEventListener("pointerleave", () => { ring.setAttribute("visibility", "hidden"); hideTip(); });
}

function labelOf(cases, id) {
  const found = cases.find((entry) => entry.id === id);
  return found ? found.label : id;
}

function showClips() {
  const { pairs, of, systems } = DATA.points;
  if (!pairs.length) { byId("clips").hidden = true; return; }
  const metrics = DATA.metrics.filter((metric) => systems.some((own) => own[metric.id] && own[metric.id].some(isNumber)));
  fillSelect(byId("clips-y"), metrics.map((metric) => [metric.id, withUnit(metric)]));
  fillSelect(byId("clips-x"), [["codec", "the codec\u2019s own score"],
    ...metrics.map((metric) => [metric.id, withUnit(metric)])]);
  fillSelect(byId("clips-case"), [[JSON.stringify(["all"]), "all"],
    ...DATA.categories.map(({ id, label }) => [JSON.stringify(["category", id]), label]),
    ...DATA.bitrates.map(({ id, label }) => [JSON.stringify(["bitrate", id]), label])]);
  byId("clips-note").textContent = pairs.length < of
    ? `${pairs.length} of ${of} clips, chosen evenly. Above the line a system is better than the codec (for scores where higher is better).`
    : `All ${of} clips. Above the line a system scores higher than the codec on the same clip.`;
  const again = liveChart(byId("clips-chart"), drawClips);
  for (const id of ["clips-y", "clips-x", "clips-case"]) byId(id).addEventListener("change", again);
}
