// The page of uploads: deletes a data set or a checkpoint.

import { refresh } from "./live.js";
import { fetchJson } from "./service.js";

const message = document.getElementById("message");

function show(text) {
  message.textContent = text;
  message.hidden = text === "";
}

document.getElementById("content").addEventListener("click", (event) => {
  const { path, question } = event.target.dataset;
  if (!path || !window.confirm(question)) return;
  fetchJson(path, { method: "DELETE" })
    .then(() => show(""))
    .catch((error) => show(error.message))
    .finally(refresh);
});
