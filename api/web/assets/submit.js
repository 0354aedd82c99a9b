// The form of a new experiment: previews it while the user types and shows each error where it is.

import { createDraft } from "./draft.js";
import { bytes, duration, flops, showValue } from "./numbers.js";
import { nearestPosition, positionsOf } from "./pointers.js";
import { RequestFailed, createElement, fetchJson, root } from "./service.js";
import { SpecFields } from "./spec_fields.js";
import { connectTabs } from "./tabs.js";

const TYPING_PAUSE_MS = 350;
const DESCRIPTION_PAUSE_MS = 2000;
const LONG_SECONDS = 86400;
const MAX_POINTS_SHOWN = 50;
const [form, example, body, verdict, problems, cost, warnings, submit] = ["submit-form", "example", "body", "verdict", "problems", "cost", "warnings", "submit"].map((id) => document.getElementById(id));
const reading = document.getElementById("reading");
const [webhookUrl, webhookSecret, noReuse] = ["webhook-url", "webhook-secret", "no-reuse"].map((id) => document.getElementById(id));
const confirmLong = document.getElementById("confirm-long");
const draft = createDraft(document.getElementById("draft-notice"));
const tabs = connectTabs(["fields", "json"]);
const number = new Intl.NumberFormat("en");
let specFields;
let filledFrom; // the values of example and reading
let timer = null;
let request = null;
let filling = 0; // counts the fillings, as answers may come out of order

function post(path, options = {}) {
  return fetchJson(path, { method: "POST", headers: { "content-type": "application/json", ...options.headers }, body: bodyText(), signal: options.signal });
}

// The body with the values of the other fields of the form.
function bodyText() {
  const fields = {};
  const [url, secret] = [webhookUrl.value.trim(), webhookSecret.value.trim()];
  const format = document.getElementById("webhook-format").value;
  if (url || secret) fields.webhook = { url, ...(secret && { secret }), ...(format && { format }) };
  if (noReuse.checked) fields.reuse = false;
  return Object.keys(fields).length ? JSON.stringify({ ...JSON.parse(body.value), ...fields }) : body.value;
}

// The field of the form that an error belongs to; undefined for the body.
const fieldOf = (pointer) => (webhookUrl.value || webhookSecret.value ? [webhookUrl, webhookSecret].find((one) => one.dataset.pointer === pointer) : undefined);

// Fill the body from the chosen example; a preset by the chosen reading comes from the service.
async function fillBody() {
  const chosen = example.selectedOptions[0];
  const [source, name, scale] = chosen.value.split(":");
  const { value: wanted, dataset } = reading.selectedOptions[0];
  document.getElementById("reading-choice").hidden = source !== "preset";
  document.getElementById("reading-help").textContent = dataset.sentence ?? "";
  filling += 1;
  if (source !== "preset" || !wanted) return showExample(chosen.dataset.body, chosen.dataset.description);
  const call = filling;
  try {
    const preset = await fetchJson(`/presets/${encodeURIComponent(name)}?${new URLSearchParams({ scale, reading: wanted })}`);
    const departures = preset.departures.length ? ` Differs from the paper: ${preset.departures.join("; ")}.` : "";
    if (call === filling) showExample(formatBody(preset.body), preset.description + departures);
  } catch (error) {
    if (call === filling) showFailure(error);
  }
}

function showExample(text, description) {
  document.getElementById("description").textContent = description;
  showBody(text);
  draft.begin(text);
}

function showBody(text) {
  body.value = text;
  showFields();
  scheduleCheck(0);
}

