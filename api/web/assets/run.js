// The page of one run: updates what the server renders, and the curves, until the run has ended.

import { refreshCurves } from "./curves.js";
import { refresh } from "./live.js";

const page = document.getElementById("run");
const summary = document.getElementById("summary");
const series = [JSON.parse(page.dataset.series)];
const REFRESH_MS = 2500;

function showErrors(promise) {
  promise.catch((error) => {
    document.getElementById("connection").textContent = `Not up to date: ${error.message}`;
  });
}

async function showAll() {
  await refresh();
  await refreshCurves(series);
  announceStatus();
}

function announceStatus() {
  const message = document.getElementById("status-message");
  const text = `Status: ${summary.dataset.status}.`;
  if (message.textContent !== text) message.textContent = text;
}

window.addEventListener("load", () => showErrors(refreshCurves(series).then(announceStatus)));
const timer = setInterval(() => {
  if (summary.dataset.terminal === "true") return clearInterval(timer);
  if (!document.hidden) showErrors(showAll());
}, REFRESH_MS);
