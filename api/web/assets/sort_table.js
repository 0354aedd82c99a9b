// Sorts the rows of tables with the class "sortable" by a click on a head; shows all rows on demand.

const orders = new Map();
let showsAll = false;

// better: which value comes first; numbers descend first, texts ascend.
function sortBy(table, column, descends) {
  const place = [...table.tHead.rows[0].cells].findIndex((cell) => cell.dataset.column === column);
  if (place < 0) return;
  const rows = [...table.tBodies[0].rows];
  const valueOf = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent;
  const isNumeric = rows.every((row) => valueOf(row) === "" || !Number.isNaN(Number(valueOf(row))));
  const compare = (one, other) => (isNumeric ? Number(one) - Number(other) : one.localeCompare(other, "en", { numeric: true }));
  rows.sort((one, other) => {
    const [first, second] = [valueOf(one), valueOf(other)];
    if (first === "" || second === "") return (first === "") - (second === ""); // rows without a value come last
    return descends ? compare(second, first) : compare(first, second);
  });
  table.tBodies[0].append(...rows);
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[place].setAttribute("aria-sort", descends ? "descending" : "ascending");
}

function limitRows(table) {
  const first = Number(table.dataset.first);
  [...table.tBodies[0].rows].forEach((row, index) => (row.hidden = !showsAll && index >= first));
}

function prepare() {
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const cell of table.tHead.rows[0].cells) {
      if (!cell.dataset.column || cell.querySelector("button")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sorter";
      button.append(...cell.childNodes);
      cell.append(button);
    }
    const order = orders.get(table.closest("[id]")?.id);
    if (order) sortBy(table, ...order);
    if (order || showsAll) limitRows(table);
  }
  const all = document.getElementById("all-rows");
  if (all && showsAll) all.parentElement.hidden = true;
}

document.addEventListener("click", (event) => {
  if (event.target.id === "all-rows") {
    event.preventDefault();
    showsAll = true;
    return prepare();
  }
  const button = event.target.closest("button.sorter");
  if (!button) return;
  const [cell, table] = [button.closest("th"), button.closest("table")];
  const better = cell.dataset.better;
  const sorted = cell.getAttribute("aria-sort");
  const firstDescends = better === "higher" || (better === "" && cell.classList.contains("number"));
  const order = [cell.dataset.column, sorted ? sorted === "ascending" : firstDescends];
  orders.set(table.closest("[id]")?.id, order);
  sortBy(table, ...order);
  limitRows(table);
});

document.addEventListener("refreshed", prepare);
prepare();
