// The comparison with the paper: verdicts on its claims, its published numbers, and the departures from it.

import { numberOf } from "./numbers.js";
import { createElement, fetchJson, root } from "./service.js";
import { tableLinks } from "./table_links.js";

const MAX_OPEN_ROWS = 12;
const MAX_OPEN_DEPARTURES = 4;
const MAX_ROWS_OF_A_CLAIM = 3;

export async function showComparison(base) {
  const target = document.getElementById("comparison");
  if (document.getElementById("summary").dataset.hasResult !== "true") return show(target, [], ["There is nothing to compare yet."]);
  const found = await fetchJson(`${base}/comparison`);
  const notes = [found.note, found.complete ? null : "Some seeds have not finished; verdicts may change."].filter(Boolean);
  const parts = [];
  if (found.own_verdicts.length) parts.push(ownTable(found.own_verdicts), tableLinks(`${root}${base}/comparison`, "your claims", "?table=own_claims"));
  if (found.verdicts.length) parts.push(verdictTable(found.verdicts), tableLinks(`${root}${base}/comparison`, "the claims", "?table=claims"));
  if (found.published.length) parts.push(publishedTable(found.published), tableLinks(`${root}${base}/comparison`, "the published numbers", "?table=published"));
  const beside = new Set(found.verdicts.flatMap((verdict) => verdict.departures ?? []));
  const others = found.departures.filter((text) => !beside.has(text));
  if (others.length) parts.push(listOf("Departures from the paper", others));
  if (found.choices.length) parts.push(listOf("Choices where the paper is silent", found.choices));
  return show(target, parts, notes);
}

function show(target, parts, notes) {
  target.replaceChildren(...parts, ...notes.map((text) => createElement("p", { className: "soft", textContent: text })));
}

// What was found stands before what follows from it; many verdicts on one claim share a row.
function verdictTable(verdicts) {
  const heads = ["Claim", "Found", "Verdict"].map((text) => createElement("th", { scope: "col", textContent: text }));
  const groups = groupByClaim(verdicts);
  const told = new Set();
  const rows = [...groups.values()].flatMap((group) => (group.length > MAX_ROWS_OF_A_CLAIM ? [mergedRow(group, told)] : group.map((verdict) => rowOf(verdict, told))));
  return createElement("table", { className: "stack" }, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...rows));
}

// The claims of the submission, apart from those of the paper.
function ownTable(verdicts) {
  const heads = ["Your claim", "Found", "Verdict"].map((text) => createElement("th", { scope: "col", textContent: text }));
  const rows = verdicts.map((verdict) => createElement("tr", {},
    createElement("th", { scope: "row" }, createElement("span", { textContent: verdict.name }), createElement("div", { className: "soft", textContent: verdict.statement })),
    createElement("td", {}, createElement("p", { className: "found", textContent: verdict.sentence }), findingsOf(verdict)),
    createElement("td", { "data-label": "Verdict" }, chipOf(verdict.verdict, "measurement"))));
  return createElement("table", { id: "own-claims", className: "stack" }, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...rows));
}

function publishedTable(published) {
  const heads = ["Quantity", "Published", "This experiment", "95 % interval", "Source"].map((text) => createElement("th", { scope: "col", textContent: text }));
  const rows = published.map((one) => {
    const [factor, unit] = unitOf(one.quantity);
    return createElement("tr", {}, createElement("th", { scope: "row", textContent: [one.quantity.replaceAll("_", " "), one.label].filter(Boolean).join(", ") }),
      createElement("td", { className: "number", "data-label": "Published", textContent: one.printed }),
      createElement("td", { className: "number", "data-label": "This experiment", textContent: one.ours ? numberOf(factor * one.ours.mean) + unit : "" }),
      createElement("td", { className: "number", "data-label": "95 % interval", textContent: intervalOf(one.ours?.ci95, factor) || spreadOf(one.ours?.mean, one.ours?.n) }),
      createElement("td", { "data-label": "Source", textContent: one.source }));
  });
  return createElement("details", { id: "published", open: rows.length <= MAX_OPEN_ROWS }, createElement("summary", { textContent: `Published numbers (${rows.length})` }),
    createElement("table", { className: "stack" }, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...rows)));
}

