"""The errors of the engine.

EngineError
├── InvalidSpec          the spec is invalid; lists every wrong field
├── DatasetUnavailable   the data is not on this machine and could not be downloaded
├── WeightsUnavailable   pretrained weights or a start checkpoint could not be loaded
├── ModelRejected        a net cannot be used; the message says why and where
├── OutputInUse          the output folder holds the results of another spec
├── OutOfMemory          the device has less memory than the run needs
└── RunStopped           the run was stopped from outside
    ├── RunCancelled     permanently; partial results are kept
    └── RunInterrupted   temporarily; its state is saved, so that it can resume
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from engine.spec_fields import UNKNOWN, explain_type, explain_unknown

MAX_EXPLAINED = 20
"""Unknown fields of a body that get a suggestion, as finding one takes time"""


class EngineError(Exception):
    """Base of all errors that the engine raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in a spec: an RFC 6901 pointer, a code and a message for the user."""

    pointer: str
    code: str
    detail: str


class InvalidSpec(EngineError):
    """The spec is invalid. Holds all errors found, not only the first."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__("; ".join(f"{e.pointer}: {e.detail}" for e in self.errors))

    @classmethod
    def single(cls, pointer: str, code: str, detail: str) -> InvalidSpec:
        return cls([FieldError(pointer, code, detail)])


class DatasetUnavailable(EngineError):
    """The data set is not on this machine; the message says what to do."""


class WeightsUnavailable(EngineError):
    """Initial weights could not be loaded or do not fit the model; the message says what to do."""


class ModelRejected(EngineError):
    """A net of torchvision or of a plug-in cannot be used; the message says why and where."""


class OutputInUse(EngineError):
    """The output folder holds the results of another spec; the message says what to do."""


class OutOfMemory(EngineError):
    """The device has less memory than the run needs."""


class RunStopped(EngineError):
    """The run was stopped from outside."""


class RunCancelled(RunStopped):
    """The run ends permanently; what it has logged so far is kept."""


class RunInterrupted(RunStopped):
    """The run ends temporarily; its state is saved and another attempt resumes it."""


def field_errors(
    errors: Sequence[Mapping[str, Any]],
    data: object,
    prefix: str = "#",
    model: type[BaseModel] | None = None,
) -> list[FieldError]:
    """Convert pydantic's errors to pointers into the document that the user sent.

    model: the model that was validated, for suggestions where a field is unknown.

    Pydantic's locations contain the tags of discriminated unions, which are not keys of the
    document: the value of `name` or `kind`, which walking the document along the location finds,
    or, where a union has no such field, a word in angle brackets.
    """
    found = []
    num_unknown = 0
    for error in errors:
        value = error.get("input")
        shown = ""
        if error["type"] not in ("missing", "extra_forbidden") and isinstance(
            value, int | float | str | bool
        ):
            text = repr(value)
            shown = f" (got {text if len(text) <= 80 else text[:77] + '...'})"
        message = explain_type(error, model)
        if error["type"] == "extra_forbidden" and model is not None:
            num_unknown += 1
            is_explained = num_unknown <= MAX_EXPLAINED
            message = explain_unknown(model, error["loc"]) if is_explained else UNKNOWN
        found.append(
            FieldError(_pointer(error["loc"], data, prefix), str(error["type"]), message + shown)
        )
    return found


def sort_by_document(errors: Iterable[FieldError], document: object) -> list[FieldError]:
    """The errors in the order of the document's fields, each once.

    The error of a missing field comes after those of the fields that the object has.
    """
    unique = list(dict.fromkeys(errors))
    root = _Place()
    for error in unique:
        place = root
        for part in error.pointer.split("/")[1:]:
            place = place.inner.setdefault(part, _Place())
    _number_values(document, root, 0)
    return sorted(unique, key=lambda error: _find_place(root, error.pointer))


@dataclass
class _Place:
    """A place that an error points to or through.

    Only these have pointers: a key may be as long as the document, and hold as many values.
    """

    first: int | None = None
    """The number of its value; None if the document has none there"""
    last: int = 0
    """The number of the last value within"""
    inner: dict[str, _Place] = field(default_factory=dict)


def _number_values(value: object, place: _Place | None, number: int) -> int:
    """Number the values in their order, from `number` on, and note it in the places.

    Returns the next number.
    """
    if place is not None:
        place.first = number
    number += 1
    inner: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for key, one in inner:
        its_place = None if place is None else place.inner.get(_escape(key))
        number = _number_values(one, its_place, number)
    if place is not None:
        place.last = number - 1
    return number


def _find_place(root: _Place, pointer: str) -> tuple[int, bool]:
    """The number to sort by, and whether the value is missing: then it comes after its object."""
    place = root
    for part in pointer.split("/")[1:]:
        inner = place.inner[part]
        if inner.first is None:
            return place.last, True
        place = inner
    assert place.first is not None
    return place.first, False


def _escape(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _pointer(location: Sequence[int | str], data: object, prefix: str) -> str:
    parts: list[str] = []
    here = data
    for part in location:
        if _is_tag(part, here):
            continue
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int):
            here = here[part] if part < len(here) else None
        else:
            here = None
        parts.append(_escape(part))
    return "/".join([prefix, *parts])


def _is_tag(part: int | str, here: object) -> bool:
    """Whether this part of a location is a union's tag and no key of the document."""
    fields = here if isinstance(here, Mapping) else {}
    if part in fields:
        return False
    in_brackets = str(part).startswith("<") and str(part).endswith(">")
    return in_brackets or (bool(fields) and part in (fields.get("name"), fields.get("kind")))