// The fields show the body while it is valid JSON with a spec.
function showFields() {
  let parsed;
  try {
    parsed = JSON.parse(body.value);
  } catch {
    return;
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return;
  specFields?.show(parsed);
  showGuide();
}

function showGuide() {
  if (specFields) document.getElementById("kind-guide").href = `${root}/guide/kinds/${specFields.kind.name}`;
}

function onEdit() {
  draft.save(body.value);
  scheduleCheck();
}

// Indented JSON, with each list of numbers on one line.
function formatBody(value) {
  return JSON.stringify(value, null, 2).replace(/\[([\s\d.,eE+-]+)\]/g, (_, numbers) => `[${numbers.trim().split(/\s+/).join(" ")}]`);
}

function scheduleCheck(wait = TYPING_PAUSE_MS) {
  clearTimeout(timer);
  timer = setTimeout(check, wait);
}

async function check() {
  request?.abort();
  request = new AbortController();
  try {
    JSON.parse(body.value);
  } catch (error) {
    showErrors("The body is not valid JSON.", [{ detail: error.message, position: positionOfSyntaxError(error) }]);
    return;
  }
  try {
    showPreview(await post("/experiments/preview", { signal: request.signal }));
  } catch (error) {
    if (error.name !== "AbortError") showFailure(error);
  }
}

function positionOfSyntaxError(error) {
  const at = Number(/position (\d+)/.exec(error.message)?.[1] ?? body.value.length);
  return [at, at + 1];
}

function showFailure(error) {
  if (error.problem?.code === "net-not-described") {
    showErrors("A worker is describing this net; the preview follows by itself.", []);
    showVerdict(verdict.textContent, "");
    markInvalid(body, false);
    return scheduleCheck(DESCRIPTION_PAUSE_MS);
  }
  if (!(error instanceof RequestFailed)) return showErrors(`The service does not respond (${error.message}).`, []);
  const positions = positionsOf(body.value);
  const errors = (error.problem.errors ?? []).map((one) => ({ ...one, field: fieldOf(one.pointer), position: nearestPosition(positions, one.pointer) }));
  showErrors(error.message, errors);
}

function showErrors(text, errors) {
  showVerdict(text, "error");
  for (const one of [webhookUrl, webhookSecret]) markInvalid(one, errors.some(({ field }) => field === one));
  markInvalid(body, !errors.length || errors.some(({ field }) => field === undefined));
  submit.disabled = true;
  document.getElementById("long").hidden = true;
  cost.replaceChildren();
  warnings.replaceChildren();
  const inputs = specFields?.mark(errors) ?? [];
  errors = errors.map((one, index) => ({ ...one, input: inputs[index] }));
  for (const id of ["points", "departures"]) document.getElementById(id).hidden = true;
  problems.replaceChildren(...errors.map(describeError));
}

function markInvalid(element, isInvalid) {
  if (isInvalid) element.setAttribute("aria-invalid", "true");
  else element.removeAttribute("aria-invalid");
}

function describeError({ pointer, detail, position, field, input }) {
  const line = body.value.slice(0, position[0]).split("\n").length;
  const isInFields = tabs.chosen === "fields" && input !== undefined;
  const where = field?.labels[0].dataset.short ?? (isInFields ? pointer.replace(/^#\/(spec\/)?/, "").replaceAll("/", ".") : `Line ${line}${pointer ? `, ${pointer}` : ""}`);
  const jump = createElement("button", { type: "button", className: "plain", textContent: where });
  jump.addEventListener("click", () => {
    if (field !== undefined) return showField(field);
    if (tabs.chosen === "fields" && input?.isConnected) return showInput(input);
    tabs.choose("json");
    body.focus();
    body.setSelectionRange(...position);
    body.scrollTop = (line - 6) * (body.scrollHeight / body.value.split("\n").length);
  });
  return createElement("li", {}, jump, `: ${detail}`);
}

function showField(field) {
  document.getElementById("webhook").open = true;
  field.focus();
}

function showInput(input) {
  input.closest("details").open = true;
  input.focus();
}

function showVerdict(text, className = "") {
  if (verdict.textContent !== text) verdict.textContent = text;
  verdict.className = className;
}

function showPreview(preview) {
  for (const one of [body, webhookUrl, webhookSecret]) markInvalid(one, false);
  specFields?.mark([]);
  const isLong = preview.seconds > LONG_SECONDS;
  document.getElementById("long").hidden = !isLong;
  document.getElementById("long-text").textContent = `Submit it although it takes about ${duration(preview.seconds)} of device time`;
  submit.disabled = isLong && !confirmLong.checked;
  problems.replaceChildren();
  const reused = preview.points.reduce((sum, point) => sum + (point.trained_by === null ? point.reused_seeds.length : preview.num_seeds), 0);
  const identical = preview.reuses_experiment;
  showVerdict(identical ? "An identical experiment exists; submitting opens it." : "The experiment is valid.");
  cost.replaceChildren(
    ...[
      ["Points × seeds", `${number.format(preview.points.length)} × ${preview.num_seeds}`],
      ["Runs", number.format(preview.num_runs), preview.growth ? "before the first look at the verdicts" : ""],
      ["Parameters", number.format(preview.parameters), preview.points.length > 1 ? "of the largest model" : ""],
      ["Memory", bytes(preview.memory_bytes), "of the largest run"],
      ["Device time", duration(preview.seconds), preview.basis === "measured" ? "measured on earlier runs" : "estimated"],
      ...(preview.probe_seconds ? [["Of it for probes", duration(preview.probe_seconds)]] : []),
      ["Operations", flops(preview.flops)],
      ...mostOf(preview.growth),
      ["Trainings reused", `${number.format(reused)} of ${number.format(preview.points.length * preview.num_seeds)}`],
    ].map(([name, value, note]) => createElement("div", { className: "card" }, createElement("dt", { textContent: name }), createElement("dd", {}, value, note ? createElement("small", { textContent: ` ${note}` }) : ""))),
  );
  warnings.replaceChildren(...preview.warnings.map((text) => createElement("li", { textContent: text })));
  if (identical) warnings.append(createElement("li", {}, createElement("a", { href: `${root}/view/${identical}`, textContent: `Identical experiment: ${identical}` })));
  showDepartures(preview.departures);
  showPoints(preview.points);
}

function showDepartures(departures) {
  const details = document.getElementById("departures");
  details.hidden = departures.length === 0;
  const differences = departures.length === 1 ? "1 difference" : `${departures.length} differences`;
  details.querySelector("summary").textContent = `${differences} from the paper`;
  details.querySelector("ul").replaceChildren(...departures.map((text) => createElement("li", { textContent: text })));
}

// What an experiment that adds seeds until its verdicts are decided may become.
function mostOf(growth) {
  if (growth === null) return [];
  const note = `${number.format(growth.num_seeds)} seeds, ${number.format(growth.num_runs)} runs`;
  return [["Looks at the verdicts", `at most ${number.format(growth.looks_planned)}`], ["Device time at most", duration(growth.seconds), note]];
}

function showPoints(points) {
  document.getElementById("points").hidden = points.length < 2;
  const paths = Object.keys(points[0].values);
  const heads = [...paths, "parameters", "seconds"].map((text) => createElement("th", { scope: "col", textContent: text }));
  const rows = points.slice(0, MAX_POINTS_SHOWN).map((point) =>
    createElement("tr", {}, ...paths.map((path) => createElement("td", { textContent: showValue(point.values[path]) })),
      createElement("td", { className: "number", textContent: number.format(point.parameters) }), createElement("td", { className: "number", textContent: duration(point.seconds) })));
  const table = createElement("table", {}, createElement("thead", {}, createElement("tr", {}, ...heads)), createElement("tbody", {}, ...rows));
  const note = points.length > MAX_POINTS_SHOWN ? [createElement("p", { className: "soft", textContent: `The first ${MAX_POINTS_SHOWN} of ${points.length} points.` })] : [];
  document.getElementById("point-table").replaceChildren(table, ...note);
}

// Browsers offer crypto.randomUUID only over https and on localhost.
function newIdempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  submit.disabled = true;
  try {
    const experiment = await post("/experiments", { headers: { "idempotency-key": newIdempotencyKey() } });
    draft.forget();
    window.location.assign(`${root}/view/${experiment.id}`);
  } catch (error) {
    showFailure(error);
  }
});
body.addEventListener("input", () => {
  showFields();
  onEdit();
});
for (const one of [webhookUrl, webhookSecret, noReuse, document.getElementById("webhook-format")]) one.addEventListener("input", () => scheduleCheck());
confirmLong.addEventListener("change", () => scheduleCheck(0));
document.getElementById("generate-secret").addEventListener("click", () => {
  webhookSecret.value = `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;
  document.getElementById("secret-message").textContent = "Copy the secret to the receiver now; it is not shown again.";
  scheduleCheck(0);
});
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

async function chooseExample() {
  if (await draft.mayReplace("The fields and the JSON hold your changes.", "Replace them", "Keep them")) return startAnew();
  [example.value, reading.value] = filledFrom;
}

function startAnew() {
  draft.forget();
  filledFrom = [example.value, reading.value];
  return fillBody();
}

// The earlier draft, else the example that the address names.
async function showFirstBody() {
  const { chosen: asked } = example.dataset;
  const { earlier } = draft;
  if (asked) example.value = asked;
  filledFrom = [example.value, reading.value];
  if (earlier && !asked) {
    showBody(draft.restore());
    return draft.tell("This is your draft from before.", "Start anew", startAnew);
  }
  await fillBody();
  if (earlier) draft.tell("You have a draft from before. Changes here replace it.", "Open the draft", () => showBody(draft.restore()));
}

async function loadFields() {
  const [kinds, models, datasets] = await Promise.all(["/kinds", "/models", "/datasets"].map((path) => fetchJson(path)));
  document.getElementById("dataset-names").replaceChildren(...datasets.items.map((one) => createElement("option", { value: one.name })));
  specFields = new SpecFields(document.getElementById("fields"), {
    kinds: kinds.items,
    models: models.items,
    onChange: (changed) => {
      body.value = formatBody(changed);
      showGuide();
      onEdit();
    },
  });
  showFields();
  if (problems.childElementCount) scheduleCheck(0); // errors found before are shown at their fields
}

// Without the fields, the JSON still works.
function reportFields(error) {
  document.getElementById("fields").replaceChildren(createElement("p", { className: "error", textContent: `The fields cannot be shown (${error.message}). The JSON works; or reload the page.` }));
}

for (const one of [example, reading]) one.addEventListener("change", chooseExample);
showFirstBody();
loadFields().catch(reportFields);
