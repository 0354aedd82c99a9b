"""Reads a JSON body with bounds: size counted while it streams, depth, no NaN, no duplicate keys."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fastapi import Request

from api.problems import ProblemRaised
from engine.errors import FieldError
from schemas.problems import ProblemCode

MAX_DEPTH = 16


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body. Raises a 413 problem as soon as it is larger than `limit` bytes."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, f"the body is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in the body. Raises a 400 problem that says what is wrong with it."""
    try:
        value = json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ProblemRaised(400, ProblemCode.INVALID_REQUEST, f"the body is not JSON: {error}") from None
    except RecursionError:
        value = None
    except ValueError as error:
        raise ProblemRaised(
            400, ProblemCode.INVALID_REQUEST, f"the body is not usable JSON: {str(error)[:200]}"
        ) from None
    if value is None or _depth(value) > MAX_DEPTH:
        raise ProblemRaised(
            400, ProblemCode.INVALID_REQUEST, f"the body must be an object nested at most {MAX_DEPTH} deep"
        )
    if not isinstance(value, dict):
        raise ProblemRaised(
            422,
            ProblemCode.INVALID_SPEC,
            "the body must be an object",
            [FieldError("#", "object-required", "must be an object")],
        )
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _depth(value: Any) -> int:
    deepest, open_values = 0, [(value, 1)]
    while open_values:
        here, depth = open_values.pop()
        deepest = max(deepest, depth)
        if depth > MAX_DEPTH:
            return depth
        if isinstance(here, dict):
            open_values += [(inner, depth + 1) for inner in here.values()]
        elif isinstance(here, list):
            open_values += [(inner, depth + 1) for inner in here]
    return deepest
