// The fields of a submission, made from the JSON Schema of its kind. What a field changes goes into the body; only what differs from the defaults is sent.

import { describeField, equal, fieldsOf, readText, readValues, resolve, tagOf, writeText, writeValues } from "./schema_fields.js";
import { createElement } from "./service.js";

const TITLES = { data: "Data", model: "Net", init: "Start weights", optimizer: "Optimiser", schedule: "Learning rate schedule", loss: "Loss" };
const CLOSED = new Set(["init", "schedule", "loss"]);

export class SpecFields {
  // kinds and models: the items of GET /kinds and GET /models. onChange: called with the new body.
  constructor(element, { kinds, models, onChange }) {
    this.element = element;
    this.kinds = new Map(kinds.map((one) => [one.name, withPlugins(one, models)]));
    this.onChange = onChange;
    this.opened = new Map();
    element.addEventListener("toggle", ({ target }) => this.opened.set(target.dataset.section, target.open), true);
  }

  get kind() {
    return this.kinds.get(this.body.spec.kind) ?? this.kinds.values().next().value;
  }

  // Show a body. It is copied; the caller gets each changed copy.
  show(body) {
    this.body = structuredClone(body);
    if (typeof this.body.spec !== "object" || this.body.spec === null) this.body.spec = {};
    const focused = document.activeElement?.id;
    this.element.replaceChildren(this.renderExperiment(), ...this.renderSections());
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  change(redraw = false) {
    this.onChange(structuredClone(this.body));
    if (redraw) this.show(this.body);
  }

  // Mark the fields of errors; returns the errors' inputs, undefined where none fits.
  mark(errors) {
    for (const one of this.element.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
    for (const one of this.element.querySelectorAll(".field-error")) one.replaceChildren();
    return errors.map(({ pointer = "", detail }) => {
      const row = this.findRow(pointer);
      if (!row) return undefined;
      const input = row.querySelector("input, select, textarea");
      input?.setAttribute("aria-invalid", "true");
      row.querySelector(".field-error").append(createElement("span", { textContent: detail }), " ");
      return input;
    });
  }

  findRow(pointer) {
    for (let at = pointer; at.includes("/"); at = at.slice(0, at.lastIndexOf("/"))) {
      const row = this.element.querySelector(`[data-pointer="${CSS.escape(at)}"]`);
      if (row) return row;
    }
    return undefined;
  }

  renderExperiment() {
    const options = [...this.kinds.values()].map((one) => [one.name, one.title]);
    const kind = this.row("kind", "#/spec/kind", this.select("kind", options, this.kind.name, (value) => this.chooseKind(value)), this.kind.description);
    const name = this.input("experiment-name", this.body.name ?? "", "made from what differs", (text) => this.setTop("name", text.trim() || undefined));
    const { seeds } = this.body;
    const isPlan = seeds !== undefined && !Array.isArray(seeds);
    const shown = isPlan ? JSON.stringify(seeds) : writeSeeds(seeds ?? []);
    const input = this.input("seeds", shown, "0", (text) => this.setTop("seeds", readSeeds(text)));
    return this.section("experiment", "Experiment", [
      kind,
      this.row("name", "#/name", name, "For you and for lists; up to 200 characters."),
      this.row("seeds", "#/seeds", input, 'Every point is computed with each seed: "0-4", or "0, 1, 5". Three or more give verdicts; {"until": "decided"} adds seeds until these are decided.'),
    ]);
  }

  renderSections() {
    const { spec_schema: schema } = this.kind;
    const everywhere = [...this.kinds.values()].map((one) => one.spec_schema.properties);
    const fields = Object.entries(schema.properties).filter(([key]) => key !== "kind").map(([key, node]) => describeField(schema, key, node));
    const isShared = ({ key }) => everywhere.every((properties) => key in properties);
    const parts = fields.filter((one) => isShared(one) && ["union", "object"].includes(one.type) && TITLES[one.key]);
    const own = fields.filter((one) => !isShared(one));
    const rest = fields.filter((one) => isShared(one) && !parts.includes(one));
    const rows = (group) => putNullLast(group).flatMap((one) => this.renderField(schema, one, [one.key]));
    return [
      ...(own.length ? [this.section("own", this.kind.title, rows(own))] : []),
      ...parts.map((one) => this.section(one.key, TITLES[one.key], this.renderPart(schema, one, [one.key]))),
      this.section("training", "Training", rows(rest)),
    ];
  }

  // A section is open if its user opened it, or if it holds what differs from the defaults.
  section(name, title, rows, isClosed = CLOSED.has(name)) {
    const isChanged = this.read(name.split(".")) !== undefined || this.sweptBelow(name);
    const open = this.opened.get(name) ?? (!isClosed || isChanged);
    const details = createElement("details", { open, className: "form-section" }, createElement("summary", { textContent: title }), ...rows);
    details.dataset.section = name;
    return details;
  }

  sweptBelow(name) {
    return Object.keys(this.body.sweep ?? {}).some((path) => path === name || path.startsWith(`${name}.`));
  }

  renderPart(schema, field, path) {
    if (field.type !== "object") return this.renderField(schema, field, path);
    return fieldsOf(schema, field).flatMap((one) => this.renderField(schema, one, [...path, one.key]));
  }

  // The rows of a field; a part within a section is a section of its own.
  renderField(schema, field, path) {
    if (field.type === "object") return [this.section(path.join("."), field.key, this.renderPart(schema, field, path), true)];
    const dotted = path.join(".");
    if (this.body.sweep?.[dotted] !== undefined) return [this.renderAxis(field, path, dotted)];
    if (field.type !== "union") return [this.renderValue(field, path)];
    const tag = this.read(path)?.name ?? field.default?.name;
    const variant = field.variants[tag];
    const options = Object.entries(field.variants).map(([name, one]) => [name, name === field.default?.name ? `${name} (default)` : name, one]);
    if (!variant) options.push([tag, tag]);
    const choice = this.select(idOf(path), options, tag, (name) => {
      this.write(path, name === field.default?.name ? undefined : { name });
      this.change(true);
    });
    const rows = [this.row(labelOf(path), pointerOf(path), choice, variant?.description?.split("\n\n")[0] ?? field.help, this.sweepButton(field, path))];
    return variant ? [...rows, ...fieldsOf(schema, variant).flatMap((one) => this.renderField(schema, one, [...path, one.key]))] : rows;
  }

  renderValue(field, path) {
    const value = this.read(path);
    const set = (wanted) => {
      this.write(path, wanted === undefined || equal(wanted, field.default) ? undefined : wanted);
      this.change();
    };
    let input;
    if (field.values) {
      const options = field.values.map((one) => [JSON.stringify(one), `${one ?? "none"}${equal(one, field.default) ? " (default)" : ""}`]);
      const shown = JSON.stringify(value === undefined ? field.default : value);
      input = this.select(idOf(path), options, shown, (text) => set(JSON.parse(text)));
    } else {
      input = this.input(idOf(path), writeText(value === null && field.default === null ? undefined : value, field.type), field.default === null ? "none" : writeText(field.default, field.type), (text) => set(readText(text, field.type)));
      if (path.join(".") === "data.name") input.setAttribute("list", "dataset-names");
    }
    return this.row(labelOf(path), pointerOf(path), input, field.help, this.sweepButton(field, path));
  }

  renderAxis(field, path, dotted) {
    const values = this.body.sweep[dotted];
    const text = Array.isArray(values) ? writeValues(values, field.type === "union" ? ",\n" : ", ") : JSON.stringify(values);
    const input = this.input(idOf(path), text, "values, separated by commas", (typed) => {
      this.body.sweep = { ...this.body.sweep, [dotted]: readValues(typed, field.type) };
      this.change();
    }, field.type === "union");
    const stop = this.button("One value", `Do not sweep ${dotted}`, () => {
      const { [dotted]: removed, ...rest } = this.body.sweep;
      this.body.sweep = rest;
      if (!Object.keys(rest).length) delete this.body.sweep;
      const [first] = Array.isArray(removed) ? removed : [];
      this.write(path, first === undefined || equal(first, field.default) ? undefined : first);
      this.change(true);
    });
    const row = this.row(labelOf(path), `#/sweep/${dotted.replaceAll("~", "~0").replaceAll("/", "~1")}`, input, "Swept: a point for each value. Values are separated by commas.", stop);
    row.classList.add("swept");
    return row;
  }

  sweepButton(field, path) {
    const dotted = path.join(".");
    return this.button("Sweep", `Sweep ${dotted}`, () => {
      const value = this.read(path);
      const first = field.type === "union" ? { name: field.default?.name, ...value } : (value ?? field.default);
      this.body.sweep = { ...this.body.sweep, [dotted]: first === undefined || first === null ? [] : [first] };
      this.write(path, undefined);
      this.change(true);
      document.getElementById(idOf(path))?.focus();
    });
  }

  chooseKind(kind) {
    const known = this.kinds.get(kind).spec_schema.properties;
    const kept = Object.entries(this.body.spec).filter(([key]) => key in known);
    this.body.spec = { ...Object.fromEntries(kept), kind };
    const axes = Object.entries(this.body.sweep ?? {}).filter(([path]) => path.split(".")[0] in known);
    if (this.body.sweep) this.body.sweep = Object.fromEntries(axes);
    this.change(true);
  }

  setTop(key, value) {
    if (value === undefined) delete this.body[key];
    else this.body[key] = value;
    this.change();
  }

  read(path) {
    return path.reduce((value, key) => value?.[key], this.body.spec);
  }

  // Set a field of the spec; undefined removes it, and parts that are then empty.
  write(path, value) {
    const change = (part, [key, ...rest]) => {
      const copy = { ...part };
      const inner = rest.length ? change(copy[key], rest) : value;
      if (inner === undefined || (rest.length && !Object.keys(inner).length)) delete copy[key];
      else copy[key] = inner;
      return copy;
    };
    this.body.spec = change(this.body.spec, path);
  }

  row(label, pointer, input, help, button) {
    const helpId = `${input.id}-help`;
    input.setAttribute("aria-describedby", `${helpId} ${input.id}-error`);
    const row = createElement(
      "div",
      { className: "form-row" },
      createElement("label", { htmlFor: input.id, textContent: label }),
      createElement("div", { className: "row" }, input, ...(button ? [button] : [])),
      createElement("p", { className: "field-error error", id: `${input.id}-error` }),
      createElement("p", { className: "soft", id: helpId }, ...withCode(help)),
    );
    row.dataset.pointer = pointer;
    return row;
  }

  input(id, value, placeholder, onInput, isLong = false) {
    const options = isLong ? { rows: 1 + value.split("\n").length } : { type: "text" };
    const input = createElement(isLong ? "textarea" : "input", { ...options, id, value, placeholder, className: "wide", spellcheck: false, autocomplete: "off", autocapitalize: "off" });
    input.addEventListener("input", () => onInput(input.value));
    return input;
  }

  select(id, options, value, onChange) {
    const select = createElement("select", { id, className: "wide" }, ...options.map(([key, text]) => createElement("option", { value: key, textContent: text })));
    select.value = value;
    select.addEventListener("change", () => onChange(select.value));
    return select;
  }

  button(text, label, onClick) {
    const button = createElement("button", { type: "button", textContent: text, "aria-label": label });
    button.addEventListener("click", onClick);
    return button;
  }
}

// A part of its own need not be repeated in the names of its fields.
const labelOf = (path) => path.at(-1);
// Fields that are null unless they are wanted come last.
const putNullLast = (fields) => [...fields.filter((one) => one.default !== null), ...fields.filter((one) => one.default === null)];
// Text with `code`.
const withCode = (text) => text.split("`").map((part, index) => (index % 2 ? createElement("code", { textContent: part }) : part));
const idOf = (path) => `field-${path.join("-")}`;
const pointerOf = (path) => `#/spec/${path.join("/")}`;

// The kind with the nets of plug-ins as variants of its model.
function withPlugins(kind, models) {
  const { model } = kind.spec_schema.properties;
  if (!model?.oneOf) return kind;
  const named = model.oneOf.filter((one) => tagOf(resolve(kind.spec_schema, one)));
  const builtIn = new Set(named.map((one) => tagOf(resolve(kind.spec_schema, one))));
  const plugins = models.filter((one) => !builtIn.has(one.name)).map((one) => one.spec_schema);
  const properties = { ...kind.spec_schema.properties, model: { ...model, oneOf: [...named, ...plugins] } };
  return { ...kind, spec_schema: { ...kind.spec_schema, properties } };
}

// "0-4, 7" for [0, 1, 2, 3, 4, 7]
export function writeSeeds(seeds) {
  const runs = [];
  for (const seed of seeds) {
    const last = runs.at(-1);
    if (last && seed === last[1] + 1) last[1] = seed;
    else runs.push([seed, seed]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

// A range beyond 10,000 seeds is left to the service, which refuses it with its limit.
export function readSeeds(text) {
  if (text.trim() === "") return undefined;
  if (text.trim().startsWith("{")) return readText(text, "json");
  return text.split(",").flatMap((part) => {
    const [, first, last] = /^\s*(\d+)\s*-\s*(\d+)\s*$/.exec(part) ?? [];
    const length = Number(last) - Number(first) + 1;
    if (first === undefined || length < 1 || length > 10_000) return [readText(part, "json") ?? ""];
    return Array.from({ length }, (_, index) => Number(first) + index);
  });
}
