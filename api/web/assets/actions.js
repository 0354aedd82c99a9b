// Actions on ticked experiments: a dialog shows what a dry run tells, then carries it out.

import { refresh } from "./live.js";
import { bytes } from "./numbers.js";
import { createElement, fetchJson } from "./service.js";
import { ticks } from "./ticks.js";

const dialog = document.getElementById("action");
const part = (name) => document.getElementById(`action-${name}`);
const labelForm = document.getElementById("label-form");
const NAMES = { cancel: "Cancel", retry: "Retry", delete: "Delete", label: "Label" };
const DONE = { cancel: "cancelled", retry: "retried", delete: "deleted", label: "labelled" };
const plural = (count) => `${count} experiment${count === 1 ? "" : "s"}`;
let current = null; // {action, ids, labels, most}

export function openAction(action, ids, most) {
  current = { action, ids, most, labels: null };
  part("title").textContent = `${NAMES[action]} ${plural(ids.length)}`;
  labelForm.hidden = action !== "label";
  show("", [], null);
  dialog.showModal();
  if (action !== "label") plan();
}

// Requests of at most `most` experiments each; the items of all their reports.
async function send(ids, dryRun) {
  const items = [];
  for (let start = 0; start < ids.length; start += current.most) {
    const body = { ids: ids.slice(start, start + current.most), dry_run: dryRun, ...(current.labels && { labels: current.labels }) };
    const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    items.push(...(await fetchJson(`/experiments/${current.action}`, options)).items);
  }
  return items;
}

async function plan() {
  part("summary").textContent = "Asking the service …";
  try {
    const items = await send(current.ids, true);
    const possible = items.filter((item) => item.outcome === "done");
    const freed = possible.reduce((sum, item) => sum + item.bytes, 0);
    const rest = items.length - possible.length;
    const told = `${plural(possible.length)} will be ${DONE[current.action]}${freed ? `, which frees ${bytes(freed)}` : ""}${rest ? `; ${rest} will stay as ${rest === 1 ? "it is" : "they are"}` : ""}.`;
    show(told, items, possible.length ? possible.map((item) => item.id) : null);
  } catch (error) {
    fail(error);
  }
}

async function carryOut(ids) {
  part("confirm").disabled = true;
  try {
    const items = await send(ids, false);
    const done = items.filter((item) => item.outcome === "done").length;
    if (current.action === "delete") ticks.remove(items.filter((item) => item.outcome === "done").map((item) => item.id));
    show(`${plural(done)} ${done === 1 ? "is" : "are"} ${DONE[current.action]}.`, items.filter((item) => item.outcome !== "done"), null);
    await refresh();
  } catch (error) {
    fail(error);
  }
  part("close").focus();
}

function show(summary, items, confirmed) {
  part("error").textContent = "";
  part("summary").textContent = summary;
  const list = [...items].sort((one, other) => (one.outcome === "done") - (other.outcome === "done"));
  part("list").replaceChildren(...list.map(describe));
  part("list").hidden = !list.length;
  const button = part("confirm");
  button.hidden = confirmed === null;
  button.disabled = false;
  if (confirmed === null) return;
  button.textContent = `${NAMES[current.action]} ${plural(confirmed.length)}`;
  button.onclick = () => carryOut(confirmed);
}

function describe(item) {
  const outcome = item.outcome === "done" ? "" : createElement("strong", { className: "warning", textContent: item.outcome === "refused" ? "stays: " : "unchanged: " });
  return createElement("li", {}, outcome, `${item.title ?? item.id}: ${item.detail}`);
}

function fail(error) {
  show("", [], null);
  part("error").textContent = error.problem?.errors?.map((one) => one.detail).join("; ") || error.message;
}

labelForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = document.getElementById("label-value").value.trim();
  current.labels = { [document.getElementById("label-key").value.trim()]: value || null };
  plan();
});
part("close").addEventListener("click", () => dialog.close());
