// One experiment's page, live: what the server renders, curves, plots, the comparison with the paper.

import { showComparison } from "./comparison.js";
import { refreshCurves } from "./curves.js";
import { exploreOnClick } from "./heatmaps.js";
import { refresh } from "./live.js";
import { ask } from "./service.js";
import { showTables } from "./tables.js";

const page = document.getElementById("experiment");
const base = `/experiments/${page.dataset.id}`;
const series = [JSON.parse(page.dataset.series)];
const LOOK_EVERY_MS = 2500;
const REST_MS = 800;
const AFTER_THE_END_MS = [1500, 10000];
const BROAD_PIXELS = 1400;
const LEAST_SCALE = 0.4;

function isTerminal() {
  return document.getElementById("summary").dataset.terminal === "true";
}

function sayStatus() {
  const told = document.getElementById("told");
  const text = `The experiment is ${document.getElementById("summary").dataset.status}.`;
  if (told.textContent !== text) told.textContent = text;
}

async function showAll() {
  await refresh();
  await showCurves();
  sayStatus();
}

// Where there is neither a result nor a curve, plots would be blank.
async function showCurves() {
  const isBlank = (await refreshCurves(series)) === 0 && document.getElementById("summary").dataset.hasResult !== "true";
  document.getElementById("plot-grid").hidden = isBlank;
  document.getElementById("no-plots").hidden = !isBlank;
}

// A plot of many bars takes the whole width, and is moved sideways before its words become too small.
function fit(image) {
  image.closest("figure").classList.toggle("broad", image.naturalWidth > BROAD_PIXELS);
  image.style.minWidth = `${LEAST_SCALE * image.naturalWidth}px`;
}

// Drawings take the server about a second each, so they are asked for again only when a run has ended.
async function showResults() {
  for (const image of document.querySelectorAll("img.plot")) image.src = `${image.dataset.src}?at=${Date.now()}`;
  await Promise.all([showTables(base), showComparison(base)]);
}

function tell(promise) {
  promise.catch((error) => {
    document.getElementById("connection").textContent = `Not up to date: ${error.message}`;
  });
}

function follow() {
  let waiting = false;
  const soon = (action) => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      tell(action());
    }, REST_MS);
  };
  const looking = setInterval(() => {
    if (!document.hidden) tell(showAll());
  }, LOOK_EVERY_MS);
  const stream = new EventSource(`${base}/events?after=${page.dataset.lastEvent}`);
  for (const name of page.dataset.eventNames.split(" "))
    if (name !== "end")
      stream.addEventListener(name, () => soon(name === "run.succeeded" ? () => Promise.all([showAll(), showResults()]) : showAll));
  stream.addEventListener("end", () => {
    stream.close();
    clearInterval(looking);
    // The summary is made moments after the last run, and what became of a webhook is known a little later.
    for (const wait of AFTER_THE_END_MS) setTimeout(() => tell(Promise.all([showAll(), showResults()])), wait);
  });
}

// The clipboard is there only over https and on the machine itself; elsewhere the text is ready to be copied by hand.
async function copy(shown) {
  window.getSelection().selectAllChildren(shown);
  await navigator.clipboard?.writeText(shown.textContent);
  document.getElementById("copied").textContent = navigator.clipboard ? "Copied." : "Selected: Ctrl+C copies it.";
}

page.addEventListener("click", (event) => {
  if (event.target.dataset.copy) return tell(copy(document.getElementById(event.target.dataset.copy)));
  const { do: action, ask: question } = event.target.dataset;
  if (!action || (question && !window.confirm(question))) return;
  tell(
    ask(`${base}/${action}`, { method: "POST" }).then(async () => {
      await showAll();
      if (action === "retry") follow();
    }),
  );
});

exploreOnClick(base);
tell(showTables(base));
tell(showComparison(base));
for (const image of document.querySelectorAll("img.plot")) {
  image.addEventListener("load", () => fit(image));
  if (image.complete && image.naturalWidth) fit(image);
}
window.addEventListener("load", () => tell(showCurves().then(sayStatus)));
if (!isTerminal()) follow();
