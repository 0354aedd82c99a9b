"""Answers of the tools as text: short JSON, cuts with a pointer to the rest, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from richregime.enums import ProblemCode
from richregime.errors import ClientError, ProblemError
from richregime.types import Problem

MAX_CHARACTERS = 12_000
"""Of one answer; about 4,000 tokens"""
MAX_LINE_CHARACTERS = 100
MAX_RESOURCE_CHARACTERS = 40_000
"""Of a resource, which a program reads whole"""
MAX_ERRORS = 20
MAX_VALUE_CHARACTERS = 80
MAX_ERROR_CHARACTERS = 4_000
SIGNIFICANT_DIGITS = 6
NEXT_STEPS: Mapping[str, str] = {
    ProblemCode.NOT_READY: "call `wait` first",
    ProblemCode.NOT_FOUND: "`get` without an id lists experiments, `plot` without a name plots; "
    "`kinds`, `models` and `presets` list theirs",
    ProblemCode.UNAUTHORIZED: "the server needs a valid key: RICHREGIME_KEY, or over HTTP the "
    "header `Authorization: Bearer rrk_...`",
    ProblemCode.FORBIDDEN: "ask the operator for a key with that scope",
    ProblemCode.INVALID_SPEC: "mend each field; `describe` tells what it may hold",
    ProblemCode.LIMIT_EXCEEDED: "use a quick preset, fewer seeds or fewer swept values",
    ProblemCode.PLAN_TOO_LARGE: "sweep fewer values, or split the experiment",
    ProblemCode.RATE_LIMITED: "wait a minute",
}
"""What to do after a problem, by its code"""


class ToolFailure(Exception):
    """A tool cannot do what its arguments say; the message is the answer."""


def short_json(value: Any) -> str:
    """JSON with numbers of six digits, without null and empty values, in lines that fit a page."""
    return _lay_out(_shorten(value), "")


def _lay_out(value: Any, indent: str) -> str:
    """JSON on one line where it is short, else an item a line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= MAX_LINE_CHARACTERS or not isinstance(value, dict | list):
        return line
    inner = f"{indent} "
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {_lay_out(one, inner)}" for name, one in value.items()]
        opening, closing = "{}"
    else:
        items = [_lay_out(one, inner) for one in value]
        opening, closing = "[]"
        if all(not isinstance(one, dict | list) for one in value):
            return line  # a long list of numbers or names
    return f"{opening}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{closing}"


def _shorten(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _shorten(value.model_dump(mode="json"))
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, Mapping):
        short = {name: _shorten(inner) for name, inner in value.items()}
        return {name: inner for name, inner in short.items() if inner not in (None, [], {}, "")}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_shorten(inner) for inner in value]
    return value


def cut_resource(text: str, address: str) -> str:
    """The text, with at most MAX_RESOURCE_CHARACTERS characters and where the whole is."""
    if len(text) <= MAX_RESOURCE_CHARACTERS:
        return text
    shown = text[:MAX_RESOURCE_CHARACTERS]
    return f"{shown}\n[cut: {len(shown)} of {len(text)} characters; GET {address} returns all]"


def cut(text: str, offset: int, call: str, address: str | None) -> str:
    """The text from `offset` on, with at most MAX_CHARACTERS characters and how to get the rest.

    The cut is at the end of a line where there is one in the last half. `call` is the tool,
    `address` where a GET request returns the whole. Raises ToolFailure for an offset beyond the
    text.
    """
    if offset and offset >= len(text):
        raise ToolFailure(f"/offset: {offset} is beyond this answer of {len(text)} characters")
    end = offset + MAX_CHARACTERS
    if end >= len(text):
        return text[offset:]
    line_end = text.rfind("\n", offset + MAX_CHARACTERS // 2, end) + 1
    end = line_end or end
    rest = f"call {call} again with the same arguments and offset={end}"
    if address is not None:
        rest += f", or GET {address}"
    shown = text[offset:end]
    return f"{shown}\n[cut: characters {offset} to {end} of {len(text)}; for the rest {rest}]"


def invalid_arguments(tool: str, error: ValidationError, known: Sequence[str]) -> str:
    """Each wrong argument with its JSON pointer."""
    found = error.errors(include_url=False, include_context=False)
    lines = [f"{tool}: {len(found)} wrong argument{'s' * (len(found) > 1)}"]
    for one in found[:MAX_ERRORS]:
        pointer = "".join(f"/{_pointer_part(part)}" for part in one["loc"])
        given = f" (given: {_excerpt(one['input'])})" if one["type"] != "missing" else ""
        lines.append(f"  {pointer}: {one['msg']}{given}")
    if len(found) > MAX_ERRORS:
        lines.append(f"  and {len(found) - MAX_ERRORS} more")
    lines.append(f"arguments: {', '.join(known) or 'none'}")
    return "\n".join(lines)


def _pointer_part(part: str | int) -> str:
    text = str(part).replace("~", "~0").replace("/", "~1")
    return _excerpt_text(text)


def _excerpt(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)} items"
    if not isinstance(value, str):
        return repr(value)[:MAX_VALUE_CHARACTERS]
    return _excerpt_text(value) if len(value) > MAX_VALUE_CHARACTERS else repr(value)


def _excerpt_text(text: str) -> str:
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    return f"{text[:MAX_VALUE_CHARACTERS]!r}... of {len(text)} characters"


def failure_text(error: ClientError) -> str:
    """The error of the client, with the pointers of a problem and what to do next."""
    lines = [*_problem_lines(error.problem)] if isinstance(error, ProblemError) else [str(error)]
    text = "\n".join(lines)
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]}..."


def _problem_lines(problem: Problem) -> Iterator[str]:
    yield f"{problem.code} ({problem.status}): {problem.detail}"
    errors = problem.errors or []
    for error in errors[:MAX_ERRORS]:
        yield f"  {error.pointer}: {error.detail}"
    if len(errors) > MAX_ERRORS:
        yield f"  and {len(errors) - MAX_ERRORS} more"
    if problem.status >= 500 and problem.request_id:
        yield f"request {problem.request_id}"
    if problem.code in NEXT_STEPS:
        yield f"next: {NEXT_STEPS[problem.code]}"


def find_not_finite(value: Any, pointer: str = "") -> str | None:
    """The JSON pointer of the first number that JSON does not have, such as NaN."""
    if isinstance(value, float) and value - value != 0:
        return pointer
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)  # type: ignore[assignment]
    else:
        return None
    for name, one in inner:
        found = find_not_finite(one, f"{pointer}/{_pointer_part(name)}")
        if found is not None:
            return found
    return None
