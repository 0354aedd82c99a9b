// The page of the data sets: uploads a file, shows how far it is, and opens the page of the data set.

import { createElement, root } from "./service.js";

const [form, file, name, button, status, progress, errors] = ["upload-form", "file", "name", "upload", "upload-status", "upload-progress", "upload-errors"].map((id) => document.getElementById(id));
const choices = { label: "label", test_share: "test-share", seed: "seed", side: "side", colour: "colour" };

// A name from that of the file, as the service takes it.
file.addEventListener("change", () => {
  if (name.value || !file.files.length) return;
  const stem = file.files[0].name.replace(/\.[^.]*$/, "").toLowerCase();
  name.value = stem.replace(/[^a-z0-9_-]+/g, "_").replace(/^[^a-z]+/, "").slice(0, 64);
});

function address() {
  const params = new URLSearchParams({ name: name.value, file: file.files[0].name });
  for (const [param, id] of Object.entries(choices)) {
    const value = document.getElementById(id).value.trim();
    if (value) params.set(param, value);
  }
  if (document.getElementById("replace").checked) params.set("replace", "true");
  return `${root}/datasets?${params}`;
}

function showErrors(details) {
  errors.replaceChildren(...details.map((detail) => createElement("li", {}, detail)));
  errors.hidden = details.length === 0;
}

function finish() {
  button.disabled = false;
  progress.hidden = true;
  status.textContent = "";
}

function read(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return { detail: `the service returned status ${request.status}` };
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const request = new XMLHttpRequest(); // fetch tells no progress of an upload
  request.open("POST", address());
  request.setRequestHeader("accept", "application/json");
  request.setRequestHeader("content-type", "application/octet-stream");
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    progress.value = total ? loaded / total : 0;
    status.textContent = loaded < total ? `Uploading: ${Math.round((100 * loaded) / total)} %` : "Converting and checking …";
  });
  request.addEventListener("load", () => {
    const body = read(request);
    finish();
    if (request.status < 300) window.location.assign(`${root}/data/${encodeURIComponent(body.name)}`);
    else showErrors(body.errors?.length ? body.errors.map((one) => one.detail) : [body.detail]);
  });
  request.addEventListener("error", () => {
    finish();
    showErrors(["The service does not respond, or refused the file before it was sent whole."]);
  });
  showErrors([]);
  button.disabled = true;
  progress.hidden = false;
  request.send(file.files[0]);
});
