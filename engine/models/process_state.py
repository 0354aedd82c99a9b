"""Notice and undo what a plug-in's code changes in the process besides returning a value."""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping
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
        for name in self.changes:
            _, write = _SETTINGS[name]
            write(self._before[name])
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


def _set_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


def _set_path(values: list[str]) -> None:
    sys.path[:] = values


_SETTINGS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, torch.set_default_device),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's deterministic mode": (
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's precision of matrix products": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "the working directory": (os.getcwd, os.chdir),
    "the environment": (lambda: dict(os.environ), _set_environment),
    "sys.path": (lambda: list(sys.path), _set_path),
}
"""By name, how a setting is read and set"""


def _read_settings() -> dict[str, Any]:
    return {name: read() for name, (read, _) in _SETTINGS.items()}
