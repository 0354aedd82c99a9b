// Curves of several experiments over one another.

import { refreshCurves } from "./curves.js";

const LOOK_EVERY_MS = 5000;
const grid = document.getElementById("curve-grid");

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
  }, LOOK_EVERY_MS);
}
