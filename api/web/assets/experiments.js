// The list of experiments: filters, chosen columns, ticks that stay, and actions on what is ticked.

import { openAction } from "./actions.js";
import "./live.js";
import { root } from "./service.js";
import { ticks } from "./ticks.js";

const form = document.getElementById("compare-form");
const maxCompared = Number(form.dataset.maxCompared);
const COLUMNS = "richregime-columns";

const boxes = () => [...form.querySelectorAll("input[name=id]")];

// The boxes of this page are as stored; the bar tells how many experiments are ticked on all pages.
function showTicks() {
  const count = ticks.size();
  for (const box of boxes()) box.checked = ticks.has(box.value);
  document.getElementById("ticked-actions").hidden = count === 0;
  const limit = count > maxCompared ? `; at most ${maxCompared} can be compared` : "";
  document.getElementById("ticked").textContent = count
    ? `${count} ticked${count < 2 ? "; two or more can be compared" : limit}.`
    : "Tick experiments to compare, label, cancel, retry or delete them.";
  document.getElementById("compare").disabled = count < 2 || count > maxCompared;
  document.getElementById("show-ticked").href = `${root}/?${ticks.query()}`;
}

form.addEventListener("change", ({ target }) => {
  if (target.name !== "id") return;
  if (target.checked) ticks.add(target.value, target.dataset.title);
  else ticks.remove([target.value]);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  window.location.assign(`${root}/compare?${ticks.query()}`);
});
document.getElementById("tick-shown").addEventListener("click", () => {
  for (const box of boxes()) ticks.add(box.value, box.dataset.title);
});
document.getElementById("clear-ticks").addEventListener("click", () => {
  ticks.clear();
  document.getElementById("tick-shown").focus();
});
document.getElementById("actions").addEventListener("click", ({ target }) => {
  if (target.dataset.act) openAction(target.dataset.act, ticks.ids(), Number(form.dataset.maxActed));
});
for (const select of document.querySelectorAll("#kind, #status"))
  select.addEventListener("change", () => select.form.requestSubmit());
document.addEventListener("ticked", showTicks);
document.addEventListener("refreshed", showTicks);
window.addEventListener("storage", showTicks); // another tab
window.addEventListener("pageshow", showTicks); // back from another page
showTicks();

// The chosen columns, their order and group are those of the next visit.
const query = new URLSearchParams(window.location.search);
const chosen = new URLSearchParams([...query].filter(([name, value]) => ["fields", "group", "sort"].includes(name) && value));
document.getElementById("usual-columns").addEventListener("click", () => window.localStorage.removeItem(COLUMNS));
if (chosen.size) window.localStorage.setItem(COLUMNS, chosen.toString());
else if (!query.has("cursor") && window.localStorage.getItem(COLUMNS)) {
  for (const [name, value] of new URLSearchParams(window.localStorage.getItem(COLUMNS))) query.append(name, value);
  window.location.replace(`?${query}`);
}
