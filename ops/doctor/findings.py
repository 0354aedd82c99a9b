"""What the doctor finds, how bad it is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from pydantic import BaseModel, ConfigDict


class Level(IntEnum):
    """Also the exit code of a check-up, by the worst of its findings."""

    OK = 0
    WARNING = 1
    """It works, and will not always."""
    WRONG = 2


class Finding(BaseModel):
    model_config = ConfigDict(frozen=True)

    level: Level
    about: str
    found: str
    todo: str | None = None


def ok(about: str, found: str) -> Finding:
    return Finding(level=Level.OK, about=about, found=found)


def warning(about: str, found: str, todo: str) -> Finding:
    return Finding(level=Level.WARNING, about=about, found=found, todo=todo)


def wrong(about: str, found: str, todo: str) -> Finding:
    return Finding(level=Level.WRONG, about=about, found=found, todo=todo)


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)
