// The ticked experiments: kept in the browser across pages, filters and reloads. A change is told by the event `ticked`.

const STORED = "richregime-ticks";

function read() {
  try {
    return new Map(Object.entries(JSON.parse(window.localStorage.getItem(STORED) ?? "{}")));
  } catch {
    return new Map(); // another program wrote it
  }
}

function write(found) {
  window.localStorage.setItem(STORED, JSON.stringify(Object.fromEntries(found)));
  document.dispatchEvent(new CustomEvent("ticked"));
}

export const ticks = {
  size: () => read().size,
  has: (id) => read().has(id),
  ids: () => [...read().keys()],
  query: () => new URLSearchParams(ticks.ids().map((id) => ["id", id])).toString(),
  add: (id, title) => write(read().set(id, title)),
  remove(ids) {
    const found = read();
    for (const id of ids) found.delete(id);
    write(found);
  },
  clear: () => write(new Map()),
};
