"""Opaque cursors for keyset pagination."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from storage.errors import InvalidCursor

SortKey = str | float | None
"""What a row is sorted by; null sorts last"""


def encode_cursor(*keys: str | int) -> str:
    """A cursor that continues after the row with these keys."""
    return _encode(keys)


def encode_sorted_cursor(order: str, keys: Sequence[SortKey], row_id: str) -> str:
    """A cursor that continues after the row with these sort keys in a list with this order."""
    return _encode([order, *keys, row_id])


def decode_sorted_cursor(cursor: str, order: str, num_keys: int) -> tuple[list[SortKey], str]:
    """(sort keys, row id). Raises InvalidCursor, also for a cursor of another order."""
    found = _decode(cursor)
    if not isinstance(found, list) or len(found) != num_keys + 2 or found[0] != order:
        raise InvalidCursor(f"not a cursor of this list in this order: {cursor[:80]!r}")
    _, *keys, row_id = found
    if not (isinstance(row_id, str) and _is_storable(row_id) and all(map(_is_sort_key, keys))):
        raise InvalidCursor(f"not a cursor of this list: {cursor[:80]!r}")
    return keys, row_id


def decode_cursor(cursor: str, *types: type[str] | type[int]) -> list[str | int]:
    """The keys in a cursor. Raises InvalidCursor for text that `encode_cursor` did not make."""
    keys = _decode(cursor)
    if (
        not isinstance(keys, list)
        or len(keys) != len(types)
        or any(type(key) is not kind for key, kind in zip(keys, types, strict=True))
        or any(isinstance(key, str) and not (key.isascii() and key.isprintable()) for key in keys)
    ):
        raise InvalidCursor(f"not a cursor of this list: {cursor[:80]!r}")
    return keys


def _encode(keys: Sequence[Any]) -> str:
    text = json.dumps(keys, ensure_ascii=False, allow_nan=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str) -> Any:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return json.loads(
            base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True),
            parse_constant=_refuse_constant,
        )
    except (ValueError, binascii.Error, UnicodeError, RecursionError):
        raise InvalidCursor(f"not a cursor of this service: {cursor[:80]!r}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no sort key")


def _is_sort_key(key: Any) -> bool:
    if key is None or type(key) is float:
        return True
    return (type(key) is int and abs(key) < 2**53) or (isinstance(key, str) and _is_storable(key))


def _is_storable(text: str) -> bool:
    """Databases store no NUL; half a surrogate pair is not a character."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
