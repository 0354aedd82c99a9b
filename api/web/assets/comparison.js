// The comparison with the paper: verdicts on its claims, its published numbers, and the departures from it.

import { numberOf, showValue } from "./numbers.js";
import { createElement, fetchJson } from "./service.js";

const MAX_OPEN_ROWS = 12;

export async function showComparison(base) {
  const target = document.getElementById("comparison");
  if (document.getElementById("summary").dataset.hasResult !== "true") return show(target, [], ["There is nothing to compare yet."]);
  const found = await fetchJson(`${base}/comparison`);
  const notes = [found.note, found.complete ? null : "Some seeds have not finished; verdicts may change."].filter(Boolean);
  const parts = [];
  if (found.verdicts.length) parts.push(verdictTable(found.verdicts, `${numberOf(100 * found.confidence)} % interval`));
  if (found.published.length) parts.push(publishedTable(found.published));
  if (found.departures.length) parts.push(listOf("Departures from the paper", found.departures));
  if (found.choices.length) parts.push(listOf("Choices where the paper is silent", found.choices));
  return show(target, parts, notes);
}

function show(target, parts, notes) {
  target.replaceChildren(...parts, ...notes.map((text) => createElement("p", { className: "soft", textContent: text })));
}

function verdictTable(verdicts, interval) {
  const heads = ["Claim", "Verdict", "Value", interval, "Found"].map((text) => createElement("th", { scope: "col", textContent: text }));
  return createElement("table", { className: "stack" }, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...verdicts.map((verdict) => rowOf(verdict, interval))));
}

function publishedTable(published) {
  const heads = ["Quantity", "Published", "This experiment", "95 % interval", "Source"].map((text) => createElement("th", { scope: "col", textContent: text }));
  const rows = published.map((one) => {
    const [factor, unit] = unitOf(one.quantity);
    return createElement("tr", {}, createElement("th", { scope: "row", textContent: [one.quantity.replaceAll("_", " "), pointText(one.point)].filter(Boolean).join(", ") }),
      createElement("td", { className: "number", "data-label": "Published", textContent: one.printed }),
      createElement("td", { className: "number", "data-label": "This experiment", textContent: one.ours ? numberOf(factor * one.ours.mean) + unit : "" }),
      createElement("td", { className: "number", "data-label": "95 % interval", textContent: intervalOf(one.ours?.ci95, factor) || spreadOf(one.ours?.mean, one.ours?.n) }),
      createElement("td", { "data-label": "Source", textContent: one.source }));
  });
  return createElement("details", { id: "published", open: rows.length <= MAX_OPEN_ROWS }, createElement("summary", { textContent: `Published numbers (${rows.length})` }),
    createElement("table", { className: "stack" }, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...rows)));
}

const pointText = (point) => Object.entries(point?.values ?? point ?? {}).map(([path, value]) => `${path.split(".").pop()} ${showValue(value)}`).join(", ");

// [factor, unit] that convert our value to the unit of the paper.
function unitOf(quantity) {
  if (/accuracy|error/.test(quantity)) return [100, " %"];
  if (/difference/.test(quantity)) return [100, " points"];
  return [1, /seconds/.test(quantity) ? " s" : ""];
}

function rowOf(verdict, interval) {
  const claim = createElement("th", { scope: "row" }, createElement("span", { textContent: `${verdict.claim}. ${verdict.title}` }),
    createElement("div", { className: "soft", textContent: [verdict.statement, verdict.section, pointText(verdict.point)].filter(Boolean).join(" · ") }));
  const chip = createElement("span", { className: `verdict ${verdict.verdict.replace(" ", "-")}`, textContent: verdict.verdict });
  return createElement("tr", {}, claim, createElement("td", {}, chip),
    createElement("td", { className: "number", "data-label": "Value", textContent: numberOf(verdict.value) }),
    createElement("td", { className: "number", "data-label": interval, textContent: intervalOf(verdict.interval) || spreadOf(verdict.value, verdict.n) }),
    createElement("td", {}, createElement("span", { textContent: verdict.sentence }), createElement("div", { className: "soft", textContent: settingOf(verdict) }),
      findingsOf(verdict), departuresOf(verdict.departures ?? [])));
}

// How the points of a verdict were made: what decides, the scale, the reading of the paper.
function settingOf(verdict) {
  const parts = [verdict.decided_by === "theory" ? "decided by theory" : "", `${verdict.scale} scale`, verdict.reading ? `reading ${verdict.reading}` : "no named reading"];
  return parts.filter(Boolean).join(" · ");
}

function departuresOf(departures) {
  if (!departures.length) return "";
  const items = departures.map((text) => createElement("li", { textContent: text }));
  return createElement("details", {}, createElement("summary", { textContent: `Departs from the paper in ${departures.length} ${departures.length === 1 ? "way" : "ways"}` }), createElement("ul", {}, ...items));
}

function findingsOf({ findings = [], reason }) {
  const items = findings.map((finding) =>
    createElement("li", {}, createElement("span", { className: `verdict ${finding.verdict.replace(" ", "-")}`, textContent: finding.verdict }), ` ${finding.statement}: ${finding.reason}`));
  const [title, rest] = findings.length < 2 ? ["Reason", createElement("p", { textContent: reason })] : [`All ${findings.length} findings`, createElement("ul", { className: "problems" }, ...items)];
  return createElement("details", {}, createElement("summary", { textContent: title }), rest);
}

function listOf(title, lines) {
  return createElement("details", { open: true }, createElement("summary", { textContent: title }),
    createElement("ul", {}, ...lines.map((text) => createElement("li", { textContent: text }))));
}

// Several values without an interval are all equal.
const spreadOf = (value, count) => (value != null && count > 1 ? "no spread" : "");

const intervalOf = (interval, factor = 1) => (interval ? `[${numberOf(factor * interval[0])}, ${numberOf(factor * interval[1])}]` : "");
