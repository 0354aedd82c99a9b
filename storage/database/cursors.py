"""Opaque cursors for keyset pagination."""

from __future__ import annotations

import base64
import binascii
import json

from storage.errors import InvalidCursor


def encode_cursor(*keys: str | int) -> str:
    """A cursor that continues after the row with these keys."""
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type[str] | type[int]) -> list[str | int]:
    """The keys in a cursor. Raises InvalidCursor for text that `encode_cursor` did not make."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        keys = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, UnicodeError, RecursionError):
        raise InvalidCursor(f"not a cursor of this service: {cursor[:80]!r}") from None
    if (
        not isinstance(keys, list)
        or len(keys) != len(types)
        or any(type(key) is not kind for key, kind in zip(keys, types, strict=True))
        or any(isinstance(key, str) and not (key.isascii() and key.isprintable()) for key in keys)
    ):
        raise InvalidCursor(f"not a cursor of this list: {cursor[:80]!r}")
    return keys
