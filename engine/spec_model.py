"""The base of every spec: frozen, strict types, no unknown fields, no NaN."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    PlainSerializer,
    Strict,
    Tag,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.errors import FieldError

Item = TypeVar("Item")

Many = Annotated[tuple[Item, ...], Strict(False)]
"""A tuple that also accepts a JSON list; a strict tuple would not."""
OBJECT, LIST, WORD, NUMBER = Tag("<object>"), Tag("<list>"), Tag("<word>"), Tag("<number>")
"""Mark the members of a union whose member `one_of` chooses."""
_JSON_TYPES: Mapping[type, str] = {
    dict: OBJECT.tag,
    list: LIST.tag,
    tuple: LIST.tag,
    str: WORD.tag,
    bool: NUMBER.tag,
    int: NUMBER.tag,
    float: NUMBER.tag,
}


def one_of(accepted: str, *words: str) -> Discriminator:
    """Chooses a union's member by the value's JSON type: OBJECT, LIST, WORD or NUMBER.

    accepted: what all members accept, for the error of any other value. words: the only texts.
    """

    def tag_of(value: object) -> str | None:
        kind = type(value)
        if kind is str and value not in words:
            return None
        if kind in _JSON_TYPES:
            return _JSON_TYPES[kind]
        return OBJECT.tag if isinstance(value, Mapping | BaseModel) else None

    return Discriminator(
        tag_of, custom_error_type="wrong-type", custom_error_message=f"must be {accepted}"
    )


def _require_tag(schema: dict[str, Any], model: type[SpecModel]) -> None:
    """A variant whose `name` is fixed requires it, unless the name may be left out."""
    if "const" in schema.get("properties", {}).get("name", {}) and not model.is_default_variant:
        schema["required"] = list(dict.fromkeys(["name", *schema.get("required", [])]))


class StrictModel(BaseModel):
    """A frozen value from outside: no unknown fields, no conversion of types, no NaN.

    Defaults are validated too, as a field that is given may forbid the default of another.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


class SpecModel(StrictModel):
    """A frozen, hashable, comparable value with strict types and no unknown fields."""

    is_default_variant: ClassVar[bool] = False
    """Whether a part of a spec without a `name` is this variant (`engine.spec_fields`)"""

    model_config = ConfigDict(json_schema_extra=_require_tag)


FOR_DIGEST = "for a digest"
"""The context of `model_dump` for a digest."""


def unordered(key: Callable[[Any], Any] | None = None) -> PlainSerializer:
    """Marks a list whose order means nothing: digests sort it by `key`, and hold no value twice.

    The spec itself keeps the list as it was sent, so that errors point into it.
    """

    def order(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(sorted(values, key=key)))

    # A function with a return type would replace the list's JSON schema.
    return PlainSerializer(
        lambda values, info: order(values) if info.context == FOR_DIGEST else values
    )


def layer_order(name: str) -> tuple[int, str]:
    """Sorts the names of layers, bottom first: `layers.2` before `layers.10`."""
    return len(name), name


def find_repeated(values: Sequence[Any], prefix: str = "") -> list[FieldError]:
    """An error for each value of a list that occurs before it."""
    first = {value: index for index, value in reversed(list(enumerate(values)))}
    return [
        FieldError(
            f"{prefix}{index}", "repeated", f"{value!r} occurs more than once; leave it out here"
        )
        for index, value in enumerate(values)
        if first[value] < index
    ]


def find_not_ascending(values: Sequence[float], prefix: str = "") -> list[FieldError]:
    """An error for each number of a list that is not larger than the one before it."""
    return [
        FieldError(
            f"{prefix}{index}",
            "not-ascending",
            f"{value} does not come after {before}; sort the list, each number once",
        )
        for index, (before, value) in enumerate(pairwise(values), start=1)
        if value <= before
    ]


def require_distinct(values: Any) -> Any:
    """A field's validator: refuses a list with a value that occurs twice."""
    if isinstance(values, list | tuple):
        refuse(SpecModel, find_repeated(values))
    return values


def require_ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """A field's validator: refuses a list that does not ascend strictly."""
    refuse(SpecModel, find_not_ascending(values))
    return values


def refuse(model: type[BaseModel], errors: Sequence[FieldError]) -> None:
    """Raise all errors at once as pydantic's, each at its field; none raises nothing.

    errors: with pointers below the model, such as `policy/table/0/epoch`.
    """
    if errors:
        raise ValidationError.from_exception_data(
            model.__name__, [_to_pydantic(error) for error in errors]
        )


def _to_pydantic(error: FieldError) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(error.code, "{detail}", {"detail": error.detail}),
        loc=tuple(int(part) if part.isdecimal() else part for part in error.pointer.split("/")),
        input=None,
    )


def find_numbers(value: Any, pointer: str) -> Iterator[tuple[str, int | float]]:
    """Each number in JSON values with its pointer, in their order."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            yield from find_numbers(inner, f"{pointer}/{escaped}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from find_numbers(inner, f"{pointer}/{index}")
    elif isinstance(value, int | float):
        yield pointer, value


def find_subnormals(value: Any, pointer: str) -> list[FieldError]:
    """An error for each number that is not zero but zero for a worker, which flushes subnormals."""
    return [
        FieldError(
            where,
            "subnormal",
            f"{number!r} is too small for a normal number; use 0 or at least 2.3e-308",
        )
        for where, number in find_numbers(value, pointer)
        if 0 < abs(number) < sys.float_info.min
    ]
