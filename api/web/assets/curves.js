// Metrics by epoch as lines with bands over the seeds: one chart per metric, for one experiment or several.

import { createElement, fetchJson } from "./service.js";

const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F"];
const DASHES = ["solid", "dash", "dot", "dashdot"];
const CSS_DASHES = ["solid", "dashed", "dotted", "double"];
const DEFAULT_METRICS = ["test_accuracy", "train_loss"];
const MAX_LINES = 28;
const POINTS_PER_LINE = 200;
const FEW_LINES = 8;
const FEW_EPOCHS = 10;

const grid = document.getElementById("curve-grid");
const controls = document.getElementById("curve-controls");
const dark = window.matchMedia("screen and (prefers-color-scheme: dark)");
const hiddenLines = new Set();
let shown = null;
let latest = [];
let chosenNote = "";

// series: [{path, name, points: [name of each point], chosen, reason}] of experiments or runs; name is empty for a single one.
// chosen: indices of the points that are shown, all where it is missing. Returns the number of lines.
export async function refreshCurves(series) {
  const responses = await Promise.all(
    series.map((one) => fetchJson(`${one.path}/metrics?aggregate=true&points=${POINTS_PER_LINE}`)),
  );
  chosenNote = series.filter((one) => one.chosen).map((one) => `${one.chosen.length} of ${one.points.length} points: ${one.reason}.`).join(" ");
  latest = responses.flatMap((response, index) =>
    Object.values(Object.groupBy(itemsOf(response, series[index]), (item) => `${item.point} ${item.name}`)).map((items) => ({
      metric: items[0].name,
      label: labelOf(series[index], items[0].point),
      color: series.length > 1 ? index : placeOf(series[index], items[0].point),
      dash: series.length > 1 ? placeOf(series[index], items[0].point) : Math.floor(placeOf(series[index], items[0].point) / COLORS.length),
      items,
    })),
  );
  addMetricControls([...new Set(latest.map((line) => line.metric))].sort());
  draw();
  return latest.length;
}

const placeOf = (one, point) => (one.chosen ? one.chosen.indexOf(point) : point);
const itemsOf = (response, one) => (one.chosen ? response.items.filter((item) => one.chosen.includes(item.point)) : response.items);

