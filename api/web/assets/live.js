// Updates every element with data-live from a fresh copy of this page, without a reload.

const refreshMs = Number(document.body.dataset.refreshMs ?? 0);
const connection = document.getElementById("connection");
let pending = null;

export function refresh() {
  pending ??= fetchPage().finally(() => {
    pending = null;
  });
  return pending;
}

async function fetchPage() {
  let fresh;
  try {
    const response = await fetch(window.location.href, { headers: { accept: "text/html" } });
    if (response.redirected) return window.location.reload(); // logged out: the server redirects to the login
    if (!response.ok) throw new Error(`${response.status}`);
    fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch (error) {
    connection.textContent = `The service does not respond (${error.message}); trying again.`;
    return;
  }
  connection.textContent = "";
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other !== null) replace(part, other);
  }
  document.dispatchEvent(new CustomEvent("refreshed", { detail: fresh }));
}

// Keeps the state of the page: checked boxes, open details, the focus and scroll positions.
function replace(part, other) {
  for (const { name, value } of other.attributes) if (part.getAttribute(name) !== value) part.setAttribute(name, value);
  if (part.dataset.shown === other.innerHTML) return;
  part.dataset.shown = other.innerHTML;
  const checked = [...part.querySelectorAll("input:checked")].map((input) => input.id);
  const opened = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
  const scrolled = part.scrollTop;
  part.replaceChildren(...document.importNode(other, true).childNodes);
  for (const id of checked) document.getElementById(id)?.setAttribute("checked", "");
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  part.scrollTop = scrolled;
}

if (refreshMs)
  setInterval(() => {
    if (!document.hidden) refresh();
  }, refreshMs);
document.addEventListener("visibilitychange", () => {
  if (refreshMs && !document.hidden) refresh();
});
