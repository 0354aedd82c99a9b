// The box of the front page: fill in an example, preview it, submit it, show every error.
"use strict";

const example = document.getElementById("example");
const body = document.getElementById("body");
const answer = document.getElementById("answer");

function fillIn() {
  body.value = example.selectedOptions[0].dataset.body;
  answer.replaceChildren();
}

async function post(path) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body.value,
  });
  return [response.ok, await response.json()];
}

function addLine(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

function showProblem(problem) {
  answer.replaceChildren();
  addLine(answer, "p", problem.detail).className = "error";
  const list = addLine(answer, "ul", "");
  for (const error of problem.errors ?? []) addLine(list, "li", `${error.pointer}: ${error.detail}`);
}

function showPreview(preview) {
  answer.replaceChildren();
  const number = new Intl.NumberFormat("en");
  addLine(
    answer,
    "p",
    `${preview.points.length} points, ${preview.num_runs} runs, up to ${number.format(preview.parameters)} parameters, ` +
      `about ${number.format(Math.ceil(preview.seconds))} s of one device (${preview.basis})`,
  );
  if (preview.reuses_experiment) addLine(answer, "p", `It is there already: ${preview.reuses_experiment}`);
  const list = addLine(answer, "ul", "");
  for (const warning of preview.warnings) addLine(list, "li", warning);
}

async function run(action) {
  try {
    await action();
  } catch (error) {
    showProblem({ detail: `no answer from the service (${error.message})` });
  }
}

example.addEventListener("change", fillIn);
document.getElementById("preview").addEventListener("click", () =>
  run(async () => {
    const [ok, found] = await post("/experiments/preview");
    ok ? showPreview(found) : showProblem(found);
  }),
);
document.getElementById("submit-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(async () => {
    const [ok, found] = await post("/experiments");
    if (ok) window.location.assign(`/view/${found.id}`);
    else showProblem(found);
  });
});
fillIn();
