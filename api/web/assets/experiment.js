// The page of one experiment: updates what the server renders, the curves, plots, tables and the comparison.

import "./copy.js";
import { showComparison } from "./comparison.js";
import { refreshCurves } from "./curves.js";
import { exploreOnClick } from "./heatmaps.js";
import { refresh } from "./live.js";
import { loadPlotly } from "./load_plotly.js";
import { chosenPoints, tellChosen, withChosen } from "./point_ticks.js";
import { fetchJson, root } from "./service.js";
import "./sort_table.js";
import { showTables } from "./tables.js";

const page = document.getElementById("experiment");
const base = `/experiments/${page.dataset.id}`;
let usual = JSON.parse(page.dataset.series);
const REFRESH_MS = 2500;
const EVENT_DELAY_MS = 800;
const AFTER_END_MS = [1500, 10000];
const WIDE_PIXELS = 1400;
const MIN_SCALE = 0.4;

function isTerminal() {
  return document.getElementById("summary").dataset.terminal === "true";
}

// Which points are the best changes while runs end.
document.addEventListener("refreshed", ({ detail: fresh }) => {
  usual = JSON.parse(fresh.getElementById("experiment").dataset.series);
  tellChosen();
});

function announceStatus() {
  const message = document.getElementById("status-message");
  const text = `Status: ${document.getElementById("summary").dataset.status}.`;
  if (message.textContent !== text) message.textContent = text;
}

async function showAll() {
  await refresh();
  await showCurves();
  announceStatus();
}

const withQuery = (address, query) => `${address}${address.includes("?") ? "&" : "?"}${query}`;

// Folded curves are fetched when they are opened first, and so is the library that draws them.
const curvesPart = document.getElementById("curves-part");

// The plots of the sweep and their files, of another quantity.
function showQuantity(name) {
  for (const figure of document.querySelectorAll("#sweep figure")) {
    const path = figure.dataset.path;
    for (const link of figure.querySelectorAll("a")) link.href = withParameter(link.href, "quantity", name);
    const image = figure.querySelector("img");
    if (image) image.src = image.dataset.src = `${path}.png?quantity=${encodeURIComponent(name)}`;
  }
}

// The curves of the ticked points, and the plots that can show a choice of points.
async function showChosen() {
  const chosen = chosenPoints().join(",");
  for (const figure of document.querySelectorAll("figure[data-takes-points]")) {
    for (const link of figure.querySelectorAll("a")) link.href = withParameter(link.href, "points", chosen);
    const image = figure.querySelector("img");
    if (image) image.src = image.dataset.src = withParameter(image.dataset.src, "points", chosen);
  }
  await showCurves();
}

// The address with the parameter; without it where the value is empty.
function withParameter(address, name, value) {
  const changed = new URL(address, window.location.href);
  if (value) changed.searchParams.set(name, value);
  else changed.searchParams.delete(name);
  return changed.href;
}

// The files of all plots at a width, with or without their title.
function chooseFiles() {
  const chosen = { width: document.getElementById("file-width").value, title: document.getElementById("file-title").checked ? "" : "none" };
  for (const link of document.querySelectorAll("#answer figcaption a, #plot-grid figcaption a, #sweep figcaption a")) {
    if (!/\.(svg|pdf|png)$/.test(new URL(link.href).pathname)) continue;
    for (const [name, value] of Object.entries(chosen)) link.href = withParameter(link.href, name, value);
  }
}

// A link to a folded section opens it.
function openTarget() {
  const part = document.getElementById(`${window.location.hash.slice(1)}-part`);
  if (part) part.open = true;
}

// Hide the plots while they would be blank: some need a result, others a curve.
function togglePlots(hasCurves) {
  const hasResult = document.getElementById("summary").dataset.hasResult === "true";
  for (const id of ["answer", "sweep"]) document.getElementById(id)?.toggleAttribute("hidden", !hasResult);
  document.getElementById("plot-grid").hidden = !hasResult && !hasCurves;
  document.getElementById("no-plots").hidden = hasResult || hasCurves;
}

async function showCurves() {
  togglePlots(false);
  if (curvesPart && !curvesPart.open) return;
  if (curvesPart) await loadPlotly();
  togglePlots((await refreshCurves([withChosen(usual)])) > 0);
}

// A wide plot takes the full width; it scrolls sideways before its text becomes too small.
function fit(image) {
  image.closest("figure").classList.toggle("wide-plot", image.naturalWidth > WIDE_PIXELS);
  image.style.minWidth = `${MIN_SCALE * image.naturalWidth}px`;
}

// The server needs about a second per plot, so plots are fetched again only when a run has ended.
async function showResults() {
  for (const image of document.querySelectorAll("img.plot")) image.src = withQuery(image.dataset.src, `at=${Date.now()}`);
  await Promise.all([showTables(base), showComparison(base)]);
}

function showErrors(promise) {
  promise.catch((error) => {
    document.getElementById("connection").textContent = `Not up to date: ${error.message}`;
  });
}

function follow() {
  let scheduled = false;
  const schedule = (action) => {
    if (scheduled) return;
    scheduled = true;
    setTimeout(() => {
      scheduled = false;
      showErrors(action());
    }, EVENT_DELAY_MS);
  };
  const timer = setInterval(() => {
    if (!document.hidden) showErrors(showAll());
  }, REFRESH_MS);
  const stream = new EventSource(`${root}${base}/events?after=${page.dataset.lastEvent}`);
  for (const name of page.dataset.eventNames.split(" "))
    if (name !== "end")
      stream.addEventListener(name, () => schedule(name === "run.succeeded" ? () => Promise.all([showAll(), showResults()]) : showAll));
  stream.addEventListener("end", () => {
    stream.close();
    clearInterval(timer);
    // The summary is stored moments after the last run; the state of a webhook delivery is known later.
    for (const wait of AFTER_END_MS) setTimeout(() => showErrors(Promise.all([showAll(), showResults()])), wait);
  });
}

// Browsers offer the clipboard only over https and on localhost; elsewhere the text is only selected.
async function copy(element) {
  window.getSelection().selectAllChildren(element);
  await navigator.clipboard?.writeText(element.textContent);
  document.getElementById("copied").textContent = navigator.clipboard ? "Copied." : "Selected; press Ctrl+C to copy.";
}

page.addEventListener("click", (event) => {
  if (event.target.dataset.copy) return showErrors(copy(document.getElementById(event.target.dataset.copy)));
  const { action, question } = event.target.dataset;
  if (!action || (question && !window.confirm(question))) return;
  showErrors(
    fetchJson(`${base}/${action}`, { method: "POST" }).then(async () => {
      await showAll();
      if (action === "retry") follow();
    }),
  );
});

document.addEventListener("chosen", () => showErrors(showChosen()));
page.addEventListener("change", (event) => {
  if (event.target.id === "quantity") showQuantity(event.target.value);
  if (["file-width", "file-title"].includes(event.target.id)) chooseFiles();
});
curvesPart?.addEventListener("toggle", () => showErrors(showCurves()));
window.addEventListener("hashchange", openTarget);
openTarget();
exploreOnClick(base);
showErrors(showTables(base));
showErrors(showComparison(base));
for (const image of document.querySelectorAll("img.plot")) {
  image.addEventListener("load", () => fit(image));
  if (image.complete && image.naturalWidth) fit(image);
}
window.addEventListener("load", () => showErrors(showCurves().then(announceStatus)));
if (!isTerminal()) follow();
