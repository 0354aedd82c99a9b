// The list of experiments: applies a filter when it changes, and compares the selected experiments.

import "./live.js";

const form = document.getElementById("compare-form");
const compare = document.getElementById("compare");

function countSelected() {
  if (compare === null) return;
  const count = form.querySelectorAll("input[name=id]:checked").length;
  compare.disabled = count < 2;
  document.getElementById("compare-hint").textContent =
    count < 2 ? "Select two or more." : `${count} selected.`;
}

for (const select of document.querySelectorAll("#kind, #status"))
  select.addEventListener("change", () => select.form.requestSubmit());
form.addEventListener("change", countSelected);
document.addEventListener("refreshed", countSelected);
countSelected();
