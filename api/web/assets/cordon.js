// Buttons that cordon and uncordon workers, on the page of the queue.

import { refresh } from "./live.js";
import { fetchJson } from "./service.js";

const told = document.getElementById("cordon-error");

// The rows are replaced as the page refreshes, so the listener is on what stays.
document.getElementById("workers").addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-call]");
  if (button === null) return;
  button.disabled = true;
  told.textContent = "";
  try {
    await fetchJson(`/workers/${encodeURIComponent(button.dataset.worker)}/${button.dataset.call}`, { method: "POST" });
    await refresh();
  } catch (error) {
    told.textContent = error.message;
  }
  button.disabled = false;
});
