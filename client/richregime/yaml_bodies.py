"""Bodies as YAML: read by the rules of YAML 1.2's core schema, so that they mean what JSON means.

Needs the extra `yaml`. PyYAML alone reads `1e-3` as text, `on` as true, `010` as eight and a date
as an object; none of these happens here.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any

from richregime.errors import ExtraMissing

NULL = re.compile(r"~|null|Null|NULL|")
BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
RULES = (
    ("null", NULL, [*"~nN", ""]),
    ("bool", BOOLEAN, [*"tTfF"]),
    ("int", INTEGER, [*"-+0123456789"]),
    ("float", NUMBER, [*"-+.0123456789"]),
)
"""Tag, pattern and first characters of what is no text; the first that fits counts"""
MAX_COLUMNS = 100


def read_yaml(text: str) -> Any:
    """The value of one YAML document, made of what JSON has.

    Raises ValueError for other documents, with the line: wrong YAML, a repeated key, a key that is
    no text, an anchor, a tag. Raises ExtraMissing.
    """
    yaml = _yaml()
    try:
        return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(_one_line(error)) from None


def write_yaml(value: Any) -> str:
    """A value of JSON as YAML, in the order of its fields. Raises ExtraMissing."""
    text: str = _yaml().dump(
        value,
        Dumper=_dumper(),
        sort_keys=False,
        allow_unicode=True,
        width=MAX_COLUMNS,
        default_flow_style=None,
    )
    return text


def _yaml() -> Any:
    try:
        return import_module("yaml")
    except ImportError:
        raise ExtraMissing("pyyaml", "yaml") from None


def _one_line(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split()) or "it is nested too deeply"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


@cache
def _loader() -> Any:
    yaml = _yaml()
    safe_loader: Any = yaml.SafeLoader

    class Loader(safe_loader):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML reads it here

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if getattr(event, "anchor", None) is not None:
                raise _error(yaml, event, "anchors and aliases are not read; write the value again")
            if getattr(event, "tag", None) is not None:
                raise _error(yaml, event, f"the tag {event.tag} is not read; leave it out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    raise _error(yaml, key_node, f'the key {key!r} is no text; write "{key}"')
                if key in found:
                    raise _error(yaml, key_node, f"the key {key!r} stands twice")
                found[key] = self.construct_object(value_node, deep=True)
            return found

    def construct_integer(loader: Any, node: Any) -> int:
        return int(loader.construct_scalar(node))

    def construct_number(loader: Any, node: Any) -> float:
        return float(loader.construct_scalar(node))

    for name, pattern, first in RULES:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{name}", _whole(pattern), first)
    Loader.add_constructor("tag:yaml.org,2002:int", construct_integer)
    Loader.add_constructor("tag:yaml.org,2002:float", construct_number)
    Loader.add_constructor(
        "tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True)
    )
    return Loader


@cache
def _dumper() -> Any:
    """Quotes what either these rules or those of PyYAML would read as something else."""
    yaml = _yaml()
    safe_dumper: Any = yaml.SafeDumper

    class Dumper(safe_dumper):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_text(dumper: Any, text: str) -> Any:
        style = None if text.isprintable() else '"'  # other styles fold some line ends
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    for name, pattern, first in RULES:
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{name}", _whole(pattern), first)
    return Dumper


def _whole(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"^(?:{pattern.pattern})$")


def _error(yaml: Any, found: Any, problem: str) -> Exception:
    error: Exception = yaml.constructor.ConstructorError(None, None, problem, found.start_mark)
    return error
