// Maps of numbers to zoom into: every rectangular array among a plot's numbers, drawn when it is asked for.

import { themedLayout } from "./curves.js";
import { ask, make } from "./service.js";

const SCALE = [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b2182b"]];

export function exploreOnClick(base) {
  for (const figure of document.querySelectorAll("figure[data-view=heatmap]")) {
    const button = figure.querySelector(".explore");
    const target = figure.querySelector(".explorer");
    button.addEventListener("click", async () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) return target.replaceChildren();
      target.replaceChildren(make("p", { className: "soft", textContent: "Loading the numbers …" }));
      const maps = [...findMaps(await ask(`${base}/plots/${figure.dataset.plot}.json`), [])];
      target.replaceChildren(...(maps.length ? [] : [make("p", { className: "soft", textContent: "There is no map yet." })]));
      for (const map of maps) draw(target, map);
    });
  }
}

function isMap(value) {
  return Array.isArray(value) && value.length > 1 && value.every((row) => Array.isArray(row) && row.length === value[0].length && row.length > 1 && row.every((cell) => cell === null || typeof cell === "number"));
}

function* findMaps(value, path) {
  if (isMap(value)) yield { title: path.join(" · "), rows: value };
  else if (value !== null && typeof value === "object")
    for (const [key, inner] of Object.entries(value)) {
      const name = inner !== null && typeof inner === "object" ? (inner.title ?? inner.name ?? (Array.isArray(value) ? "" : key)) : key;
      yield* findMaps(inner, [...path, name].filter((part) => typeof part === "string" && part));
    }
}

function draw(target, { title, rows }) {
  const chart = make("div", { className: "heatmap", role: "img", "aria-label": `Map: ${title}` });
  target.append(chart);
  const { axis, ...rest } = themedLayout();
  const trace = { type: "heatmap", z: rows, zmin: 0, zmax: 1, colorscale: SCALE, colorbar: { title: { text: "frequency" } }, hovertemplate: "row %{y}, column %{x}: %{z:.3f}<extra></extra>" };
  const layout = { ...rest, title: { text: title, font: { size: 14 } }, height: 380, margin: { l: 50, r: 10, t: 40, b: 44 },
    xaxis: { ...axis, title: { text: "column" } }, yaxis: { ...axis, title: { text: "row" }, autorange: "reversed" } };
  Plotly.newPlot(chart, [trace], layout, { responsive: true, displaylogo: false, scrollZoom: true });
}
