"""Notice and undo what a plug-in's code changes in the process besides returning a value."""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any

import torch

MAX_PRINTED = 2_000


class UnchangedProcess:
    """A block after which torch's and Python's global settings are as they were.

    What is printed is kept in `printed` and not shown. `changes` names the settings that the block
    changed, other than the state of random generators.
    """

    def __init__(self) -> None:
        self.changes: tuple[str, ...] = ()
        self.printed = ""

    def __enter__(self) -> UnchangedProcess:
        self._before = _read_settings()
        self._random = (random.getstate(), torch.random.get_rng_state())
        self._text = _Beginning()
        self._out, self._err = redirect_stdout(self._text), redirect_stderr(self._text)
        self._out.__enter__()
        self._err.__enter__()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._warnings.__exit__(kind, error, trace)
        self._err.__exit__(kind, error, trace)
        self._out.__exit__(kind, error, trace)
        self.printed = self._text.getvalue()
        after = _read_settings()
        self.changes = tuple(name for name, value in self._before.items() if after[name] != value)
        _write_settings(self._before)
        random.setstate(self._random[0])
        torch.random.set_rng_state(self._random[1])

    def explain(self) -> str:
        """What was changed, as an error for the author."""
        return (
            f"it changes {' and '.join(self.changes)} of the whole process; a plug-in must leave "
            "them as they are"
        )


class _Beginning(io.StringIO):
    """Keeps the first MAX_PRINTED characters that are written."""

    def write(self, text: str) -> int:
        super().write(text[: MAX_PRINTED - self.tell()])
        return len(text)


def _read_settings() -> dict[str, Any]:
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's precision of matrix products": torch.get_float32_matmul_precision(),
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "sys.path": list(sys.path),
    }


def _write_settings(settings: dict[str, Any]) -> None:
    now = _read_settings()
    changed = {name for name, value in settings.items() if now[name] != value}
    if "torch's default dtype" in changed:
        torch.set_default_dtype(settings["torch's default dtype"])
    if "torch's default device" in changed:
        torch.set_default_device(settings["torch's default device"])
    if "torch's number of threads" in changed:
        torch.set_num_threads(settings["torch's number of threads"])
    if "torch's deterministic mode" in changed:
        enabled, warn_only = settings["torch's deterministic mode"]
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    if "torch's gradient mode" in changed:
        torch.set_grad_enabled(settings["torch's gradient mode"])
    if "torch's precision of matrix products" in changed:
        torch.set_float32_matmul_precision(settings["torch's precision of matrix products"])
    if "the working directory" in changed:
        os.chdir(settings["the working directory"])
    if "the environment" in changed:
        os.environ.clear()
        os.environ.update(settings["the environment"])
    if "sys.path" in changed:
        sys.path[:] = settings["sys.path"]
