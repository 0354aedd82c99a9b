"""The path below which a proxy serves the service, such as `/lab`."""

from __future__ import annotations

import re

MAX_CHARACTERS = 200
ROOT_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*")


def parse_root_path(text: str) -> str:
    """The path without a slash at its end; empty for `/` and for an empty text.

    Raises ValueError for a path that does not begin with `/`, or is longer than `MAX_CHARACTERS`,
    or has other characters than letters, digits, `-`, `.`, `_` and `~` between its slashes.
    """
    path = text.strip().removesuffix("/")
    if len(path) > MAX_CHARACTERS or not ROOT_PATH.fullmatch(path):
        raise ValueError(
            f"{text[:80]!r} is not the path below which a proxy serves the service; it is like "
            f"'/lab', with letters, digits and -._~, and at most {MAX_CHARACTERS} characters"
        )
    return path
