"""What the user chooses about an import; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.data.npz import NpzLimits
from engine.errors import FieldError, InvalidSpec

SHOWN_ERRORS = 10
"""Errors of one file that are listed"""
MAX_FILES = 200_000
"""Files in a folder of images"""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Choices about one file."""

    file_name: str = ""
    """As the user named the file; it is part of errors, and tells a table from other text"""
    label: str | None = None
    """Column of a table that holds the labels; None: the last"""
    test_share: float = 0.2
    """Share of each class that becomes the test set, where the file has none"""
    seed: int = 0
    """Draws the test set"""
    side: int | None = None
    """Images are scaled until their shorter side has so many pixels and cut to the central square;
    None: all must have one size already"""
    colour: Literal["auto", "grey", "colour"] = "auto"
    """auto: grey if all images are"""
    limits: NpzLimits = field(default_factory=NpzLimits)


class ErrorList:
    """Collects the first errors of a file, so that a user can repair several at once."""

    def __init__(self, options: ImportOptions) -> None:
        self._prefix = f"{options.file_name}: " if options.file_name else ""
        self._found: list[FieldError] = []
        self._left_out = 0

    def add(self, code: str, detail: str) -> None:
        """Remember the error, or count it where enough are listed."""
        if len(self._found) < SHOWN_ERRORS:
            self._found.append(FieldError("#/file", code, self._prefix + detail))
        else:
            self._left_out += 1

    def raise_if_any(self) -> None:
        """Raises InvalidSpec with all that were added."""
        if self._left_out:
            more = FieldError("#/file", "more", f"{self._prefix}{self._left_out:,} more errors")
            self._found.append(more)
        if self._found:
            raise InvalidSpec(self._found)


def refuse(options: ImportOptions, code: str, detail: str) -> InvalidSpec:
    """The error of a file that has only one."""
    prefix = f"{options.file_name}: " if options.file_name else ""
    return InvalidSpec.single("#/file", code, prefix + detail)
