// The paper's claims beside what came out: a verdict, its reason, its interval, and where the experiment departs from the paper.

import { numberOf, showValue } from "./numbers.js";
import { ask, make } from "./service.js";

const MANY_ROWS = 12;

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
  const rows = published.map((one) => {
    const [factor, unit] = unitOf(one.quantity);
    return make("tr", {}, make("th", { scope: "row", textContent: [one.quantity.replaceAll("_", " "), pointText(one.point)].filter(Boolean).join(", ") }),
      make("td", { className: "number", "data-label": "Published", textContent: one.printed }),
      make("td", { className: "number", "data-label": "Ours", textContent: one.ours ? numberOf(factor * one.ours.mean) + unit : "" }),
      make("td", { className: "number", "data-label": "95 % interval", textContent: intervalOf(one.ours?.ci95, factor) }),
      make("td", { "data-label": "Where", textContent: one.source }));
  });
  return make("details", { id: "published", open: rows.length <= MANY_ROWS }, make("summary", { textContent: `Published numbers (${rows.length})` }),
    make("table", { className: "stack" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
}

const pointText = (point) => Object.entries(point?.values ?? point ?? {}).map(([path, value]) => `${path.split(".").pop()} ${showValue(value)}`).join(", ");

// [factor, unit]: ours in the unit in which the paper prints it.
function unitOf(quantity) {
  if (/accuracy|error/.test(quantity)) return [100, " %"];
  if (/difference/.test(quantity)) return [100, " points"];
  return [1, /seconds/.test(quantity) ? " s" : ""];
}

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

const intervalOf = (interval, factor = 1) => (interval ? `[${numberOf(factor * interval[0])}, ${numberOf(factor * interval[1])}]` : "");
