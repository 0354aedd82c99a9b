// The page of one experiment: updates what the server renders, the curves, plots, tables and the comparison.

import { showComparison } from "./comparison.js";
import { refreshCurves } from "./curves.js";
import { exploreOnClick } from "./heatmaps.js";
import { refresh } from "./live.js";
import { fetchJson, root } from "./service.js";
import { showTables } from "./tables.js";

const page = document.getElementById("experiment");
const base = `/experiments/${page.dataset.id}`;
const series = [JSON.parse(page.dataset.series)];
const REFRESH_MS = 2500;
const EVENT_DELAY_MS = 800;
const AFTER_END_MS = [1500, 10000];
const WIDE_PIXELS = 1400;
const MIN_SCALE = 0.4;

function isTerminal() {
  return document.getElementById("summary").dataset.terminal === "true";
}

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

// Hide the plots while there is neither a result nor a curve: they would be blank.
async function showCurves() {
  const isBlank = (await refreshCurves(series)) === 0 && document.getElementById("summary").dataset.hasResult !== "true";
  document.getElementById("plot-grid").hidden = isBlank;
  document.getElementById("no-plots").hidden = !isBlank;
}

// A wide plot takes the full width; it scrolls sideways before its text becomes too small.
function fit(image) {
  image.closest("figure").classList.toggle("wide-plot", image.naturalWidth > WIDE_PIXELS);
  image.style.minWidth = `${MIN_SCALE * image.naturalWidth}px`;
}

// The server needs about a second per plot, so plots are fetched again only when a run has ended.
async function showResults() {
  for (const image of document.querySelectorAll("img.plot")) image.src = `${image.dataset.src}?at=${Date.now()}`;
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

exploreOnClick(base);
showErrors(showTables(base));
showErrors(showComparison(base));
for (const image of document.querySelectorAll("img.plot")) {
  image.addEventListener("load", () => fit(image));
  if (image.complete && image.naturalWidth) fit(image);
}
window.addEventListener("load", () => showErrors(showCurves().then(announceStatus)));
if (!isTerminal()) follow();