// [factor, unit] that convert our value to the unit of the paper.
function unitOf(quantity) {
  if (/accuracy|error/.test(quantity)) return [100, " %"];
  if (/difference/.test(quantity)) return [100, " points"];
  return [1, /seconds/.test(quantity) ? " s" : ""];
}

function rowOf(verdict, told) {
  return createElement("tr", {}, claimCell(verdict, verdict.label),
    createElement("td", {}, createElement("p", { className: "found", textContent: verdict.sentence }), settingOf(verdict),
      departuresOf(verdict.departures ?? [], told), findingsOf(verdict)),
    createElement("td", { "data-label": "Verdict" }, chipOf(verdict.verdict, verdict.decided_by)));
}

// One row for a claim that is judged at many points: how often each verdict, and every one on demand.
function mergedRow(verdicts, told) {
  const each = verdicts.map((verdict) => createElement("li", {}, chipOf(verdict.verdict), ` ${verdict.label}: ${verdict.sentence}`));
  const settings = [...new Map(verdicts.map((verdict) => [`${verdict.decided_by} ${verdict.scale} ${verdict.reading}`, settingOf(verdict)])).values()];
  const counts = Object.entries(countBy(verdicts.map((verdict) => verdict.verdict)));
  return createElement("tr", {}, claimCell(verdicts[0], ""),
    createElement("td", {}, createElement("p", { className: "found", textContent: `${counts.map(([name, count]) => `${name} at ${count}`).join(", ")} of ${verdicts.length} settings.` }),
      ...settings, departuresOf([...new Set(verdicts.flatMap((verdict) => verdict.departures ?? []))], told),
      createElement("details", {}, createElement("summary", { textContent: `Each of the ${verdicts.length}` }), createElement("ul", { className: "problems" }, ...each))),
    createElement("td", { "data-label": "Verdict" }, ...counts.map(([name]) => createElement("div", {}, chipOf(name, decidersOf(verdicts, name))))));
}

function claimCell(verdict, point) {
  return createElement("th", { scope: "row" }, createElement("span", { textContent: `${verdict.claim}. ${verdict.title}` }),
    createElement("div", { className: "soft", textContent: [verdict.statement, verdict.section, point].filter(Boolean).join(" · ") }));
}

// What theory decides is no failure of the experiment: it has no colour.
const chipOf = (name, decidedBy) => createElement("span", { className: `verdict ${decidedBy === "theory" ? "by-theory" : name.replace(" ", "-")}`, textContent: decidedBy === "theory" ? `${name}, by theory` : name });

// What decides all verdicts of the name; nothing where several things do.
function decidersOf(verdicts, name) {
  const found = new Set(verdicts.filter((one) => one.verdict === name).map((one) => one.decided_by));
  return found.size === 1 ? [...found][0] : undefined;
}

function groupByClaim(verdicts) {
  const groups = new Map();
  for (const verdict of verdicts) groups.set(verdict.claim, [...(groups.get(verdict.claim) ?? []), verdict]);
  return groups;
}

function countBy(names) {
  const counts = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

// How the points of a verdict were made: what decides, the scale, the reading of the paper.
function settingOf(verdict) {
  const parts = [verdict.decided_by === "theory" ? "decided by theory" : "", `${verdict.scale} scale`].filter(Boolean).join(" · ");
  const reading = verdict.reading ? createElement("a", { href: `${root}/guide/readings`, textContent: `reading ${verdict.reading}` }) : "no named reading";
  return createElement("div", { className: "soft" }, `${parts} · `, reading);
}

// Beside the claim, open where they are few and no claim above has the same. told: the sets of those above.
function departuresOf(departures, told) {
  if (!departures.length) return "";
  const key = JSON.stringify(departures);
  const open = departures.length <= MAX_OPEN_DEPARTURES && !told.has(key);
  const same = told.has(key) ? ", as a claim above" : "";
  told.add(key);
  const items = departures.map((text) => createElement("li", { textContent: text }));
  return createElement("details", { open }, createElement("summary", { textContent: `Departs from the paper in ${departures.length} ${departures.length === 1 ? "way" : "ways"}${same}` }), createElement("ul", {}, ...items));
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
