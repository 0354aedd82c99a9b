// The form of a new experiment: checked while one types, its price told, every error at its place.

import { nearestPlace, placesOf } from "./pointers.js";
import { Refused, ask, make } from "./service.js";

const REST_MS = 350;
const MAX_POINTS_SHOWN = 50;
const [form, example, body, verdict, problems, price, warnings, submit] = ["submit-form", "example", "body", "verdict", "problems", "price", "warnings", "submit"].map((id) => document.getElementById(id));
const number = new Intl.NumberFormat("en");
let timer = null;
let asking = null;

function post(path, options = {}) {
  return ask(path, { method: "POST", headers: { "content-type": "application/json", ...options.headers }, body: bodyText(), signal: options.signal });
}

function bodyText() {
  if (!document.getElementById("afresh").checked) return body.value;
  return JSON.stringify({ ...JSON.parse(body.value), reuse: false });
}

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
  const errors = (error.problem.errors ?? []).map((one) => ({ ...one, place: nearestPlace(places, one.pointer) }));
  showErrors(error.message, errors);
}

function showErrors(text, errors) {
  say(text, "error");
  body.setAttribute("aria-invalid", "true");
  submit.disabled = true;
  price.replaceChildren();
  warnings.replaceChildren();
  document.getElementById("points").hidden = true;
  problems.replaceChildren(...errors.map(describeError));
}

function describeError({ pointer, detail, place }) {
  const line = body.value.slice(0, place[0]).split("\n").length;
  const jump = make("button", { type: "button", className: "plain", textContent: `Line ${line}${pointer ? `, ${pointer}` : ""}` });
  jump.addEventListener("click", () => {
    body.focus();
    body.setSelectionRange(...place);
    body.scrollTop = (line - 6) * (body.scrollHeight / body.value.split("\n").length);
  });
  return make("li", {}, jump, `: ${detail}`);
}

function say(text, className = "") {
  if (verdict.textContent !== text) verdict.textContent = text;
  verdict.className = className;
}

function showPreview(found) {
  body.removeAttribute("aria-invalid");
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
      ["Computation", `${found.flops.toExponential(1)} FLOP`],
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
    make("tr", {}, ...paths.map((path) => make("td", { textContent: shown(point.values[path]) })),
      make("td", { className: "number", textContent: number.format(point.parameters) }), make("td", { className: "number", textContent: duration(point.seconds) })));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  const rest = points.length > MAX_POINTS_SHOWN ? [make("p", { className: "soft", textContent: `The first ${MAX_POINTS_SHOWN} of ${points.length}.` })] : [];
  document.getElementById("point-table").replaceChildren(table, ...rest);
}

// randomUUID is there only over https and on the machine itself.
function freshKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const shown = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));

function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  return `${(count / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toPrecision(2)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`;
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
body.addEventListener("input", () => checkSoon());
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
example.addEventListener("change", fillIn);
if (example.dataset.chosen) example.value = example.dataset.chosen;
fillIn();
