"""The client's types, from `openapi.yaml`: a class per schema that a response contains.

Enums are open and unknown fields are kept, so that the client also reads the responses of a newer
service (docs/decisions/0010). Run it after every change of the API: `python -m ops.client_types`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
OPENAPI = ROOT / "openapi.yaml"
PACKAGE = ROOT / "client" / "richregime"
REFERENCE = "#/components/schemas/"
RESULT_PATH = "/experiments/{experiment_id}/result"
WIDTH = 100
BASES = {"Metrics": "MetricTable", "AggregatedMetrics": "MetricTable"}
"""Base classes of models that have methods."""
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
ENUMS_HEAD = '''"""The enumerations of the API. A value that a newer service adds stays plain text.

Generated from `openapi.yaml` by `python -m ops.client_types`; do not edit.
"""

from __future__ import annotations

from enum import StrEnum
'''
TYPES_HEAD = '''"""The responses of the API as pydantic models.

Generated from `openapi.yaml` by `python -m ops.client_types`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

'''
TYPES_IMPORTS = """from richregime.metric_table import MetricTable
from richregime.resource import OpenEnum, Resource, json_default
"""
POINT_RESULT = (
    "The result of a point over its seeds: the fields that the points of every kind have."
)
RESULT = "The result of an experiment; the base of each kind's own class."

Schema = Mapping[str, Any]


def client_modules() -> dict[Path, str]:
    """The text of the client's generated modules, by path."""
    writer = _Writer(yaml.safe_load(OPENAPI.read_text(encoding="utf-8")))
    return {PACKAGE / "enums.py": writer.write_enums(), PACKAGE / "types.py": writer.write_types()}


def main() -> None:
    """Write the client's generated modules."""
    for path, text in client_modules().items():
        path.write_text(text, encoding="utf-8")


@dataclass
class _Writer:
    """Writes the classes of one OpenAPI description."""

    openapi: Schema
    aliases: dict[str, str] = field(default_factory=dict)
    """Definitions of unions that the next class uses, by name."""

    def write_enums(self) -> str:
        return ENUMS_HEAD + "".join(f"\n\n{self._enum(name)}\n" for name in self._enum_names())

    def write_types(self) -> str:
        results = self._result_mapping()
        points = {name: self._point_of(name) for name in results.values()}
        special = {"Result", *points, *points.values()}
        classes = [
            self._model(name, self.schemas[name])
            for name in self._ordered_names()
            if "enum" not in self.schemas[name] and name not in special and "Page_" not in name
        ]
        classes += self._results(points)
        enums = "".join(f"    {name},\n" for name in self._enum_names())
        imports = f"from richregime.enums import (\n{enums})\n{TYPES_IMPORTS}"
        listed = "".join(f'        "{kind}": {name},\n' for kind, name in results.items())
        table = (
            "RESULTS: Mapping[str, type[Result]] = MappingProxyType(\n    {\n"
            f'{listed}    }}\n)\n"""The class of the result of each kind."""\n'
        )
        blocks = "".join(f"\n\n{one}\n" for one in classes)
        return f"{TYPES_HEAD}{imports}{blocks}\n\n{table}"

    @property
    def schemas(self) -> Mapping[str, Schema]:
        schemas: Mapping[str, Schema] = self.openapi["components"]["schemas"]
        return schemas

    def _names(self) -> list[str]:
        """The schemas that a JSON response or an error contains, by name."""
        pending = [*_references(list(self._responses())), "Problem"]
        found: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += _references(self.schemas[name])
        return sorted(found)

    def _ordered_names(self) -> list[str]:
        """The same, each after those that it refers to.

        Otherwise pydantic would look the later names up when a class is first used, also among the
        names of the program that uses it.
        """
        ordered: dict[str, None] = {}

        def add(name: str) -> None:
            for inner in sorted(_references(self.schemas[name])):
                add(inner)
            ordered[name] = None

        for name in self._names():
            add(name)
        return list(ordered)

    def _responses(self) -> Iterator[Schema]:
        for operations in self.openapi["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if status.startswith("2"):
                        yield response.get("content", {}).get("application/json", {})

    def _enum_names(self) -> list[str]:
        return [name for name in self._names() if "enum" in self.schemas[name]]

    def _enum(self, name: str) -> str:
        schema = self.schemas[name]
        lines = [f"class {name}(StrEnum):"]
        if "description" in schema:
            lines += [_docstring(schema["description"]), ""]
        lines += [
            f'    {value.replace("-", "_").replace(".", "_").upper()} = "{value}"'
            for value in schema["enum"]
        ]
        return "\n".join(lines)

    def _result_mapping(self) -> dict[str, str]:
        """The schema of each kind's result, by kind."""
        operation = self.openapi["paths"][RESULT_PATH]["get"]
        content = operation["responses"]["200"]["content"]["application/json"]["schema"]
        (known,) = (one for one in content["anyOf"] if "oneOf" in one)
        return {
            kind: reference.removeprefix(REFERENCE)
            for kind, reference in known["discriminator"]["mapping"].items()
        }

    def _point_of(self, result: str) -> str:
        (name,) = _references(self.schemas[result]["properties"]["points"])
        return name

    def _results(self, points: Mapping[str, str]) -> Iterator[str]:
        """The bases `PointResult` and `Result`, and both classes of each kind."""
        shared = self._shared_properties(points.values())
        yield self._class("PointResult", "Resource", POINT_RESULT, shared)
        generic = self.schemas["Result"]
        yield self._class("Result", "Resource", RESULT, generic, points="PointResult")
        for result, point in points.items():
            yield self._model(point, self.schemas[point], "PointResult", shared["properties"])
            own = {
                **self.schemas[result],
                "properties": {
                    name: self.schemas[result]["properties"][name] for name in ("kind", "points")
                },
            }
            yield self._class(result, "Result", own["description"], own, points=point)

    def _shared_properties(self, names: Iterable[str]) -> Schema:
        """The properties that are equal in all of these schemas."""
        first, *others = (self.schemas[name] for name in names)
        shared = {
            name: schema
            for name, schema in first["properties"].items()
            if all(one["properties"].get(name) == schema for one in others)
        }
        return {"properties": shared, "required": first["required"]}

    def _model(
        self, name: str, schema: Schema, base: str = "", inherited: Schema | None = None
    ) -> str:
        own = {
            key: value
            for key, value in schema["properties"].items()
            if key not in (inherited or {})
        }
        description = schema.get("description", "")
        bases = base or BASES.get(name, "Resource")
        return self._class(name, bases, description, {**schema, "properties": own})

    def _class(
        self, name: str, bases: str, description: str, schema: Schema, points: str | None = None
    ) -> str:
        """points: the class of `points`, which is a tuple so that a kind's class may narrow it."""
        lines = [f"class {name}({bases}):"]
        if description:
            lines += [_docstring(description), ""]
        required = schema.get("required", ())
        for key, property_ in schema["properties"].items():
            if key == "points" and points is not None:
                annotation = f"tuple[{points}, ...]"
            else:
                annotation = self._annotation(property_, key)
            is_given = key in required and not (key == "name" and _is_tag(property_, key))
            default = "" if is_given else _default(property_)
            lines.append(f"    {key}: {annotation}{default}")
            if "description" in property_:
                lines.append(_docstring(property_["description"]))
        aliases = [f"{one}\n\n\n" for one in self.aliases.values()]
        self.aliases.clear()
        return "".join(aliases) + "\n".join(lines)

    def _annotation(self, schema: Schema, key: str = "") -> str:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REFERENCE)
            return f"OpenEnum[{name}]" if "enum" in self.schemas[name] else name
        if "anyOf" in schema:
            return _union(self._annotation(one, key) for one in schema["anyOf"])
        if "oneOf" in schema and self._has_tags(schema["oneOf"]):
            return self._alias(key, schema["oneOf"])
        if "oneOf" in schema:
            return _union(self._annotation(one, key) for one in schema["oneOf"])
        if "enum" in schema or "const" in schema:
            return self._literal(schema, key)
        if "prefixItems" in schema:
            items = ", ".join(self._annotation(one) for one in schema["prefixItems"])
            return f"tuple[{items}]"
        kind = schema.get("type")
        if kind == "array":
            return f"list[{self._annotation(schema['items'], key)}]"
        if kind == "object":
            return self._mapping(schema)
        if kind == "null":
            return "None"
        if schema.get("format") == "date-time":
            return "datetime"
        return SCALARS[kind] if kind else "Any"

    def _literal(self, schema: Schema, key: str) -> str:
        values = ", ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
        return f"Literal[{values}]{'' if _is_tag(schema, key) else ' | str'}"

    def _has_tags(self, members: Sequence[Schema]) -> bool:
        """Whether a union is chosen by a tag, and so may get members in a later version."""
        models = [self.schemas[name] for member in members for name in _references(member)]
        return any(
            _is_tag(property_, key)
            for model in models
            for key, property_ in model.get("properties", {}).items()
        )

    def _mapping(self, schema: Schema) -> str:
        key = self._annotation(schema["propertyNames"]) if "propertyNames" in schema else "str"
        values = [*schema.get("patternProperties", {}).values()]
        inner = schema.get("additionalProperties", values[0] if values else True)
        return f"dict[{key}, {'Any' if inner is True else self._annotation(inner)}]"

    def _alias(self, key: str, members: Sequence[Schema]) -> str:
        """A union that is chosen by a tag, under a name of its own; open by the plain object."""
        name = f"Any{key.title().replace('_', '')}"
        names = [*(self._annotation(one) for one in members), "dict[str, Any]"]
        union = "\n    | ".join(names)
        self.aliases[name] = (
            f'{name} = Annotated[\n    {union},\n    Field(union_mode="left_to_right"),\n]'
        )
        return name


def _is_tag(schema: Schema, key: str) -> bool:
    return "const" in schema and key in ("kind", "name")


def _references(schema: Any) -> list[str]:
    """The names that a schema refers to."""
    if isinstance(schema, Mapping):
        own = [schema["$ref"].removeprefix(REFERENCE)] if "$ref" in schema else []
        return own + [
            name
            for key, value in schema.items()
            if key != "discriminator"
            for name in _references(value)
        ]
    if isinstance(schema, list):
        return [name for one in schema for name in _references(one)]
    return []


def _union(members: Iterable[str]) -> str:
    parts = dict.fromkeys(part for member in members for part in member.split(" | "))
    return " | ".join(
        [*(part for part in parts if part != "None"), *(["None"] if "None" in parts else [])]
    )


def _default(schema: Schema) -> str:
    """The text after the annotation of a field that a response may leave out."""
    if "default" not in schema:
        if schema.get("type") == "object":
            return " = Field(default_factory=dict)"
        return " = None"
    value = schema["default"]
    if isinstance(value, list | dict):
        if value:
            return f" = json_default({json.dumps(value)!r})"
        return f" = Field(default_factory={type(value).__name__})"
    return f" = {json.dumps(value) if isinstance(value, str) else repr(value)}"


def _docstring(text: str) -> str:
    """The text in three quotes, indented, at most WIDTH columns."""
    paragraphs = [
        textwrap.fill(paragraph, WIDTH - 10, break_long_words=False, break_on_hyphens=False)
        for paragraph in text.strip().split("\n\n")
    ]
    lines = "\n\n".join(paragraphs).split("\n")
    if len(lines) > 1:
        lines.append("")
    return textwrap.indent(f'"""{chr(10).join(lines)}"""', "    ")


if __name__ == "__main__":
    main()
