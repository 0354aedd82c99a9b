// Where in a JSON text a pointer's value stands, so that an error can be shown at its place.

const SPACE = /\s*/y;
const SCALAR = /"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y;

// {pointer: [start, end]} of every value in a text that is valid JSON; pointers begin with #.
export function placesOf(text) {
  const found = new Map();
  let at = 0;
  const match = (pattern) => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0] ?? "";
    at += taken.length;
    return taken;
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

// The place of the pointer, or of the nearest value around it that is there.
export function nearestPlace(places, pointer) {
  for (let at = pointer; at.includes("/"); at = at.slice(0, at.lastIndexOf("/"))) if (places.has(at)) return places.get(at);
  return places.get("#");
}
