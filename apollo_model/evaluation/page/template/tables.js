// Tables that sort: the paper's Table II, and every score with its interval.

/**
 * Build a table whose column heads sort it.
 * A column is {label, group, value(row), cell(row), better, text}; missing values stay last.
 */
function sortableTable(caption, columns, rows) {
  const body = h("tbody");
  const heads = columns.map((column, index) => sortHead(column, () => sortBy(index)));
  let sorted = -1;
  let ascending = false;

  function sortBy(index) {
    const column = columns[index];
    ascending = index === sorted ? !ascending : column.text || column.better === "lower";
    sorted = index;
    const filled = rows.filter((row) => column.value(row) !== null);
    const empty = rows.filter((row) => column.value(row) === null);
    const order = (a, b) => compare(column.value(a), column.value(b)) * (ascending ? 1 : -1);
    fill([...filled.sort(order), ...empty]);
    heads.forEach((head, i) => {
      head.setAttribute("aria-sort", i !== index ? "none" : ascending ? "ascending" : "descending");
    });
  }

  function fill(ordered) {
    body.replaceChildren(
      ...ordered.map((row) =>
        h("tr", { class: `kind-${row.kind}` }, columns.map((column) => column.cell(row))),
      ),
    );
  }

  fill(rows);
  const table = h("table", {}, h("caption", { class: "hidden" }, caption),
    h("thead", {}, groupHeads(columns), h("tr", {}, heads)), body);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
}

function sortHead(column, sort) {
  const button = h("button", { type: "button", click: sort, title: column.title }, column.label);
  const kind = column.text ? "name" : column.first ? "number first" : "number";
  return h("th", { scope: "col", "aria-sort": "none", class: kind }, button);
}

function groupHeads(columns) {
  if (!columns.some((column) => column.group)) return null;
  const cells = [];
  for (const column of columns) {
    const last = cells[cells.length - 1];
    if (last && last.group === column.group) last.span += 1;
    else cells.push({ group: column.group, span: 1 });
  }
  return h("tr", { class: "groups" }, cells.map((cell) =>
    cell.group
      ? h("th", { scope: "colgroup", colspan: cell.span }, cell.group)
      : h("td", { colspan: cell.span })));
}

function nameColumn() {
  return {
    label: "System",
    text: true,
    value: (row) => systemLabel(row),
    cell: (row) => h("th", { scope: "row", class: "name" }, h("span", { class: "system" },
      row.kind === "codec" ? "Codec, unrestored" : row.name),
      row.kind === "published" ? h("span", { class: "badge" }, "published, other data") : null,
      row.note && row.kind !== "published" ? h("span", { class: "remark" }, row.note) : null),
  };
}

/** Return a column for one metric of a view; `show` draws the interval from [mean, low, high]. */
function scoreColumn(metric, scoresOf, group, first, show, kind = "values") {
  const valuesOf = (row) => ((scoresOf(row) || {})[kind] || {})[metric.id] || null;
  const own = DATA.systems.filter((row) => row.kind !== "published" && valuesOf(row));
  const means = own.map((row) => valuesOf(row)[0]);
  const best = metric.better === "higher" ? Math.max(...means)
    : metric.better === "lower" ? Math.min(...means) : null;
  const arrow = metric.better === "higher" ? "higher is better"
    : metric.better === "lower" ? "lower is better" : "";
  return {
    label: show ? withUnit(metric).replaceAll("-", "\u2011") : shortLabel(metric),
    title: [withUnit(metric), arrow].filter(Boolean).join(", "),
    group,
    first,
    better: metric.better,
    value: (row) => (valuesOf(row) ? valuesOf(row)[0] : null),
    cell: (row) => {
      const values = valuesOf(row);
      const isBest = values && row.kind !== "published" && own.length > 1 &&
        format(values[0], metric.digits) === format(best, metric.digits);
      return h("td", { class: `number${isBest ? " best" : ""}${first ? " first" : ""}` },
        kind === "difference" && values && Number(values[0].toFixed(metric.digits)) > 0 ? "+" : "", format(values && values[0], metric.digits),
        show ? show(values || [], metric) : null);
    },
  };
}

