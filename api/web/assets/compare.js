// The curves of several experiments in the same charts.

import "./copy.js";
import { refreshCurves } from "./curves.js";

const REFRESH_MS = 5000;
const grid = document.getElementById("curve-section");

async function show() {
  try {
    await refreshCurves(JSON.parse(grid.dataset.series));
  } catch (error) {
    document.getElementById("connection").textContent = `Not up to date: ${error.message}`;
  }
}

if (grid !== null) {
  window.addEventListener("load", show);
  setInterval(() => {
    if (!document.hidden) show();
  }, REFRESH_MS);
}
