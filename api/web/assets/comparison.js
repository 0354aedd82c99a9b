// The paper's claims beside what came out: a verdict, its reason, its interval, and where the experiment departs from the paper.

import { ask, make } from "./service.js";

export async function showComparison(base) {
  const target = document.getElementById("comparison");
  if (document.getElementById("summary").dataset.hasResult !== "true") return show(target, [], ["There is nothing to compare yet."]);
  const found = await ask(`${base}/comparison`);
  const notes = [found.note, found.complete ? null : "Not all seeds have finished: verdicts may change."].filter(Boolean);
  const parts = [];
  if (found.verdicts.length) parts.push(verdictTable(found.verdicts));
  if (found.published.length) parts.push(publishedTable(found.published));
  if (found.deviations.length) parts.push(listOf(found.deviations));
  return show(target, parts, notes);
}

function show(target, parts, notes) {
  target.replaceChildren(...parts, ...notes.map((text) => make("p", { className: "soft", textContent: text })));
}

function verdictTable(verdicts) {
  const heads = ["Claim", "Verdict", "Value", "95 % interval", "Why"].map((text) => make("th", { scope: "col", textContent: text }));
  return make("table", { className: "stack" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...verdicts.map(rowOf)));
}

function publishedTable(published) {
  const heads = ["Quantity", "Published", "Ours", "95 % interval", "Where it is printed"].map((text) => make("th", { scope: "col", textContent: text }));
  const rows = published.map((one) =>
    make("tr", {}, make("th", { scope: "row", textContent: [one.quantity.replaceAll("_", " "), pointText(one.point)].filter(Boolean).join(", ") }),
      make("td", { className: "number", "data-label": "Published", textContent: one.printed }),
      make("td", { className: "number", "data-label": "Ours", textContent: numberOf(one.ours?.mean) }),
      make("td", { className: "number", "data-label": "95 % interval", textContent: intervalOf(one.ours?.ci95) }),
      make("td", { "data-label": "Where", textContent: one.source })));
  return make("section", {}, make("h3", { textContent: "Published numbers" }),
    make("table", { className: "stack" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

const pointText = (point) => Object.entries(point?.values ?? point ?? {}).map(([path, value]) => `${path.split(".").pop()} ${value?.name ?? value}`).join(", ");

function rowOf(verdict) {
  const claim = make("th", { scope: "row" }, make("span", { textContent: `${verdict.claim}. ${verdict.title}` }),
    make("div", { className: "soft", textContent: [verdict.statement, verdict.section, pointText(verdict.point)].filter(Boolean).join(" · ") }));
  const chip = make("span", { className: `verdict ${verdict.verdict.replace(" ", "-")}`, textContent: verdict.verdict });
  return make("tr", {}, claim, make("td", {}, chip),
    make("td", { className: "number", "data-label": "Value", textContent: numberOf(verdict.value) }),
    make("td", { className: "number", "data-label": "95 % interval", textContent: intervalOf(verdict.interval) }),
    make("td", {}, make("span", { textContent: verdict.reason }), findingsOf(verdict.findings ?? [])));
}

function findingsOf(findings) {
  if (findings.length < 2) return "";
  const items = findings.map((finding) =>
    make("li", {}, make("span", { className: `verdict ${finding.verdict.replace(" ", "-")}`, textContent: finding.verdict }), ` ${finding.statement}: ${finding.reason}`));
  return make("details", {}, make("summary", { textContent: `All ${findings.length} findings` }), make("ul", { className: "problems" }, ...items));
}

function listOf(deviations) {
  return make("details", { open: true }, make("summary", { textContent: "Where it departs from the paper" }),
    make("ul", {}, ...deviations.map((text) => make("li", { textContent: text }))));
}

const numberOf = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(4)).toString());
const intervalOf = (interval) => (interval ? `[${numberOf(interval[0])}, ${numberOf(interval[1])}]` : "");
