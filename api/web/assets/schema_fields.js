// What the JSON Schema of a spec says of its fields: types, variants, defaults, limits, help.

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 12 });

// The node without $ref; fields beside the reference stay.
export function resolve(schema, node) {
  if (!node.$ref) return node;
  const { $ref, ...own } = node;
  return { ...schema.$defs[$ref.slice($ref.lastIndexOf("/") + 1)], ...own };
}

// A field of a spec: {key, type, default, help, ...}. Types: union, object, choice, flag, number, text, list, json.
export function describeField(schema, key, node) {
  const found = resolve(schema, node);
  const field = { key, default: found.default, help: helpOf(found) };
  const options = (found.anyOf ?? [found]).map((one) => resolve(schema, one));
  const [value, ...others] = options.filter((one) => one.type !== "null");
  const variants = (found.oneOf ?? []).map((one) => resolve(schema, one)).filter((one) => tagOf(one));
  if (variants.length) return { ...field, type: "union", variants: Object.fromEntries(variants.map((one) => [tagOf(one), one])) };
  if (others.length || found.oneOf) return { ...field, type: "json" };
  const isOptional = options.length > 1;
  field.help = [field.help, limitsOf(value)].filter(Boolean).join(" ");
  if (value.properties) return { ...field, type: "object", properties: value.properties };
  if (value.enum) return { ...field, type: "choice", values: isOptional ? [null, ...value.enum] : value.enum };
  if (value.type === "boolean") return { ...field, type: "flag", values: [false, true] };
  if (value.type === "integer" || value.type === "number") return { ...field, type: "number" };
  if (value.type === "string") return { ...field, type: "text" };
  return { ...field, type: value.type === "array" && !resolve(schema, value.items ?? {}).properties ? "list" : "json" };
}

// The fields of a variant, without its tag.
export function fieldsOf(schema, variant) {
  return Object.entries(variant.properties ?? {})
    .filter(([key]) => key !== "name" || !tagOf(variant))
    .map(([key, node]) => describeField(schema, key, node));
}

export const tagOf = (variant) => variant.properties?.name?.const;

function helpOf(node) {
  return node.description?.split("\n\n")[0].replaceAll("\n", " ") ?? "";
}

function limitsOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, items }) {
  if (items?.enum) return `Some of: ${items.enum.join(", ")}.`;
  const low = minimum ?? exclusiveMinimum;
  const high = maximum ?? exclusiveMaximum;
  if (low === undefined && high === undefined) return "";
  const parts = [];
  if (low !== undefined) parts.push(`${minimum === undefined ? "above" : "at least"} ${number.format(low)}`);
  if (high !== undefined) parts.push(`${maximum === undefined ? "below" : "at most"} ${number.format(high)}`);
  const text = parts.join(", ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

// The value that a text means: JSON, else the text itself; undefined for an empty text.
export function readText(text, type) {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  if (type === "text") return trimmed;
  if (type === "list" && !trimmed.startsWith("[")) return readValues(trimmed, "json");
  return readJson(trimmed);
}

// The values of an axis: separated by commas; for a union a bare word is a variant.
export function readValues(text, type) {
  let values;
  try {
    values = JSON.parse(`[${text}]`);
  } catch {
    values = splitAtCommas(text).map(readJson);
  }
  return type === "union" ? values.map((one) => (typeof one === "string" ? { name: one } : one)) : values;
}

// Commas within brackets, braces and quotes do not separate.
function splitAtCommas(text) {
  const parts = text.match(/(?:"(?:[^"\\]|\\.)*"|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\[[^\]]*\]|[^,])+/g) ?? [];
  return parts.map((one) => one.trim()).filter(Boolean);
}

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function writeText(value, type) {
  if (value === undefined) return "";
  if (type === "list" && Array.isArray(value)) return writeValues(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function writeValues(values, separator = ", ") {
  return values.map((one) => (one?.name !== undefined && Object.keys(one).length === 1 ? one.name : writeText(one, "json"))).join(separator);
}

export function equal(one, other) {
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return one === other;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => key in other && equal(one[key], other[key]));
}
