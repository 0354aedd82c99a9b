"""Output on terminals that cannot show every character: such characters are replaced."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Mapping

HANDLER = "richregime.replace"
REPLACEMENTS: Mapping[str, str] = {
    "→": "->",
    "±": "+-",
    "×": "x",
    "−": "-",
    "–": "-",
    "…": "...",
    **dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True)),
}
"""What the commands print, in ASCII; other characters are escaped like `\\u2713`."""


def replace_unknown_characters() -> None:
    """Let standard output and standard error replace characters that they cannot encode."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def shows_every_character() -> bool:
    """Whether standard output is in an encoding of Unicode."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    replaced = [REPLACEMENTS.get(one) or _escape(one) for one in unknown]
    return "".join(replaced), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")
