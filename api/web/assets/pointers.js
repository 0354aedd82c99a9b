// Positions of values in a JSON text by JSON pointer, to show an error where it is.

const SPACE = /\s*/y;
const SCALAR = /"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y;

// Map from pointer to [start, end] for every value in a valid JSON text; pointers begin with #.
export function positionsOf(text) {
  const found = new Map();
  let at = 0;
  const match = (pattern) => {
    pattern.lastIndex = at;
    const matched = pattern.exec(text)?.[0] ?? "";
    at += matched.length;
    return matched;
  };
  const read = (pointer) => {
    match(SPACE);
    const start = at;
    const closing = { "{": "}", "[": "]" }[text[at]];
    if (closing === undefined) match(SCALAR);
    else {
      at += 1;
      for (let index = 0; ; index += 1) {
        match(SPACE);
        if (text[at] === closing || at >= text.length) break;
        let key = String(index);
        if (closing === "}") {
          key = JSON.parse(match(SCALAR)).replaceAll("~", "~0").replaceAll("/", "~1");
          match(SPACE);
          at += 1; // the colon
        }
        read(`${pointer}/${key}`);
        match(SPACE);
        if (text[at] === ",") at += 1;
      }
      at += 1;
    }
    found.set(pointer, [start, at]);
  };
  read("#");
  return found;
}

// The position of the pointer's value, or of the nearest enclosing value that exists.
export function nearestPosition(positions, pointer) {
  for (let at = pointer; at.includes("/"); at = at.slice(0, at.lastIndexOf("/"))) if (positions.has(at)) return positions.get(at);
  return positions.get("#");
}
