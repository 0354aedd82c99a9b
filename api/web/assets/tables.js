// A plot that is a table, as a table: our statistics, and the published numbers beside them where the plot has any.

import { ask, make } from "./service.js";

const FRACTIONS = /accuracy|difference/;
const PUBLISHED = "published_";

export async function showTables(base) {
  for (const target of document.querySelectorAll(".number-table")) {
    const numbers = await ask(`${base}/plots/${target.dataset.plot}.json`);
    const columns = (numbers.columns ?? []).filter((name) => numbers.points.some((row) => row[name] !== null && row[name] !== ""));
    target.hidden = !numbers.points.length || !columns.length;
    if (!target.hidden) target.replaceChildren(tableOf(target.dataset.title, columns, numbers.points));
  }
}

function tableOf(title, columns, rows) {
  const published = columns.filter((name) => name.startsWith(PUBLISHED));
  const heads = make("tr", {}, ...columns.map((name) => make("th", { scope: "col", textContent: headOf(name) })));
  const groups = make("tr", {}, make("td", { colSpan: columns.length - published.length }),
    make("th", { colSpan: published.length, scope: "colgroup", className: "group", textContent: "Published in the paper" }));
  const body = rows.map((row) =>
    make("tr", {}, ...columns.map((name) => make("td", { className: typeof row[name] === "string" ? "" : "number", textContent: show(name, row[name]) }))),
  );
  const table = make("table", {}, make("caption", { textContent: "Mean ± one standard error; accuracies and differences in per cent" }),
    make("thead", {}, ...(published.length ? [groups] : []), heads), make("tbody", {}, ...body));
  return make("section", {}, make("h3", { textContent: title }), make("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": title }, table));
}

function headOf(name) {
  const words = name.replace(PUBLISHED, "").replaceAll("_", " ").replace("seconds", "(s)");
  return FRACTIONS.test(name) ? `${words} (%)` : words;
}

function show(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  const scale = FRACTIONS.test(name) ? 100 : 1;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : (scale * value).toFixed(2);
  const mean = (scale * value.mean).toFixed(2);
  return value.standard_error === null ? mean : `${mean} ± ${(scale * value.standard_error).toFixed(2)}`;
}
