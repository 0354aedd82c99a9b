// Plots of the view "table" as HTML tables: our statistics, and published numbers if there are any.

import { statisticOf } from "./numbers.js";
import { createElement, fetchJson } from "./service.js";

const FRACTIONS = /accuracy|difference/;
const PUBLISHED = "published_";

export async function showTables(base) {
  for (const target of document.querySelectorAll(".number-table")) {
    const numbers = await fetchJson(`${base}/plots/${target.dataset.plot}.json`);
    const columns = (numbers.columns ?? []).filter((name) => numbers.points.some((row) => row[name] !== null && row[name] !== ""));
    if (numbers.points.length && columns.length) target.replaceChildren(tableOf(target.dataset.title, columns, numbers.points));
  }
}

function tableOf(title, columns, rows) {
  const published = columns.filter((name) => name.startsWith(PUBLISHED));
  const isNumeric = (name) => rows.some((row) => row[name] !== null && typeof row[name] !== "string");
  const heads = createElement("tr", {}, ...columns.map((name) => createElement("th", { scope: "col", className: isNumeric(name) ? "number" : "", textContent: headOf(name) })));
  const groups = createElement("tr", {}, createElement("td", { colSpan: columns.length - published.length }),
    createElement("th", { colSpan: published.length, scope: "colgroup", className: "group", textContent: "Published in the paper" }));
  const body = rows.map((row) => createElement("tr", {}, ...columns.map((name) => cellOf(name, row[name], name === columns[0]))));
  const table = createElement("table", {}, createElement("caption", { textContent: "Mean ± one standard error; accuracies and differences in percent" }),
    createElement("thead", {}, ...(published.length ? [groups] : []), heads), createElement("tbody", {}, ...body));
  return createElement("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": title }, table);
}

function cellOf(name, value, isFirst) {
  if (isFirst) return createElement("th", { scope: "row", textContent: show(name, value) });
  return createElement("td", { className: typeof value === "string" ? "" : "number", textContent: show(name, value) });
}

function headOf(name) {
  const words = name.replace(PUBLISHED, "").replaceAll("_", " ").replace("seconds", "(s)");
  return FRACTIONS.test(name) ? `${words} (%)` : words;
}

function show(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  const scale = FRACTIONS.test(name) ? 100 : 1;
  if (typeof value === "number") return Number.isInteger(value) && scale === 1 ? String(value) : (scale * value).toFixed(2);
  return statisticOf(scale * value.mean, value.standard_error === null ? null : scale * value.standard_error);
}
