// One experiment's page, live: status and log from the event stream, curves from the metrics, plots drawn again as runs end.
"use strict";

const page = document.getElementById("experiment");
const id = page.dataset.id;
const base = `/experiments/${id}`;
const LOOK_EVERY_MS = 2000;
const MAX_EVENTS_SHOWN = 200;
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

async function getJson(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error((await response.json()).detail);
  return response.json();
}

function showMessage(text) {
  document.getElementById("message").textContent = text;
}

async function refreshStatus() {
  const found = await getJson(base);
  const status = document.getElementById("status");
  status.textContent = found.status;
  status.className = `status ${found.status}`;
  document.getElementById("progress").value = found.progress.fraction;
  document.getElementById("percent").textContent = `${Math.round(100 * found.progress.fraction)} %`;
  const eta = found.progress.eta_seconds;
  document.getElementById("eta").textContent = eta === null ? "" : `about ${Math.ceil(eta)} s left`;
  document.getElementById("counts").textContent = Object.entries(found.counts)
    .filter(([, count]) => count)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
  if (found.status === "queued") {
    showMessage(
      found.queue.workers_listening
        ? `${found.queue.runs_ahead} runs are ahead in the queue`
        : "No worker listens; it waits until one does.",
    );
  } else showMessage("");
}

// The points' names, as the sweep's product gives them: the last axis runs fastest.
function nameOfPoint(index) {
  const axes = Object.entries(JSON.parse(page.dataset.sweep));
  const parts = [];
  for (const [path, values] of axes.reverse()) {
    const value = values[index % values.length];
    const shown = value !== null && typeof value === "object" ? (value.name ?? JSON.stringify(value)) : value;
    parts.unshift(`${path.split(".").pop()} ${shown}`);
    index = Math.floor(index / values.length);
  }
  return index === 0 ? parts.join(", ") || "mean" : "";
}

async function refreshCurves() {
  if (typeof Plotly === "undefined") return;
  const names = page.dataset.metrics.split(" ");
  const found = await getJson(`${base}/metrics?aggregate=true&points=200&names=${names.join(",")}`);
  if (!found.items.length) return;
  document.getElementById("no-curves")?.remove();
  for (const name of names) drawCurve(name, found.items.filter((item) => item.name === name));
}

function drawCurve(name, items) {
  if (!items.length) return;
  let target = document.getElementById(`curve-${name}`);
  if (!target) {
    target = document.createElement("div");
    target.id = `curve-${name}`;
    target.className = "curve";
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", `${name} by epoch, a line a point`);
    document.getElementById("curves").append(target);
  }
  const byPoint = Map.groupBy ? Map.groupBy(items, (item) => item.point) : groupByPoint(items);
  const traces = [...byPoint].map(([point, series]) => ({
    x: series.map((item) => item.step),
    y: series.map((item) => item.statistic.mean),
    error_y: { array: series.map((item) => item.statistic.standard_error ?? 0), visible: series.length <= 30, thickness: 1 },
    mode: series.length > 1 ? "lines" : "markers",
    name: nameOfPoint(point) || `point ${point}`,
    line: { color: COLORS[point % COLORS.length] },
  }));
  const layout = {
    title: { text: name.replaceAll("_", " "), font: { size: 14 } },
    xaxis: { title: { text: "epoch" } },
    yaxis: { type: name.endsWith("loss") ? "log" : "linear" },
    margin: { l: 50, r: 10, t: 40, b: 40 },
    showlegend: byPoint.size > 1,
  };
  Plotly.react(target, traces, layout, { responsive: true, displaylogo: false });
}

function groupByPoint(items) {
  const found = new Map();
  for (const item of items) found.set(item.point, [...(found.get(item.point) ?? []), item]);
  return found;
}

function refreshPlots() {
  for (const image of document.querySelectorAll("img.plot")) image.src = `${image.dataset.src}?at=${Date.now()}`;
}

function addEvent(event) {
  const line = document.createElement("li");
  line.textContent = `${event.at.slice(11, 19)} ${event.name} ${event.run_id ?? ""}`;
  const list = document.getElementById("events");
  list.prepend(line);
  while (list.children.length > MAX_EVENTS_SHOWN) list.lastChild.remove();
}

function tell(promise) {
  promise.catch((error) => showMessage(`The page could not be brought up to date: ${error.message}`));
}

function follow() {
  const looking = setInterval(() => {
    tell(refreshStatus());
    tell(refreshCurves());
  }, LOOK_EVERY_MS);
  const stream = new EventSource(`${base}/events?after=${page.dataset.lastEvent}`);
  for (const name of page.dataset.eventNames.split(" ")) {
    if (name === "end") continue;
    stream.addEventListener(name, (message) => {
      addEvent(JSON.parse(message.data));
      if (name === "run.succeeded") refreshPlots();
    });
  }
  stream.addEventListener("end", () => {
    stream.close();
    clearInterval(looking);
    // The table is drawn by the server, from a summary that is made moments after the last run.
    setTimeout(() => window.location.reload(), 1500);
  });
}

document.getElementById("cancel")?.addEventListener("click", () => {
  if (!window.confirm("Cancel this experiment? What it has computed so far is kept.")) return;
  tell(fetch(`${base}/cancel`, { method: "POST" }).then(refreshStatus));
});
window.addEventListener("load", () => tell(refreshCurves()));
if (page.dataset.terminal !== "true") follow();
