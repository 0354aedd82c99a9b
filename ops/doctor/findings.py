"""The findings of the doctor: what was checked, how bad the finding is, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from runtime.logs import hide_secrets

Text = Annotated[str, AfterValidator(hide_secrets)]
"""Without passwords of addresses and other secrets"""


class Level(IntEnum):
    """How bad a finding is; the highest one is the exit code of the command."""

    OK = 0
    WARNING = 1
    """It works now and may fail later."""
    ERROR = 2


class Finding(BaseModel):
    model_config = ConfigDict(frozen=True)

    level: Level
    subject: str
    """What was checked, in one word"""
    message: Text
    action: Text | None = None
    """What to do; None if all is well"""


def ok(subject: str, message: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, message=message)


def warning(subject: str, message: str, action: str) -> Finding:
    return Finding(level=Level.WARNING, subject=subject, message=message, action=action)


def error(subject: str, message: str, action: str) -> Finding:
    return Finding(level=Level.ERROR, subject=subject, message=message, action=action)


def worst_level(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)
