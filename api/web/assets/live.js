// Brings every part marked data-live up to date from the server's own rendering of this page, without a reload.

const every = Number(document.body.dataset.liveEvery ?? 0);
const connection = document.getElementById("connection");
let under_way = null;

export function refresh() {
  under_way ??= fetchPage().finally(() => {
    under_way = null;
  });
  return under_way;
}

async function fetchPage() {
  let fresh;
  try {
    const response = await fetch(window.location.href, { headers: { accept: "text/html" } });
    if (response.redirected) return window.location.reload(); // logged out: this page leads to the login
    if (!response.ok) throw new Error(`${response.status}`);
    fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch (error) {
    connection.textContent = `The service does not answer (${error.message}); trying again.`;
    return;
  }
  connection.textContent = "";
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other !== null) replace(part, other);
  }
  document.dispatchEvent(new CustomEvent("refreshed"));
}

// What the reader has touched stays: ticks, open details, the focus and how far a list is scrolled.
function replace(part, other) {
  for (const { name, value } of other.attributes) if (part.getAttribute(name) !== value) part.setAttribute(name, value);
  if (part.dataset.shown === other.innerHTML) return;
  part.dataset.shown = other.innerHTML;
  const ticked = [...part.querySelectorAll("input:checked")].map((input) => input.id);
  const opened = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
  const scrolled = part.scrollTop;
  part.replaceChildren(...document.importNode(other, true).childNodes);
  for (const id of ticked) document.getElementById(id)?.setAttribute("checked", "");
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  part.scrollTop = scrolled;
}

if (every)
  setInterval(() => {
    if (!document.hidden) refresh();
  }, every);
document.addEventListener("visibilitychange", () => {
  if (every && !document.hidden) refresh();
});
