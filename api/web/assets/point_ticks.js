// Ticks in the table of results: the points whose curves are drawn. A change is told by the event `chosen`.

const MOST = Number(document.getElementById("experiment").dataset.maxChosen);
const boxes = () => [...document.querySelectorAll("input.choose")];

// The indices of the ticked points, ascending.
export function chosenPoints() {
  return boxes().filter((box) => box.checked).map((box) => Number(box.dataset.point)).sort((one, other) => one - other);
}

// The lines of the ticked points, the usual ones where none is ticked.
export function withChosen(series) {
  const chosen = chosenPoints();
  return chosen.length ? { ...series, chosen, reason: "those that are ticked in the table" } : series;
}

export function tellChosen() {
  const count = chosenPoints().length;
  const message = document.getElementById("chosen");
  if (message === null) return;
  message.textContent = count ? `${count} ticked${count === MOST ? ", the most" : ""}.` : "";
  document.getElementById("untick").hidden = !count;
  for (const box of boxes()) box.disabled = count >= MOST && !box.checked;
}

function tell() {
  tellChosen();
  document.dispatchEvent(new CustomEvent("chosen"));
}

document.addEventListener("change", (event) => {
  if (event.target.matches("input.choose")) tell();
});

document.addEventListener("click", (event) => {
  if (event.target.id !== "untick") return;
  for (const box of boxes()) box.checked = false;
  document.getElementById("to-curves").focus();
  tell();
});

tellChosen();
