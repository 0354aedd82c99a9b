// The list of experiments: filters that act at once, and a comparison of those that are ticked.

import "./live.js";

const form = document.getElementById("compare-form");
const compare = document.getElementById("compare");

function countTicked() {
  if (compare === null) return;
  const count = form.querySelectorAll("input[name=id]:checked").length;
  compare.disabled = count < 2;
  document.getElementById("compare-hint").textContent =
    count < 2 ? "Tick two or more." : `${count} are ticked.`;
}

for (const select of document.querySelectorAll("#kind, #status"))
  select.addEventListener("change", () => select.form.requestSubmit());
form.addEventListener("change", countTicked);
document.addEventListener("refreshed", countTicked);
countTicked();
