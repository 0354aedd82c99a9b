// Requests to the service, and creation of elements.

// The path of the service: a proxy may serve it below a path of its own.
export const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

export class RequestFailed extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service returned status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

// The JSON response of a path of the service; throws RequestFailed with the problem that the service returned.
export async function fetchJson(path, options = {}) {
  const response = await fetch(root + path, { ...options, headers: { accept: "application/json", ...options.headers } });
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { detail: text.slice(0, 200) };
  }
  if (!response.ok) throw new RequestFailed(response.status, body);
  return body;
}

export function createElement(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties))
    if (name.includes("-") || name === "role" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  element.append(...children);
  return element;
}
