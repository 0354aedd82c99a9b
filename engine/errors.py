"""Everything that can go wrong in the engine, as one small tree.

EngineError
├── InvalidSpec          the user's spec is wrong; names every field at once
├── DatasetUnavailable   the data is not on this machine and could not be downloaded
├── WeightsUnavailable   pretrained weights or a start checkpoint could not be loaded
├── OutOfMemory          the device has not the memory the run needs
└── RunStopped           the outside asked the run to end
    ├── RunCancelled     for good: partial results are kept
    └── RunInterrupted   for now: the run's state has been saved and it goes on elsewhere
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class EngineError(Exception):
    """Base of all errors the engine raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a spec: where (RFC 6901 pointer), what, and the words to show."""

    pointer: str
    code: str
    detail: str


class InvalidSpec(EngineError):
    """The spec is wrong. Holds all errors found, not only the first."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__("; ".join(f"{e.pointer}: {e.detail}" for e in self.errors))

    @classmethod
    def single(cls, pointer: str, code: str, detail: str) -> InvalidSpec:
        return cls([FieldError(pointer, code, detail)])


class DatasetUnavailable(EngineError):
    """The data set is not on this machine; the message says what to do about it."""


class WeightsUnavailable(EngineError):
    """Initial weights could not be loaded or do not fit the model; the message says what to do."""


class OutOfMemory(EngineError):
    """The device has not the memory that the run needs."""


class RunStopped(EngineError):
    """The outside asked the run to end."""


class RunCancelled(RunStopped):
    """The run ends for good; what it has logged so far is kept."""


class RunInterrupted(RunStopped):
    """The run ends for now; its state has been saved and it is resumed elsewhere."""


def field_errors(
    errors: Sequence[Mapping[str, Any]], data: object, prefix: str = "#"
) -> list[FieldError]:
    """Turn pydantic's error list into pointers into the document that the user sent.

    Pydantic's locations contain the tags of discriminated unions, which are no keys of the document; they are
    recognised by walking the document along the location.
    """
    found = []
    for error in errors:
        value = error.get("input")
        shown = ""
        if error["type"] not in ("missing", "extra_forbidden") and isinstance(
            value, int | float | str | bool
        ):
            text = repr(value)
            shown = f" (got {text if len(text) <= 80 else text[:77] + '...'})"
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append(
            FieldError(_pointer(error["loc"], data, prefix), str(error["type"]), message + shown)
        )
    return found


def _pointer(location: Sequence[int | str], data: object, prefix: str) -> str:
    parts: list[str] = []
    here = data
    for part in location:
        if isinstance(here, Mapping):
            if part not in here and part in (here.get("name"), here.get("kind")):
                continue  # a union's tag
            here = here.get(part)
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int):
            here = here[part] if part < len(here) else None
        else:
            here = None
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "/".join([prefix, *parts])
