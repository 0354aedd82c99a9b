"""The JSON Schema of a submission, for editors: made from the description of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.experiments.registry import kinds

DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMPONENTS = "#/components/schemas/"


def make_submission_schema(description: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a body of `POST /experiments`, complete in itself.

    description: the OpenAPI description. Unlike there, kinds and variants are conditions on `kind`
    and `name`, so that an editor tells what is wrong in the one that the author chose; and a body
    may have `$schema`.
    """
    components = description["components"]["schemas"]
    own = dict(components["Submission"])
    by_kind = own["properties"]["spec"]["discriminator"]["mapping"]
    own["properties"] = {
        "$schema": {"type": "string", "description": "Address or file of this schema."},
        **own["properties"],
        "spec": _spec_schema(own["properties"]["spec"]["description"], by_kind),
    }
    own["required"] = ["spec"]
    needed: dict[str, Any] = {}
    pending = [*_references(own)]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed[name] = components[name]
            pending += _references(components[name])
    schema = {"$schema": DIALECT, **own, "$defs": dict(sorted(needed.items()))}
    adapted: dict[str, Any] = _adapt(schema, components)
    return adapted


def _spec_schema(meaning: str, by_kind: Mapping[str, str]) -> dict[str, Any]:
    return {
        "description": meaning,
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": [*kinds()], "description": "What is studied."}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": reference},
            }
            for name, reference in by_kind.items()
        ],
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].removeprefix(COMPONENTS)
        for name, inner in value.items():
            if name != "discriminator":
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _adapt(value: Any, components: Mapping[str, Any]) -> Any:
    """With references to `$defs`, conditions for variants, and without OpenAPI's own keyword."""
    if isinstance(value, list):
        return [_adapt(inner, components) for inner in value]
    if not isinstance(value, dict):
        return value
    adapted = {
        name: inner.replace(COMPONENTS, "#/$defs/")
        if name == "$ref" and isinstance(inner, str)
        else _adapt(inner, components)
        for name, inner in value.items()
        if name != "discriminator"
    }
    if variants := _find_variants(value.get("oneOf"), components):
        del adapted["oneOf"]
        default = value.get("default")
        adapted |= _choose_by_name(
            variants, default.get("name") if isinstance(default, dict) else None
        )
    return adapted


def _find_variants(
    options: Any, components: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]] | None:
    """The reference of each variant by its name, of that with free names by the empty text.

    None where the options are not told apart by `name`.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for option in options or ():
        reference = option.get("$ref", "")
        fields = components.get(reference.removeprefix(COMPONENTS), {}).get("properties", {})
        if "name" not in fields:
            return None
        found[fields["name"].get("const", "")] = {"$ref": reference.replace(COMPONENTS, "#/$defs/")}
    return found or None


def _choose_by_name(
    variants: Mapping[str, Mapping[str, Any]], default: str | None
) -> dict[str, Any]:
    """Conditions that apply the variant of the name; without a name, the default."""
    known = [name for name in variants if name]
    conditions = [_if_name({"const": name}, variants[name]) for name in known]
    if "" in variants:
        names: dict[str, Any] = {"anyOf": [{"enum": known}, {"type": "string"}]}
        conditions.append(_if_name({"not": {"enum": known}}, variants[""]))
    else:
        names = {"enum": known}
    chosen: dict[str, Any] = {"type": "object", "properties": {"name": names}, "allOf": conditions}
    if default is None:
        return {**chosen, "required": ["name"]}
    conditions.append({"if": {"not": {"required": ["name"]}}, "then": variants[default]})
    return chosen


def _if_name(is_name: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    return {"if": {"properties": {"name": is_name}, "required": ["name"]}, "then": then}
