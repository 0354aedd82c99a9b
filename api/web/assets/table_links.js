// Links to a table as files, and buttons that copy it; the macro `table_links` writes the same on the server.

import { createElement } from "./service.js";

const FILES = [["csv", "CSV"], ["tex", "LaTeX"], ["md", "Markdown"]];
const COPIED = [["tex", "LaTeX"], ["md", "Markdown"]];

// address: without the extension; query: with its ?, or empty.
export function tableLinks(address, what, query = "") {
  const links = FILES.map(([ending, name]) => createElement("a", { href: `${address}.${ending}${query}`, download: "", "aria-label": `${what} as ${name}`, textContent: name }));
  const buttons = COPIED.map(([ending, name]) => createElement("button", { type: "button", "data-copy-from": `${address}.${ending}${query}`, "aria-label": `Copy ${what} as ${name}`, textContent: `Copy ${name}` }));
  return createElement("p", { className: "row table-links" }, ...links, ...buttons, createElement("span", { className: "soft", role: "status" }));
}
