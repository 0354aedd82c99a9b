// The page of one data set: deletes it.

import { fetchJson, root } from "./service.js";

const message = document.getElementById("message");

document.getElementById("delete").addEventListener("click", (event) => {
  const { path, question } = event.currentTarget.dataset;
  if (!window.confirm(question)) return;
  fetchJson(path, { method: "DELETE" })
    .then(() => window.location.assign(`${root}/data`))
    .catch((error) => {
      message.textContent = error.message;
      message.hidden = false;
    });
});
