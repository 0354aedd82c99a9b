"""The guide's page of a kind: its README, and its spec, result, plots and presets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.kind import Kind

CONSTRAINTS = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


def kind_markdown(kind: Kind) -> str:
    """The page of one kind as Markdown."""
    presets = [f"| `{one.name}` | {one.scale} | {one.title} |" for one in kind.presets()]
    plots = [f"| `{plot.name}` | {plot.title} | {plot.description} |" for plot in kind.plots]
    parts = [
        _read_readme(kind) or f"# `{kind.name}`\n\n{kind.description}",
        "## Try it",
        f"```json\n{json.dumps(dict(kind.example), indent=2)}\n```",
        "## Spec",
        _fields_table(kind.spec.model_json_schema()),
        *_describe_parts(kind.spec.model_json_schema()),
        "## Result of a point",
        _fields_table(kind.point_result.model_json_schema()),
        "## Plots",
        "\n".join(["| name | title | description |", "|---|---|---|", *plots]),
    ]
    if presets:
        parts += ["## Presets", "\n".join(["| name | scale | title |", "|---|---|---|", *presets])]
    return "\n\n".join(parts) + "\n"


def _describe_parts(schema: Mapping[str, Any]) -> Iterator[str]:
    """A section for each part of the spec, with a table for each of its variants."""
    for name, field in schema["properties"].items():
        nodes = (field, *field.get("oneOf", ()), *field.get("anyOf", ()))
        variants = [_resolve(schema, one) for one in nodes]
        variants = [one for one in variants if one.get("properties")]
        if not variants:
            continue
        yield f"### `{name}`"
        for one in variants:
            yield from _describe_variant(schema, name, one, field.get("default") or {})


def _describe_variant(
    schema: Mapping[str, Any], path: str, variant: Mapping[str, Any], default: Mapping[str, Any]
) -> Iterator[str]:
    tag = variant["properties"].get("name", {}).get("const")
    text = str(variant.get("description", "")).partition("\n\n")[0].replace("\n", " ")
    if tag is None:
        yield text
    else:
        ending = " (default)" if tag == default.get("name") else ""
        yield f"**`{tag}`**{ending}: {text}"
    own = {name: one for name, one in variant["properties"].items() if "const" not in one}
    if own:
        yield _fields_table({"properties": own})
    for name, one in own.items():
        inner = _resolve(schema, one)
        if inner.get("properties"):
            yield f"#### `{path}.{name}`"
            yield from _describe_variant(schema, f"{path}.{name}", inner, {})


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node that it refers to, else itself; what stands beside the reference stays."""
    if "$ref" not in node:
        return node
    own = {name: value for name, value in node.items() if name != "$ref"}
    return {**schema["$defs"][node["$ref"].rpartition("/")[2]], **own}


def _read_readme(kind: Kind) -> str | None:
    """The README in the kind's folder; None if there is none."""
    package = find_spec(kind.plots_path.rpartition(".")[0])
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "README.md"
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    return None


def _fields_table(schema: Mapping[str, Any]) -> str:
    rows = ["| field | type | default | description |", "|---|---|---|---|"]
    for name, spec in schema["properties"].items():
        default = (
            "" if "default" not in spec else f"`{json.dumps(spec['default'], ensure_ascii=False)}`"
        )
        text = str(spec.get("description", "")).replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `{name}` | {_type_of(spec)} | {default} | {text} |")
    return "\n".join(rows)


def _type_of(spec: Mapping[str, Any]) -> str:
    if "$ref" in spec:
        return f"`{spec['$ref'].rpartition('/')[2]}`"
    for choice in ("oneOf", "anyOf"):
        if choice in spec:
            return " or ".join(dict.fromkeys(_type_of(one) for one in spec[choice]))
    if "enum" in spec or "const" in spec:
        return ", ".join(f"`{json.dumps(one)}`" for one in spec.get("enum", [spec.get("const")]))
    if spec.get("type") == "array":
        return f"list of {_type_of(spec.get('items', {}))}"
    limits = [f"{sign} {spec[name]}" for name, sign in CONSTRAINTS.items() if name in spec]
    return " ".join([str(spec.get("type", "any")), ", ".join(limits)]).strip()
