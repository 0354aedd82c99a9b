"""Nets of plug-ins as data: name, arguments, identity of the code. Imports no torch.

A worker reads the plug-ins' code; all else knows them by what is described here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from engine.errors import FieldError, InvalidSpec, field_errors
from engine.models.spec import BUILT_IN_MODELS, ModelSpec, PluginSpec, closest
from engine.spec_model import Many, SpecModel

ARGUMENT_TYPES: Mapping[str, type] = {
    "integer": int,
    "number": float,
    "boolean": bool,
    "string": str,
}
"""Python's type by JSON Schema's name: those that an argument can have, also in a list"""
MAX_ITEMS = 100
_MODEL: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


@dataclass(frozen=True, slots=True)
class PluginArgument:
    """One keyword argument of a plug-in's function."""

    name: str
    type: Literal["integer", "number", "boolean", "string"]
    default: Any = None
    is_required: bool = False
    is_list: bool = False
    is_nullable: bool = False
    choices: tuple[Any, ...] = ()
    """The valid values; empty where any of the type is"""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    """Bounds that are not valid values themselves"""

    def __post_init__(self) -> None:
        if isinstance(self.default, list):
            object.__setattr__(self, "default", tuple(self.default))

    def annotation(self) -> Any:
        """The type of a pydantic field."""
        one: Any = Literal[self.choices] if self.choices else ARGUMENT_TYPES[self.type]
        bounds = {"ge": self.minimum, "le": self.maximum, "gt": self.above, "lt": self.below}
        given: dict[str, Any] = {name: at for name, at in bounds.items() if at is not None}
        if given:
            one = Annotated[one, Field(**given)]
        if self.is_list:
            one = Annotated[Many[one], Field(max_length=MAX_ITEMS)]
        return one | None if self.is_nullable else one


@dataclass(frozen=True, slots=True)
class PluginModel:
    """A net that a plug-in offers."""

    name: str
    source: str
    """Identity of its code: `sha256:...` of the file, or `distribution==version`"""
    origin: str
    """The file or the distribution"""
    description: str = ""
    arguments: tuple[PluginArgument, ...] = ()

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the `model` of a spec."""
        described = _fields_of(self).model_json_schema()
        properties = {"name": {"const": self.name, "type": "string"}, **described["properties"]}
        return {**described, "properties": properties, "description": self.description}

    def find_wrong_defaults(self) -> list[str]:
        """For each default that its field would not accept, its name and why."""
        try:
            _fields_of(self).model_validate({})
        except ValidationError as error:
            return [
                f"{'.'.join(map(str, one['loc']))} is wrong: {one['msg']}"
                for one in error.errors(include_url=False)
                if one["type"] != "missing"
            ]
        return []


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """Why a plug-in, or one of its nets, cannot be used."""

    origin: str
    message: str
    """With file and line"""
    name: str | None = None
    """Of the net; None where the whole plug-in cannot be read"""


@dataclass(frozen=True, slots=True)
class PluginModels:
    """All that the plug-ins offer."""

    models: Mapping[str, PluginModel] = field(default_factory=dict)
    problems: tuple[PluginProblem, ...] = ()

    def names(self) -> frozenset[str]:
        """The names of the nets, those that cannot be used included."""
        broken = {one.name for one in self.problems if one.name is not None}
        return frozenset(self.models) | broken


class _Arguments(SpecModel):
    """Of a plug-in's net. Made of no source text, so pydantic need not look for docstrings."""

    model_config = ConfigDict(use_attribute_docstrings=False)


@lru_cache(maxsize=256)
def _fields_of(plugin: PluginModel) -> type[BaseModel]:
    fields: dict[str, Any] = {
        one.name: (one.annotation(), ... if one.is_required else one.default)
        for one in plugin.arguments
    }
    return create_model(plugin.name, __base__=_Arguments, **fields)


def complete_model(
    model: PluginSpec, known: PluginModels, pointer: str = "#/spec/model"
) -> PluginSpec:
    """The model with all arguments and the identity of its code.

    Raises InvalidSpec for a net that no plug-in offers, and with every invalid argument. A model
    that has a `source` was complete at its submission: if the plug-in has changed since or is gone,
    it is returned as it is, and a worker refuses to build it.
    """
    plugin = known.models.get(model.name)
    if plugin is None or (model.source is not None and model.source != plugin.source):
        if model.source is not None:
            return model
        raise InvalidSpec([_unknown(model.name, known, pointer)])
    fields = _fields_of(plugin)
    try:
        values = fields.model_validate(model.arguments)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise InvalidSpec(field_errors(found, model.arguments, pointer, fields)) from None
    return PluginSpec(name=model.name, source=plugin.source, **values.model_dump(mode="json"))


def parse_model(data: Any, known: PluginModels, pointer: str = "#/fields") -> ModelSpec:
    """A model from JSON values, with all defaults. Raises InvalidSpec with every invalid field."""
    try:
        model = _MODEL.validate_python(data)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors(include_url=False), data, pointer)) from None
    return complete_model(model, known, pointer) if isinstance(model, PluginSpec) else model


def _unknown(name: str, known: PluginModels, pointer: str) -> FieldError:
    for problem in known.problems:
        if problem.name == name:
            return FieldError(
                f"{pointer}/name", "broken-plug-in", f"{problem.origin}: {problem.message}"
            )
    names = [*BUILT_IN_MODELS, *known.models]
    unread = [one for one in known.problems if one.name is None]
    broken = "".join(f" {one.origin} cannot be read: {one.message}." for one in unread[:3])
    return FieldError(
        f"{pointer}/name",
        "unknown-model",
        f"there is no model {name[:80]!r}; did you mean {' or '.join(closest(name, names))}? "
        f"Known: {', '.join(sorted(names))}.{broken}",
    )
