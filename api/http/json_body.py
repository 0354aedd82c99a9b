"""Reads and checks a JSON body: size, depth, finite numbers, storable text, distinct keys."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any

from fastapi import Depends, Request

from api.http.problems import ProblemRaised
from engine.errors import FieldError
from schemas.problems import ProblemCode

MAX_DEPTH = 16
MAX_ERRORS = 100
"""Errors listed in one response"""
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
MAX_SHOWN_KEY = 200
DRAINED_BODIES = 16
"""A body over the limit is read on, up to this many times the limit: a client that is still
sending would not read the response."""


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body. Raises a 413 problem over `limit` bytes, of which no more are kept."""
    parts: list[bytes] = []
    total = 0
    async for part in request.stream():
        total += len(part)
        if total <= limit:
            parts.append(part)
        elif total > DRAINED_BODIES * limit:
            break
    if total > limit:
        raise ProblemRaised(
            413, ProblemCode.PAYLOAD_TOO_LARGE, f"the body is larger than {limit:,} bytes"
        )
    return b"".join(parts)


async def _body(request: Request) -> bytes:
    limit: int = request.app.state.richregime.settings.max_body_bytes
    return await read_bytes(request, limit)


BodyDep = Annotated[bytes, Depends(_body)]


class _RepeatedKeys(dict[str, Any]):
    """An object with repeated keys."""

    repeated_keys: tuple[str, ...] = ()


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in the body, which is UTF-8, with or without a byte order mark.

    Raises a 400 problem where the body is not JSON, and a 422 problem with a pointer to every
    value that no field may hold.
    """
    errors: list[FieldError] = []
    value: Any = None
    try:
        value = json.loads(_decode(body), object_pairs_hook=_gather)
    except RecursionError:
        errors = [FieldError("#", "too-deep", f"nested deeper than {MAX_DEPTH}")]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ProblemRaised(
            400, ProblemCode.INVALID_REQUEST, f"the body is not JSON: {error}"
        ) from None
    except ValueError as error:
        detail = f"the body is not usable JSON: {str(error)[:200]}"
        raise ProblemRaised(400, ProblemCode.INVALID_REQUEST, detail) from None
    errors = errors or list(islice(_find_errors(value, 1), MAX_ERRORS))
    if not errors and not isinstance(value, dict):
        errors = [FieldError("#", "object-required", "the body must be an object")]
    if errors:
        raise ProblemRaised(422, ProblemCode.INVALID_SPEC, "the body is wrong; see errors", errors)
    assert isinstance(value, dict)
    return value


def _decode(body: bytes) -> str:
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):
        name = encoding[:6].upper()
        detail = (
            f"the body is {name}, and JSON must be UTF-8; save the file as UTF-8 and send it again "
            f"(`iconv -f {name} -t UTF-8`, or in PowerShell `Set-Content -Encoding utf8`)"
        )
        raise ProblemRaised(400, ProblemCode.INVALID_REQUEST, detail)
    return body.decode("utf-8-sig")


def _gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeated = _RepeatedKeys(pairs)
    counts = Counter(name for name, _ in pairs)
    repeated.repeated_keys = tuple(name for name, count in counts.items() if count > 1)
    return repeated


def _find_errors(value: Any, depth: int) -> Iterator[FieldError]:
    """The errors in a value, with pointers from it.

    A pointer is made for an error only: a key may be as long as the body, and hold as many values.
    """
    match value:
        case dict() | list() if depth > MAX_DEPTH:
            yield FieldError("#", "too-deep", f"nested deeper than {MAX_DEPTH}")
        case dict():
            for name in value.repeated_keys if isinstance(value, _RepeatedKeys) else ():
                yield FieldError(_join("#", name), "duplicate-key", "the key is repeated")
            for name, inner in value.items():
                yield from _find_text_errors(name)
                for error in _find_errors(inner, depth + 1):
                    yield replace(error, pointer=_join("#", name) + error.pointer[1:])
        case list():
            for index, inner in enumerate(value):
                for error in _find_errors(inner, depth + 1):
                    yield replace(error, pointer=f"#/{index}{error.pointer[1:]}")
        case float() if value != value or value in (float("inf"), float("-inf")):
            yield FieldError("#", "finite_number", "must be a finite number")
        case str():
            yield from _find_text_errors(value)


def _find_text_errors(text: str) -> Iterator[FieldError]:
    """Databases store no NUL; half a surrogate pair is not a character."""
    if UNSTORABLE.search(text):
        yield FieldError("#", "text", "text may hold neither NUL nor half of a surrogate pair")


def _join(pointer: str, name: str) -> str:
    """The pointer to a key, which is shown up to MAX_SHOWN_KEY characters."""
    shown = name[:MAX_SHOWN_KEY].encode("utf-8", "backslashreplace").decode()
    return f"{pointer}/{shown.replace('~', '~0').replace('/', '~1')}"
