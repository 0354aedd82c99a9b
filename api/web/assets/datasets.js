// The page of the data sets: previews a file, and stores it where the user says so.
// The file stays in the browser: it is sent for each preview, and again to be stored.

import { bytes, numberOf } from "./numbers.js";
import { createElement, root } from "./service.js";

const [form, file, name, replace, button, status, progress, errors] = ["upload-form", "file", "name", "replace", "upload", "upload-status", "upload-progress", "upload-errors"].map((id) => document.getElementById(id));
const [preview, title, facts, conflict, store, notes, examples, classes, columns] = ["preview", "preview-title", "preview-facts", "preview-conflict", "store", "preview-notes", "preview-examples", "preview-classes", "columns"].map((id) => document.getElementById(id));
const choices = { label: "label", test_share: "test-share", seed: "seed", side: "side", colour: "colour" };
let current = null; // the request on its way
let isWanted = false; // whether a changed choice refreshes the preview

// A name from that of the file, as the service takes it.
file.addEventListener("change", () => {
  discard();
  if (name.value || !file.files.length) return;
  const stem = file.files[0].name.replace(/\.[^.]*$/, "").toLowerCase();
  name.value = stem.replace(/[^a-z0-9_-]+/g, "_").replace(/^[^a-z]+/, "").slice(0, 64);
});

function address(path) {
  const params = new URLSearchParams({ name: name.value, file: file.files[0].name });
  for (const [param, id] of Object.entries(choices)) {
    const value = document.getElementById(id).value.trim();
    if (value) params.set(param, value);
  }
  if (replace.checked) params.set("replace", "true");
  return `${root}${path}?${params}`;
}

function showErrors(details) {
  errors.replaceChildren(...details.map((detail) => createElement("li", {}, detail)));
  errors.hidden = details.length === 0;
  if (details.length) errors.scrollIntoView({ block: "nearest" });
}

function finish() {
  current = null;
  button.disabled = store.disabled = false;
  progress.hidden = true;
  status.textContent = "";
}

function discard() {
  current?.abort();
  finish();
  showErrors([]);
  isWanted = false;
  preview.hidden = true;
  columns.replaceChildren();
}

function read(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return { detail: `the service returned status ${request.status}` };
  }
}

// Sends the file; `done` takes the response. A request that is on its way is given up.
function send(path, done) {
  current?.abort();
  const request = new XMLHttpRequest(); // fetch tells no progress of an upload
  current = request;
  request.open("POST", address(path));
  request.setRequestHeader("accept", "application/json");
  request.setRequestHeader("content-type", "application/octet-stream");
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    progress.value = total ? loaded / total : 0;
    status.textContent = loaded < total ? `Uploading: ${Math.round((100 * loaded) / total)} %` : "Converting and checking …";
  });
  request.addEventListener("load", () => {
    const body = read(request);
    finish();
    if (request.status < 300) done(body);
    else fail(path, body.errors?.length ? body.errors.map((one) => one.detail) : [body.detail]);
  });
  request.addEventListener("error", () => {
    finish();
    fail(path, ["The service does not respond, or refused the file before it was sent whole, or the file has changed: then choose it again."]);
  });
  showErrors([]);
  button.disabled = store.disabled = true;
  progress.value = 0;
  progress.hidden = false;
  request.send(file.files[0]);
}

// A preview that failed shows nothing; where storing failed, the preview is still right.
function fail(path, details) {
  if (path !== "/datasets") preview.hidden = true;
  showErrors(details);
}

function requestPreview() {
  isWanted = true;
  send("/datasets/preview", show);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  requestPreview();
});
for (const field of [name, replace, ...Object.values(choices).map((id) => document.getElementById(id))])
  field.addEventListener("change", () => {
    if (isWanted && form.reportValidity()) requestPreview();
  });
document.getElementById("discard").addEventListener("click", () => {
  discard();
  form.reset();
  file.focus();
});
store.addEventListener("click", () => {
  if (form.reportValidity()) send("/datasets", (made) => window.location.assign(`${root}/data/${encodeURIComponent(made.name)}`));
});

