// Changes of an experiment on its page; errors of the service stand at their fields.

import { bytes } from "./numbers.js";
import { createElement, fetchJson, root } from "./service.js";

const address = `/experiments/${document.getElementById("experiment").dataset.id}`;
const field = (id) => document.getElementById(id);
const form = field("edit-form");
const before = { name: field("edit-name").value, notes: field("edit-notes").value, priority: field("edit-priority").value, labels: JSON.parse(form.dataset.labels) };

function addLabel(key = "", value = "") {
  const input = (name, text) => createElement("input", { type: "text", value: text, maxLength: 100, required: true, "aria-label": name, placeholder: name, className: `label-${name}` });
  const row = createElement("div", { className: "row label-row" }, input("key", key), input("value", value));
  const remove = createElement("button", { type: "button", textContent: "Remove", "aria-label": `Remove the label ${key}` });
  remove.addEventListener("click", () => {
    row.remove();
    field("edit-add-label").focus();
  });
  row.append(remove);
  field("label-rows").append(row);
  return row;
}

const labels = () =>
  Object.fromEntries([...document.querySelectorAll(".label-row")].map((row) => [row.querySelector(".label-key").value, row.querySelector(".label-value").value]));

function changes() {
  const found = {};
  for (const name of ["name", "notes"]) if (field(`edit-${name}`).value !== before[name]) found[name] = field(`edit-${name}`).value || null;
  if (field("edit-priority").value !== before.priority) found.priority = Number(field("edit-priority").value);
  if (JSON.stringify(labels()) !== JSON.stringify(before.labels)) found.labels = labels();
  return found;
}

// `5-9, 12` as numbers; what is no number is sent as it is, and the service tells what is wrong.
function readSeeds(text) {
  return text.split(",").map((part) => part.trim()).filter(Boolean).flatMap((part) => {
    const range = /^(\d+)-(\d+)$/.exec(part);
    if (!range) return [Number.isInteger(Number(part)) ? Number(part) : part];
    const [first, last] = range.slice(1).map(Number);
    return last - first < 1000 ? Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index) : [part];
  });
}

// Values as JSON where they are, else as text: `0.1, 0.2`, `xavier, he`, `{"name": "full"}`.
function readValues(text) {
  try {
    return JSON.parse(`[${text}]`);
  } catch {
    return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => (Number.isNaN(Number(part)) ? part : Number(part)));
  }
}

// Each error at the field that its pointer leads to, else at the form.
function showErrors(target, problem) {
  const places = [...target.querySelectorAll("[data-pointer]")];
  for (const place of places) place.textContent = "";
  for (const input of target.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  if (problem === null) return;
  const errors = problem.errors ?? [{ pointer: "#", detail: problem.detail ?? String(problem) }];
  for (const { pointer, detail } of errors) {
    const at = places.filter((place) => `${pointer}/`.startsWith(`${place.dataset.pointer}/`)).sort((one, other) => other.dataset.pointer.length - one.dataset.pointer.length)[0];
    at.textContent += `${at.textContent ? "; " : ""}${detail}`;
    target.querySelector(`[aria-describedby~="${at.id}"]`)?.setAttribute("aria-invalid", "true");
  }
  target.querySelector("[aria-invalid]")?.focus();
}

async function send(target, path, method, body) {
  const message = target.querySelector("[data-message]");
  showErrors(target, null);
  if (!Object.keys(body).length) {
    message.textContent = "Nothing has changed.";
    return;
  }
  message.textContent = "Saving …";
  try {
    await fetchJson(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    window.location.reload();
  } catch (error) {
    message.textContent = "";
    showErrors(target, error.problem ?? { detail: error.message });
  }
}

for (const [key, value] of Object.entries(before.labels)) addLabel(key, value);
field("edit-add-label").addEventListener("click", () => addLabel().querySelector("input").focus());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send(form, address, "PATCH", changes());
});
field("extend-form")?.addEventListener("submit", (event) => {
  event.preventDefault();
  const seeds = readSeeds(field("extend-seeds").value);
  const axes = [...event.target.querySelectorAll("[data-axis]")].filter((input) => input.value.trim());
  const sweep = Object.fromEntries(axes.map((input) => [input.dataset.axis, readValues(input.value)]));
  send(event.target, `${address}/extend`, "POST", { ...(seeds.length && { seeds }), ...(axes.length && { sweep }) });
});

// The dialog tells the bytes first; an experiment that has not ended is refused with the reason.
field("delete").addEventListener("click", async () => {
  field("delete-error").textContent = "";
  try {
    const told = await fetchJson(`${address}?dry_run=true`, { method: "DELETE" });
    field("delete-told").textContent = `${told.runs} run${told.runs === 1 ? "" : "s"} and ${told.artifacts} stored file${told.artifacts === 1 ? "" : "s"}, which frees ${bytes(told.bytes)}. This cannot be undone.`;
    field("delete-dialog").showModal();
  } catch (error) {
    field("delete-error").textContent = error.message;
  }
});
field("delete-close").addEventListener("click", () => field("delete-dialog").close());
field("delete-confirm").addEventListener("click", async () => {
  try {
    await fetchJson(address, { method: "DELETE" });
    window.location.assign(`${root}/`);
  } catch (error) {
    field("delete-dialog").close();
    field("delete-error").textContent = error.message;
  }
});
