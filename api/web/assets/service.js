// Asking the service: JSON answers, and errors that say what it said.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

export async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { accept: "application/json", ...options.headers } });
  const text = await response.text();
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    found = { detail: text.slice(0, 200) };
  }
  if (!response.ok) throw new Refused(response.status, found);
  return found;
}

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    if (name.includes("-") || name === "role" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  element.append(...children);
  return element;
}