function show(found) {
  const made = found.dataset;
  const names = made.class_names ?? made.class_counts.train.map((_, label) => String(label));
  title.textContent = `Preview of ${made.name}`;
  const kind = made.shape.length === 1 ? count(made.shape[0], "feature") : `images of ${made.shape.join(" × ")} (channels, height, width)`;
  facts.textContent = [`${kind}, ${made.dtype}`, count(made.num_classes, "class", "classes"), `${number(made.train_size)} to train, ${number(made.test_size)} to test`, bytes(made.bytes)].join(" · ");
  conflict.hidden = found.conflict === null;
  conflict.textContent = found.conflict ?? "";
  store.textContent = `Store as ${made.name}${made.version > 1 ? `, version ${made.version}` : ""}`;
  store.disabled = found.conflict !== null;
  notes.replaceChildren(...made.notes.map((note) => createElement("li", {}, note)));
  notes.hidden = made.notes.length === 0;
  columns.replaceChildren(...(found.columns ?? []).map((column) => createElement("option", { value: column })));
  examples.replaceChildren(showExamples(found, names));
  classes.replaceChildren(showClasses(made.class_counts, names));
  if (preview.hidden) {
    preview.hidden = false;
    preview.focus();
  }
}

function showExamples(found, names) {
  if (found.rows) return showRows(found.rows, names, found.dataset.shape[0]);
  if (!found.images.length) return createElement("p", { className: "notice" }, "The file is too large for examples to be shown.");
  const rest = names.length - found.images.length;
  return table(
    [rest > 0 ? `The first train images of the first ${found.images.length} classes` : "The first train images of each class"],
    ["Class", "Images"],
    found.images.map(({ label, png }) => {
      const image = createElement("img", { src: `data:image/png;base64,${png}`, alt: `Train images of class ${names[label]}` });
      return [names[label], createElement("td", {}, image)];
    }),
  );
}

function showRows(rows, names, features) {
  const more = features > rows.names.length ? ["…"] : [];
  const lines = rows.values.map((values, index) => [
    names[rows.labels[index]],
    ...values.map((value) => createElement("td", { className: "number" }, numberOf(value))),
    ...more.map((dots) => createElement("td", {}, dots)),
  ]);
  return table(["The first train rows"], ["Class", ...rows.names, ...more], lines);
}

function showClasses({ train, test }, names) {
  const greatest = Math.max(...train.map((size, label) => size + test[label]));
  const bar = (size, part) => {
    const drawn = createElement("span", { className: part });
    drawn.style.width = `${(100 * size) / greatest}%`;
    return drawn;
  };
  const caption = ["Examples of each class: ", createElement("span", { className: "key" }, "train"), " ", createElement("span", { className: "key test" }, "test")];
  return table(
    caption,
    ["Class", "", "Train", "Test"],
    names.map((one, label) => [
      one,
      createElement("td", { className: "bars", "aria-hidden": "true" }, bar(train[label], "train"), bar(test[label], "test")),
      createElement("td", { className: "number" }, number(train[label])),
      createElement("td", { className: "number" }, number(test[label])),
    ]),
  );
}

// A table whose rows are a name and cells; a head looks as the cells below it.
function table(caption, heads, rows) {
  return createElement(
    "table",
    {},
    createElement("caption", {}, ...caption),
    createElement("thead", {}, createElement("tr", {}, ...heads.map((head, column) => createElement("th", { scope: "col", className: rows[0][column].className ?? "" }, head)))),
    createElement("tbody", {}, ...rows.map(([name, ...cells]) => createElement("tr", {}, createElement("th", { scope: "row" }, name), ...cells))),
  );
}

function number(value) {
  return value.toLocaleString("en-US");
}

function count(value, word, plural = `${word}s`) {
  return `${number(value)} ${value === 1 ? word : plural}`;
}
