"""What all commands share: options, exit codes, error messages with the next step."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from richregime.connection import URL_VARIABLE
from richregime.enums import ExperimentStatus, FailureReason, ProblemCode
from richregime.errors import (
    ClientError,
    ExtraMissing,
    InvalidArgument,
    InvalidConnection,
    ProblemError,
    ServiceUnreachable,
    WaitTimeout,
)
from richregime.terminal import shows_every_character

if TYPE_CHECKING:
    from richregime.client import Client
    from richregime.types import Problem

PROGRAM = os.environ.get("RICHREGIME_PROGRAM", "richregime")
"""The program's name in hints; `./run` sets it to its own path."""

PIPE_WIDTH = 400
"""The width of output that is not a terminal, so that names are not cut and can be searched."""


class ExitCode(IntEnum):
    """The exit codes of the commands."""

    SUCCEEDED = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    REFUSED = 4
    """The service returned an error: an invalid spec, an unknown id."""
    UNREACHABLE = 5
    TIMED_OUT = 6
    """The experiment continues; only the waiting ended."""
    UNDECIDED = 7
    """No claim is refuted, but one is not decided, or the experiment has not succeeded."""


class Scale(StrEnum):
    """The scales of a preset."""

    QUICK = "quick"
    PAPER = "paper"


EXIT_CODES: Mapping[str, ExitCode] = {
    ExperimentStatus.SUCCEEDED: ExitCode.SUCCEEDED,
    ExperimentStatus.FAILED: ExitCode.FAILED,
    ExperimentStatus.CANCELLED: ExitCode.CANCELLED,
}
AFTER_A_PROBLEM: Mapping[str, str] = {
    ProblemCode.NOT_READY: f"`{PROGRAM} watch ID` waits for the result",
    ProblemCode.UNAUTHORIZED: f"set RICHREGIME_KEY to a valid key, or use `{PROGRAM} --key`",
    ProblemCode.LIMIT_EXCEEDED: f"`{PROGRAM} limits` lists the limits; a quick preset, fewer seeds "
    "or fewer values may fit",
    ProblemCode.PLAN_TOO_LARGE: "sweep fewer values, or split the experiment",
    ProblemCode.UNREADABLE: f"`{PROGRAM} delete ID` and submit it again, or restore the row from a "
    "backup of the database",
}
"""The next step, by problem code; see also `_next_step`."""
AFTER_A_FAILURE: Mapping[str, str] = {
    FailureReason.OUT_OF_MEMORY: "use fewer seeds per run "
    '(`"execution": {"seeds_per_run": 1}`), a smaller net or a smaller batch',
    FailureReason.TIMEOUT: "increase `max_seconds`, or train for fewer epochs",
    FailureReason.WORKER_LOST: f"see the worker's log, then `{PROGRAM} retry ID`: runs resume from "
    "their last checkpoint",
    FailureReason.STORAGE_FULL: f"free disk space (`{PROGRAM} gc`), then `{PROGRAM} retry ID`",
    FailureReason.WEIGHTS_UNAVAILABLE: "put the weights in place or allow downloads "
    f"(docs/reference/settings.md), then `{PROGRAM} retry ID`",
    FailureReason.MODEL_REJECTED: f"see `{PROGRAM} plugins`; bring the code back and "
    f"`{PROGRAM} retry ID`, or submit again",
    FailureReason.DATASET_UNAVAILABLE: "install the data set or allow downloads "
    f"(docs/reference/settings.md), then `{PROGRAM} retry ID`",
}
"""The next step, by the reason of a failure."""

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar=URL_VARIABLE,
        help="The address of the service.",
        show_default="this machine's",
    ),
]
PresetReading = Annotated[
    str | None,
    typer.Option(
        "--reading",
        help="A reading of the paper: printed, trainable, first_epoch or few_steps.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OnlyKind = Annotated[str | None, typer.Option("--kind", help="Only this kind.")]
OnlyStatus = Annotated[ExperimentStatus | None, typer.Option("--status", help="Only this status.")]
OnlyLabel = Annotated[
    str | None,
    typer.Option(
        "--label",
        help=r"Only with this label: key, key=value or key:value; a colon in the key is `\:`.",
    ),
]
Search = Annotated[str | None, typer.Option("--search", help="Text in the name or the id.")]
given_key: ContextVar[str | None] = ContextVar("given_key", default=None)
"""The value of `--key`, which is an option of the program, not of a command."""
Timeout = Annotated[float | None, typer.Option(help="Stop waiting after this many seconds.")]


@contextmanager
def open_client(url: str | None) -> Iterator[Client]:
    """A client whose errors are printed and end the command with an exit code."""
    from richregime.client import Client

    try:
        with Client(url, key=given_key.get(), max_retries=3) as client:
            yield client
    except ClientError as error:
        print(error, file=sys.stderr)
        if isinstance(error, ProblemError) and (hint := _next_step(error.problem)):
            print_hint(hint)
        raise typer.Exit(_exit_code_of(error)) from None


def _next_step(problem: Problem) -> str | None:
    """The hint for a problem, by its code and by what it is about."""
    path, pointers = problem.instance or "", [one.pointer for one in problem.errors or []]
    match problem.code:
        case ProblemCode.INVALID_SPEC if any(one.startswith("#/spec") for one in pointers):
            return f"`{PROGRAM} kinds NAME` shows the spec with every default"
        case ProblemCode.NOT_FOUND if path.startswith("/experiments"):
            return f"`{PROGRAM} list` lists the experiments"
        case ProblemCode.NOT_FOUND if path.startswith("/models"):
            return f"`{PROGRAM} plugins` tells what workers have read; a new file takes seconds"
    return AFTER_A_PROBLEM.get(problem.code)


def label_filter(text: str | None) -> str | None:
    """The filter of the API: `key=value`, as labels are submitted, means `key:value`."""
    if text is None or ":" in text or "=" not in text:
        return text
    key, _, value = text.partition("=")
    return f"{key}:{value}"


def expand_user(path: Path | None) -> Path | None:
    """`~` at the beginning as the user's home folder: shells leave it in `--out=~/plots`."""
    try:
        return None if path is None else path.expanduser()
    except RuntimeError as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def print_hint(text: str) -> None:
    """Print a hint for a person to standard error, so that scripts do not read it."""
    print(f"→ {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a pydantic model, a list of them, or plain values as JSON."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=not shows_every_character()))


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
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
        case ExtraMissing() | InvalidArgument() | InvalidConnection():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
