// Loads the library of charts once, where the page has not loaded it.

import { createElement, root } from "./service.js";

let loading = null;

export function loadPlotly() {
  if (typeof Plotly !== "undefined") return Promise.resolve();
  loading ??= new Promise((resolve, reject) => {
    const failed = () => reject(new Error("the library of charts cannot be loaded"));
    document.head.append(createElement("script", { src: `${root}/plotly.min.js`, onload: resolve, onerror: failed }));
  });
  return loading;
}
