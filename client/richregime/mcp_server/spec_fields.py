"""A JSON Schema as short text: one line for each field, with type, default, range and meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
BOUNDS = {"minimum": ">= ", "exclusiveMinimum": "> ", "maximum": "<= ", "exclusiveMaximum": "< "}
LENGTHS = {"minItems": "at least {} items", "maxItems": "at most {} items"}


def describe_fields(schema: Schema) -> str:
    """One line for each field of a spec; of a field with variants, the variants' names."""
    return "\n".join(_field_lines(schema, schema))


def describe_field(schema: Schema, name: str) -> str | None:
    """One field of a spec with the fields of each of its variants; None for an unknown name."""
    field = schema.get("properties", {}).get(name)
    if field is None:
        return None
    lines = [_line(schema, name, field)]
    for variant in _variants(schema, field):
        title = variant.get("properties", {}).get("name", {}).get("const")
        heading = f'{name} {{"name": "{title}"}}' if title else name
        lines += ["", f"{heading}: {variant.get('description', '')}".rstrip(": ")]
        lines += [f"  {line}" for line in _field_lines(schema, variant)]
    return "\n".join(lines)


def _field_lines(root: Schema, schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if "const" not in field:  # the name of a variant, which its heading has
            yield _line(root, name, field, is_required=name in required)


def _line(root: Schema, name: str, field: Schema, *, is_required: bool = False) -> str:
    found = _resolve(root, field)
    parts = [f"{name}: {_type(root, field)}"]
    if "default" in field:
        parts.append(f"= {json.dumps(field['default'], ensure_ascii=False)}")
    elif is_required:
        parts.append("(required)")
    if limits := _limits(root, field):
        parts.append(f"({limits})")
    meaning = field.get("description") or found.get("description")
    if meaning:
        parts.append(f"-- {' '.join(meaning.split())}")
    return " ".join(parts)


def _resolve(root: Schema, schema: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = root.get("$defs", {}).get(reference.rpartition("/")[2], {})
    return found


def _options(root: Schema, schema: Schema) -> list[Schema]:
    """The alternatives of a field, without null; the field itself where it has none."""
    found = _resolve(root, schema)
    options = found.get("anyOf") or found.get("oneOf")
    if options is None:
        return [] if found.get("type") == "null" else [found]
    return [one for option in options for one in _options(root, option)]


def _variants(root: Schema, schema: Schema) -> list[Schema]:
    """The alternatives that have fields of their own, also as items of a list."""
    found = []
    for option in _options(root, schema):
        inner = option.get("items")
        options = _options(root, inner) if option.get("type") == "array" and inner else [option]
        found += [one for one in options if "properties" in one]
    return found


def _type(root: Schema, schema: Schema) -> str:
    named = [name for one in _variants(root, schema) if (name := _name_of(one)) is not None]
    others = [_plain_type(root, one) for one in _options(root, schema) if _name_of(one) is None]
    names = [f"object with name {' | '.join(named)}"] if named and "list" not in others else []
    found = [*names, *dict.fromkeys(others)]
    if _is_nullable(root, schema):
        found.append("null")
    return " or ".join(found)


def _name_of(variant: Schema) -> str | None:
    name: str | None = variant.get("properties", {}).get("name", {}).get("const")
    return name


def _is_nullable(root: Schema, schema: Schema) -> bool:
    found = _resolve(root, schema)
    options = found.get("anyOf") or found.get("oneOf") or ()
    return any(option.get("type") == "null" for option in options)


def _plain_type(root: Schema, schema: Schema) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_type(root, schema.get('items', {}))}"
    if kind == "object" and "properties" in schema:
        return f"object with {', '.join(schema['properties'])}"
    return str(kind)


def _limits(root: Schema, schema: Schema) -> str:
    found = []
    for option in _options(root, schema):
        bounded = [option, option["items"]] if isinstance(option.get("items"), dict) else [option]
        for one in bounded:
            found += [f"{sign}{one[key]}" for key, sign in BOUNDS.items() if key in one]
        found += [text.format(option[key]) for key, text in LENGTHS.items() if key in option]
    return ", ".join(dict.fromkeys(found))
