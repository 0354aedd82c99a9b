// The form of a new experiment: checked while one types, its price told, every error at its place.

import { bytes, duration, flops, showValue } from "./numbers.js";
import { nearestPlace, placesOf } from "./pointers.js";
import { Refused, ask, make } from "./service.js";

const REST_MS = 350;
const MAX_POINTS_SHOWN = 50;
const [form, example, body, verdict, problems, price, warnings, submit] = ["submit-form", "example", "body", "verdict", "problems", "price", "warnings", "submit"].map((id) => document.getElementById(id));
const [hookUrl, hookSecret, afresh] = ["webhook-url", "webhook-secret", "afresh"].map((id) => document.getElementById(id));
const number = new Intl.NumberFormat("en");
let timer = null;
let asking = null;

function post(path, options = {}) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json", ...options.headers }, body: bodyText(), signal: options.signal });
}

// What stands beside the body: it goes into the body as it is sent.
function bodyText() {
  const beside = {};
  const [url, secret] = [hookUrl.value.trim(), hookSecret.value.trim()];
  if (url || secret) beside.webhook = { url, ...(secret && { secret }) };
  if (afresh.checked) beside.reuse = false;
  return Object.keys(beside).length ? JSON.stringify({ ...JSON.parse(body.value), ...beside }) : body.value;
}

// The field beside the body that an error is about, if it is about one.
const fieldOf = (pointer) => (hookUrl.value || hookSecret.value ? [hookUrl, hookSecret].find((one) => one.dataset.pointer === pointer) : undefined);

function fillIn() {
  const { body: text, about } = example.selectedOptions[0].dataset;
  body.value = text;
  document.getElementById("about").textContent = about;
  checkSoon(0);
}

function checkSoon(wait = REST_MS) {
  clearTimeout(timer);
  timer = setTimeout(check, wait);
}

async function check() {
  asking?.abort();
  asking = new AbortController();
  try {
    JSON.parse(body.value);
  } catch (error) {
    showErrors("This is not JSON yet.", [{ detail: error.message, place: placeOfSyntaxError(error) }]);
    return;
  }
  try {
    showPreview(await post("/experiments/preview", { signal: asking.signal }));
  } catch (error) {
    if (error.name !== "AbortError") showRefusal(error);
  }
}

function placeOfSyntaxError(error) {
  const at = Number(/position (\d+)/.exec(error.message)?.[1] ?? body.value.length);
  return [at, at + 1];
}

function showRefusal(error) {
  if (!(error instanceof Refused)) return showErrors(`No answer from the service (${error.message}).`, []);
  const places = placesOf(body.value);
  const errors = (error.problem.errors ?? []).map((one) => ({ ...one, field: fieldOf(one.pointer), place: nearestPlace(places, one.pointer) }));
  showErrors(error.message, errors);
}

function showErrors(text, errors) {
  say(text, "error");
  for (const one of [hookUrl, hookSecret]) markInvalid(one, errors.some(({ field }) => field === one));
  markInvalid(body, !errors.length || errors.some(({ field }) => field === undefined));
  submit.disabled = true;
  price.replaceChildren();
  warnings.replaceChildren();
  document.getElementById("points").hidden = true;
  problems.replaceChildren(...errors.map(describeError));
}

function markInvalid(element, isInvalid) {
  if (isInvalid) element.setAttribute("aria-invalid", "true");
  else element.removeAttribute("aria-invalid");
}

function describeError({ pointer, detail, place, field }) {
  const line = body.value.slice(0, place[0]).split("\n").length;
  const where = field?.labels[0].dataset.short ?? `Line ${line}${pointer ? `, ${pointer}` : ""}`;
  const jump = make("button", { type: "button", className: "plain", textContent: where });
  jump.addEventListener("click", () => {
    if (field !== undefined) return showField(field);
    body.focus();
    body.setSelectionRange(...place);
    body.scrollTop = (line - 6) * (body.scrollHeight / body.value.split("\n").length);
  });
  return make("li", {}, jump, `: ${detail}`);
}

function showField(field) {
  document.getElementById("webhook").open = true;
  field.focus();
}

function say(text, className = "") {
  if (verdict.textContent !== text) verdict.textContent = text;
  verdict.className = className;
}

function showPreview(found) {
  for (const one of [body, hookUrl, hookSecret]) markInvalid(one, false);
  submit.disabled = false;
  problems.replaceChildren();
  const reused = found.points.reduce((sum, point) => sum + point.reused_seeds.length, 0);
  const again = found.reuses_experiment;
  say(again ? "An identical experiment is there already; submitting opens it." : "It can be submitted.");
  price.replaceChildren(
    ...[
      ["Points × seeds", `${number.format(found.points.length)} × ${found.num_seeds}`],
      ["Runs", number.format(found.num_runs)],
      ["Parameters", number.format(found.parameters), found.points.length > 1 ? "of the largest net" : ""],
      ["Memory", bytes(found.memory_bytes), "of the largest run"],
      ["Device time", duration(found.seconds), found.basis === "measured" ? "measured before" : "by a model of the machine"],
      ["Computation", flops(found.flops)],
      ["Trainings reused", `${number.format(reused)} of ${number.format(found.points.length * found.num_seeds)}`],
    ].map(([name, value, note]) => make("div", { className: "card" }, make("dt", { textContent: name }), make("dd", {}, value, note ? make("small", { textContent: ` ${note}` }) : ""))),
  );
  warnings.replaceChildren(...found.warnings.map((text) => make("li", { textContent: text })));
  if (again) warnings.append(make("li", {}, make("a", { href: `/view/${again}`, textContent: `Identical: ${again}` })));
  showPoints(found.points);
}

function showPoints(points) {
  document.getElementById("points").hidden = points.length < 2;
  const paths = Object.keys(points[0].values);
  const heads = [...paths, "parameters", "seconds"].map((text) => make("th", { scope: "col", textContent: text }));
  const rows = points.slice(0, MAX_POINTS_SHOWN).map((point) =>
    make("tr", {}, ...paths.map((path) => make("td", { textContent: showValue(point.values[path]) })),
      make("td", { className: "number", textContent: number.format(point.parameters) }), make("td", { className: "number", textContent: duration(point.seconds) })));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  const rest = points.length > MAX_POINTS_SHOWN ? [make("p", { className: "soft", textContent: `The first ${MAX_POINTS_SHOWN} of ${points.length}.` })] : [];
  document.getElementById("point-table").replaceChildren(table, ...rest);
}

// randomUUID is there only over https and on the machine itself.
function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  submit.disabled = true;
  try {
    const made = await post("/experiments", { headers: { "idempotency-key": freshKey() } });
    window.location.assign(`/view/${made.id}`);
  } catch (error) {
    showRefusal(error);
  }
});
for (const one of [body, hookUrl, hookSecret, afresh]) one.addEventListener("input", () => checkSoon());
document.getElementById("make-secret").addEventListener("click", () => {
  hookSecret.value = `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;
  document.getElementById("secret-told").textContent = "Give it to the receiver now: it is not shown again.";
  checkSoon(0);
});
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
example.addEventListener("change", fillIn);
if (example.dataset.chosen) example.value = example.dataset.chosen;
fillIn();
