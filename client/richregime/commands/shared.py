"""What all commands share: their options, exit codes, and errors told with what to do next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum, StrEnum
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from richregime.client import Client
from richregime.connection import URL_VARIABLE
from richregime.errors import (
    ClientError,
    ExtraMissing,
    ProblemError,
    ServiceUnreachable,
    WaitTimeout,
)
from schemas.problems import ProblemCode
from schemas.status import ExperimentStatus, FailureReason

PROGRAM = os.environ.get("RICHREGIME_PROGRAM", "richregime")
"""What hints call the command line: `./run` says that it was called so."""


class ExitCode(IntEnum):
    """What a script learns from a command's end."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    REFUSED = 4
    """The service said no: a bad spec, an unknown id."""
    UNREACHABLE = 5
    TIMED_OUT = 6
    """The experiment goes on; only the waiting ended."""


class Scale(StrEnum):
    QUICK = "quick"
    PAPER = "paper"


EXIT_CODES = {
    ExperimentStatus.SUCCEEDED: ExitCode.SUCCEEDED,
    ExperimentStatus.FAILED: ExitCode.FAILED,
    ExperimentStatus.CANCELLED: ExitCode.CANCELLED,
}
AFTER_A_PROBLEM: Mapping[str, str] = {
    ProblemCode.NOT_READY: f"it has not come so far: `{PROGRAM} watch ID` waits for it",
    ProblemCode.UNAUTHORIZED: f"give a key that holds: RICHREGIME_KEY, or `{PROGRAM} --key KEY ...`",
    ProblemCode.NOT_FOUND: f"`{PROGRAM} list` shows what is there",
    ProblemCode.LIMIT_EXCEEDED: f"`{PROGRAM} limits` tells the limits; a quick preset or fewer seeds and values may fit",
    ProblemCode.PLAN_TOO_LARGE: "sweep fewer values, or submit it in parts",
    ProblemCode.UNREADABLE: f"`{PROGRAM} delete ID` and submit it again, or bring the row back from a copy of the database",
    ProblemCode.INVALID_SPEC: f"`{PROGRAM} kinds NAME` shows the form with every default",
}
"""What to do next, by problem code"""
AFTER_A_FAILURE: Mapping[FailureReason, str] = {
    FailureReason.OUT_OF_MEMORY: 'put fewer seeds into a run (`"execution": {"seeds_per_run": 1}`), or a smaller net or batch',
    FailureReason.TIMEOUT: "raise `max_seconds`, or train for fewer epochs",
    FailureReason.WORKER_LOST: f"look at the worker's log, then `{PROGRAM} retry ID`: runs go on from their last checkpoint",
    FailureReason.STORAGE_FULL: f"make room (`{PROGRAM} gc`), then `{PROGRAM} retry ID`",
    FailureReason.DATASET_UNAVAILABLE: f"put the data set in place or allow downloads (docs/reference/settings.md), then `{PROGRAM} retry ID`",
}
"""What to do next, by the reason of a failure"""

Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar=URL_VARIABLE, help="The service's address.", show_default="this machine's"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
given_key: ContextVar[str | None] = ContextVar("given_key", default=None)
"""The option `--key`, which stands before the command and not among each one's own"""
Timeout = Annotated[float | None, typer.Option(help="Stop waiting after so many seconds.")]


@contextmanager
def talking_to(url: str | None) -> Iterator[Client]:
    """A client whose errors end the command readably, with an exit code that says which."""
    try:
        with Client(url, key=given_key.get(), max_retries=3) as client:
            yield client
    except ClientError as error:
        print(error, file=sys.stderr)
        if isinstance(error, ProblemError) and error.problem.code in AFTER_A_PROBLEM:
            say(AFTER_A_PROBLEM[error.problem.code])
        raise typer.Exit(_exit_code_of(error)) from None


def say(text: str) -> None:
    """A hint for whoever reads; never among what a script reads."""
    print(f"→ {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """A resource, a list of them, or plain values."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _exit_code_of(error: ClientError) -> ExitCode:
    match error:
        case ProblemError():
            return ExitCode.REFUSED
        case ServiceUnreachable():
            return ExitCode.UNREACHABLE
        case WaitTimeout():
            return ExitCode.TIMED_OUT
        case ExtraMissing():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
