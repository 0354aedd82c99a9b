"""A page for each kind: what its room says of it, and its form, result, plots and presets from the code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.kind import Kind

CONSTRAINTS = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}


def kind_markdown(kind: Kind) -> str:
    """The page of one kind."""
    presets = [f"| `{one.name}` | {one.scale} | {one.title} |" for one in kind.presets()]
    plots = [f"| `{plot.name}` | {plot.title} | {plot.description} |" for plot in kind.plots]
    parts = [
        _read_room(kind) or f"# `{kind.name}`\n\n{kind.description}",
        "## Try it",
        f"```json\n{json.dumps(dict(kind.example), indent=2)}\n```",
        "## Form",
        _fields_table(kind.spec.model_json_schema()),
        "## Result: a point",
        _fields_table(kind.point_result.model_json_schema()),
        "## Plots",
        "\n".join(["| name | title | what it shows |", "|---|---|---|", *plots]),
    ]
    if presets:
        parts += ["## Presets", "\n".join(["| name | scale | title |", "|---|---|---|", *presets])]
    return "\n\n".join(parts) + "\n"


def _read_room(kind: Kind) -> str | None:
    """The README of the room's folder."""
    package = find_spec(kind.plots_path.rpartition(".")[0])
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder) / "README.md"
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    return None


def _fields_table(schema: Mapping[str, Any]) -> str:
    rows = ["| field | type | default | what it is |", "|---|---|---|---|"]
    for name, form in schema["properties"].items():
        default = (
            "" if "default" not in form else f"`{json.dumps(form['default'], ensure_ascii=False)}`"
        )
        text = str(form.get("description", "")).replace("|", "\\|").replace("\n", " ")
        rows.append(f"| `{name}` | {_type_of(form)} | {default} | {text} |")
    return "\n".join(rows)


def _type_of(form: Mapping[str, Any]) -> str:
    if "$ref" in form:
        return f"`{form['$ref'].rpartition('/')[2]}`"
    for choice in ("oneOf", "anyOf"):
        if choice in form:
            return " or ".join(dict.fromkeys(_type_of(one) for one in form[choice]))
    if "enum" in form or "const" in form:
        return ", ".join(f"`{json.dumps(one)}`" for one in form.get("enum", [form.get("const")]))
    if form.get("type") == "array":
        return f"list of {_type_of(form.get('items', {}))}"
    limits = [f"{sign} {form[name]}" for name, sign in CONSTRAINTS.items() if name in form]
    return " ".join([str(form.get("type", "any")), ", ".join(limits)]).strip()