function shortLabel(metric) {
  return (metric.label.length > 12 ? metric.id : metric.label).replaceAll("-", "\u2011");
}

function numberColumn(label, key, digits, scale, title) {
  return {
    label,
    title,
    first: key === "parameters",
    better: "lower",
    value: (row) => (isNumber(row[key]) ? row[key] : null),
    cell: (row) => h("td", { class: key === "parameters" ? "number first" : "number" },
      format(isNumber(row[key]) ? row[key] * scale : null, digits)),
  };
}

/** Table II: the paper's three scores by category and overall, parameters and time. */
function tableTwo() {
  const metrics = ["sdr", "si_snr", "visqol"].filter((id) => METRIC.has(id)).map((id) => METRIC.get(id));
  const chosen = metrics.length ? metrics : DATA.metrics.slice(0, 3);
  const views = DATA.categories.map(({ id, label }) => [label, (row) => row.by_category[id]]);
  views.push(["Overall", (row) => row.overall]);
  const columns = [nameColumn()];
  for (const [group, scoresOf] of views) {
    chosen.forEach((metric, i) => columns.push(scoreColumn(metric, scoresOf, group, i === 0)));
  }
  columns.push(numberColumn("Params (M)", "parameters", 2, 1e-6, "Parameters in millions"));
  columns.push(numberColumn("ms for 1\u00a0s", "ms", 1, 1, "Milliseconds to restore 1 s of audio"));
  return sortableTable("Scores by category, as Table II of the paper", columns, [...DATA.systems]);
}

function countColumn(scoresOf) {
  const count = (row) => { const scores = scoresOf(row); return scores && isNumber(scores.n) ? scores.n : null; };
  return { label: "n", title: "Pairs scored", value: count, cell: (row) => h("td", { class: "number" }, format(count(row), 0)) };
}

function humColumn() {
  const test = (row) => row.hum_test || {};
  const passed = { true: "passed", false: "failed" };
  return {
    label: "Hum test",
    title: "Whether hum stays below the limit on nearly all clips",
    text: true,
    value: (row) => passed[test(row).passed] || null,
    cell: (row) => h("td", { class: `number${test(row).passed === false ? " failed" : ""}` }, passed[test(row).passed] || DASH,
      h("span", { class: "interval" }, isNumber(test(row).n) ? `${test(row).failed} of ${test(row).n} clips` : "\u00a0")),
  };
}

function detailsTable(view, kind) {
  const [group, id] = JSON.parse(view);
  const scoresOf = (row) => (group === "overall" ? row.overall : row[group][id]);
  const interval = ([, low, high], { digits }) => h("span", { class: "interval" },
    isNumber(low) && isNumber(high) ? `${format(low, digits)} to ${format(high, digits)}` : "\u00a0");
  const scores = DATA.metrics.map((metric) => scoreColumn(metric, scoresOf, undefined, false, interval, kind));
  const columns = [nameColumn(), countColumn(scoresOf), ...scores];
  if (group === "overall" && kind === "values" && DATA.systems.some((row) => row.hum_test)) columns.push(humColumn());
  const rows = DATA.systems.filter((row) => scoresOf(row) && (kind === "values" || row.kind === "system"));
  return sortableTable("Every score with its 95 % interval", columns, rows);
}

function showTables() {
  byId("table-2").replaceChildren(tableTwo());
  const select = byId("details-view");
  fillSelect(select, [
    [JSON.stringify(["overall", ""]), "all clips"],
    ...DATA.categories.map(({ id, label }) => [JSON.stringify(["by_category", id]), label]),
    ...DATA.bitrates.map(({ id, label }) => [JSON.stringify(["by_bitrate", id]), label]),
  ]);
  const kind = byId("details-kind");
  kind.parentElement.hidden = !DATA.systems.some((row) => Object.values(row.overall.difference).some(Boolean));
  const show = () => byId("table-details").replaceChildren(detailsTable(select.value, kind.value));
  select.addEventListener("change", show);
  kind.addEventListener("change", show);
  show();
}
