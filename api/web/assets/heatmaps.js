// Interactive heatmaps: a button shows the rectangular arrays in a plot's data, one at a time.

import { CHART_CONFIG, themedLayout } from "./curves.js";
import { loadPlotly } from "./load_plotly.js";
import { createElement, fetchJson } from "./service.js";

const SCALE = [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]];
const dark = window.matchMedia("screen and (prefers-color-scheme: dark)");

export function exploreOnClick(base) {
  for (const figure of document.querySelectorAll("figure[data-view=heatmap]")) {
    const button = figure.querySelector(".explore");
    const target = figure.querySelector(".explorer");
    button.addEventListener("click", async () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) return target.replaceChildren();
      target.replaceChildren(createElement("p", { className: "soft", textContent: "Loading the data …" }));
      try {
        await loadPlotly();
        show(target, [...findMaps(await fetchJson(`${base}/plots/${figure.dataset.plot}.json`), {})]);
      } catch (error) {
        target.replaceChildren(createElement("p", { className: "error", textContent: error.message }));
      }
    });
  }
}

function isMap(value) {
  const width = Array.isArray(value) && Array.isArray(value[0]) ? value[0].length : 0;
  return width > 0 && value.every((row) => Array.isArray(row) && row.length === width && row.every((cell) => cell === null || typeof cell === "number"));
}

// Yields each map with the properties of the objects around it: the point's label, layer, bin size and its key.
function* findMaps(value, outer, key = "") {
  if (isMap(value)) yield { rows: value, ...outer, key };
  else if (value !== null && typeof value === "object") {
    const inherited = Array.isArray(value) ? outer : { ...outer, ...pick(value) };
    for (const [name, inner] of Object.entries(value)) yield* findMaps(inner, inherited, Array.isArray(value) ? key : name);
  }
}

function pick({ label, layer, parameter, bin_shape }) {
  return Object.fromEntries(Object.entries({ label, layer, parameter, bin_shape }).filter(([, value]) => value !== undefined && value !== null));
}

function titleOf({ label, layer, parameter, key }) {
  const place = layer === undefined ? "" : `layer ${layer}`;
  const alpha = key !== "" && Number.isFinite(Number(key)) ? `largest ${key} %` : key;
  return [label, [place, parameter && `(${parameter})`].filter(Boolean).join(" "), alpha].filter(Boolean).join(" · ");
}

function show(target, maps) {
  if (!maps.length) return target.replaceChildren(createElement("p", { className: "soft", textContent: "There are no maps yet." }));
  const chosen = createElement("select", {}, ...maps.map((map, index) => createElement("option", { value: index, textContent: titleOf(map) })));
  const chart = createElement("div", { className: "heatmap", role: "group" });
  target.replaceChildren(createElement("label", {}, "Map ", chosen), chart);
  const drawChosen = () => chart.isConnected && draw(chart, maps[chosen.value]);
  chosen.addEventListener("change", drawChosen);
  dark.addEventListener("change", drawChosen);
  drawChosen();
}

function draw(chart, map) {
  const { axis, ...rest } = themedLayout();
  const [dy, dx] = map.bin_shape ?? [1, 1];
  const flat = map.rows.flat().filter((cell) => cell !== null);
  const mean = flat.reduce((sum, cell) => sum + cell, 0) / flat.length;
  chart.setAttribute("aria-label", `${titleOf(map)}: ${map.rows.length} by ${map.rows[0].length} bins, mean ${mean.toFixed(3)}, maximum ${Math.max(...map.rows.map((row) => Math.max(...row))).toFixed(3)}`);
  const trace = {
    type: "heatmap", z: map.rows, y0: dy / 2, dy, x0: dx / 2, dx, zmin: 0, zmax: 1, colorscale: SCALE,
    colorbar: { title: { text: "share of epochs", side: "right" }, thickness: 14 },
    hovertemplate: "output %{y}, input %{x}: %{z:.3f}<extra></extra>",
  };
  const layout = {
    ...rest, height: 420, margin: { l: 60, r: 10, t: 40, b: 50 }, uirevision: titleOf(map),
    xaxis: { ...axis, title: { text: dx > 1 ? `input (bins of ${dx})` : "input" }, showgrid: false },
    yaxis: { ...axis, title: { text: dy > 1 ? `output (bins of ${dy})` : "output" }, autorange: "reversed", showgrid: false },
  };
  Plotly.react(chart, [trace], layout, { responsive: true, scrollZoom: true, ...CHART_CONFIG });
}