// Plotly reads its texts as markup.
function asPlotlyText(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function labelOf(one, point) {
  return [one.name, one.points[point]].filter(Boolean).join(" · ") || "mean";
}

function addMetricControls(names) {
  const box = document.getElementById("metric-names");
  const missing = document.getElementById("no-curves");
  if (!names.length) {
    missing.textContent = "No metric has been logged yet.";
    return;
  }
  controls.hidden = false;
  missing?.remove();
  if (shown === null) {
    const defaults = DEFAULT_METRICS.filter((name) => names.includes(name));
    shown = new Set(defaults.length ? defaults : names.slice(0, 2));
  }
  for (const name of names) {
    if (document.getElementById(`metric-${name}`)) continue;
    const checkbox = createElement("input", { type: "checkbox", id: `metric-${name}`, checked: shown.has(name) });
    checkbox.addEventListener("change", () => {
      if (checkbox.checked) shown.add(name);
      else shown.delete(name);
      draw();
    });
    box.append(createElement("label", { className: "inline" }, checkbox, name.replaceAll("_", " ")));
  }
}

function draw() {
  if (typeof Plotly === "undefined" || shown === null) return;
  for (const chart of grid.querySelectorAll(".curve")) if (!shown.has(chart.dataset.metric)) chart.remove();
  const charts = [...shown].map((name) => [name, latest.filter((line) => line.metric === name)]).filter(([, lines]) => lines.length);
  const most = Math.max(0, ...charts.map(([, lines]) => lines.length));
  // Create all elements first: the width of a chart depends on its neighbours.
  for (const [name] of charts) elementOf(name);
  for (const [name, lines] of charts) drawChart(name, lines.slice(0, MAX_LINES));
  updateLegend(charts.flatMap(([, lines]) => lines.slice(0, MAX_LINES)));
  document.getElementById("curve-note").textContent =
    most > MAX_LINES ? `The first ${MAX_LINES} of ${most} lines are shown; the CSV file has all.` : chosenNote;
}

function elementOf(name) {
  const existing = document.getElementById(`curve-${name}`);
  if (existing !== null) return existing;
  const chart = createElement("div", { id: `curve-${name}`, className: "curve", role: "group" });
  chart.dataset.metric = name;
  grid.append(chart);
  return chart;
}

// One legend for all charts; an entry shows or hides its line in all of them.
function updateLegend(lines) {
  const legend = document.getElementById("legend");
  const labels = new Map(lines.map((line) => [line.label, line]));
  legend.hidden = labels.size < 2;
  if (legend.dataset.labels === [...labels.keys()].join("\n")) return;
  legend.dataset.labels = [...labels.keys()].join("\n");
  legend.replaceChildren(
    ...[...labels].map(([label, line]) => {
      const swatch = createElement("span", { className: "swatch", "aria-hidden": "true" });
      swatch.style.borderTop = `3px ${CSS_DASHES[line.dash % DASHES.length]} ${colorOf(line)}`;
      const button = createElement("button", { type: "button", className: "entry", "aria-pressed": String(!hiddenLines.has(label)) }, swatch, label);
      button.addEventListener("click", () => {
        if (!hiddenLines.delete(label)) hiddenLines.add(label);
        button.setAttribute("aria-pressed", String(!hiddenLines.has(label)));
        draw();
      });
      return createElement("li", {}, button);
    }),
  );
}

function colorOf(line) {
  return COLORS[line.color % COLORS.length];
}

function drawChart(name, lines) {
  const chart = elementOf(name);
  const last = lines.map((line) => `${line.label}: ${line.items.at(-1).statistic.mean.toPrecision(4)}`);
  chart.setAttribute("aria-label", `${name.replaceAll("_", " ")} by epoch. Last values: ${last.slice(0, 6).join("; ")}`);
  const band = document.getElementById("band").value;
  const visible = lines.filter((line) => !hiddenLines.has(line.label));
  const tint = visible.length > FEW_LINES ? "14" : "2e";
  const lastStep = Math.max(0, ...visible.map((line) => line.items.at(-1).step));
  Plotly.react(chart, visible.flatMap((line) => tracesOf(line, band, tint)), layoutOf(name, lastStep), { responsive: true, ...CHART_CONFIG });
}

function tracesOf(line, band, tint) {
  const x = line.items.map((item) => item.step);
  const y = line.items.map((item) => item.statistic.mean);
  const color = colorOf(line);
  const text = line.items.map((item) => `${item.statistic.mean.toPrecision(5)} (n = ${item.statistic.n})`);
  const main = {
    x, y, text, name: asPlotlyText(line.label), legendgroup: line.label, hovertemplate: "epoch %{x}: %{text}<extra>%{fullData.name}</extra>",
    mode: x.length > 1 ? "lines" : "markers", line: { color, width: 2, dash: DASHES[line.dash % DASHES.length] }, marker: { color },
  };
  const [low, high] = boundsOf(line.items, band);
  if (!low.some((value, index) => value !== high[index])) return [main];
  const edge = {
    x: [...x, ...x.toReversed()], y: [...high, ...low.toReversed()], fill: "toself", fillcolor: `${color}${tint}`,
    line: { width: 0 }, mode: "lines", hoverinfo: "skip", showlegend: false, legendgroup: line.label,
  };
  return [edge, main];
}

function boundsOf(items, band) {
  const pairs = items.map(({ statistic }) => {
    if (band === "ci95" && statistic.ci95) return statistic.ci95;
    const halfWidth = band === "standard_error" ? (statistic.standard_error ?? 0) : 0;
    return [statistic.mean - halfWidth, statistic.mean + halfWidth];
  });
  return [pairs.map(([low]) => low), pairs.map(([, high]) => high)];
}

// No control of a chart sends data to another machine.
export const CHART_CONFIG = {
  displaylogo: false,
  showSendToCloud: false,
  showEditInChartStudio: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendDataToCloud", "sendChartToCloud", "editInChartStudio"],
};

export function themedLayout() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
  const soft = style.getPropertyValue("--soft").trim();
  const modebar = { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink };
  return { modebar, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif", size: 13 }, axis };
}

function layoutOf(name, lastStep) {
  const { axis, ...rest } = themedLayout();
  const log = document.getElementById("log-steps").checked;
  return {
    ...rest,
    title: { text: asPlotlyText(name.replaceAll("_", " ")), font: { size: 15 }, x: 0.02, xanchor: "left" },
    xaxis: { ...axis, title: { text: "epoch" }, type: log ? "log" : "linear", dtick: !log && lastStep <= FEW_EPOCHS ? 1 : undefined },
    yaxis: { ...axis, type: name.endsWith("loss") ? "log" : "linear", tickformat: name.endsWith("accuracy") ? ".3~%" : undefined, exponentformat: "power", nticks: 6 },
    margin: { l: 56, r: 12, t: 42, b: 44 },
    hovermode: "closest",
    showlegend: false,
    uirevision: name,
  };
}

for (const id of ["band", "log-steps"]) document.getElementById(id)?.addEventListener("change", draw);
dark.addEventListener("change", draw);
