"""The progress of an experiment while a program waits: redrawn in a notebook, lines in a shell."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from richregime.errors import WaitTimeout
from richregime.formatting import format_duration
from richregime.progress import describe_counts, describe_wait
from richregime.types import Experiment

FIRST_PAUSE, LONGEST_PAUSE = 0.3, 2.0
"""Seconds between two looks at the experiment"""
LINE_EVERY = 0.1
"""Of the work, between two lines in a shell"""


class Watch:
    """Shows an experiment again and again until it has ended.

    In a notebook one output is redrawn in place. Elsewhere a line is printed where the status
    changes, and every tenth of the work.
    """

    def __init__(self, experiment_id: str, timeout: float | None) -> None:
        self._id, self._timeout = experiment_id, timeout
        self._began = time.monotonic()
        self._pause = FIRST_PAUSE
        self._display = notebook_display()
        self._handle: Any = None
        self._last: tuple[str, int] | None = None

    def show(self, experiment: Experiment) -> None:
        if self._display is None:
            self._print(experiment)
        elif self._handle is None:
            self._handle = self._display(Shown(experiment), display_id=True)
        else:
            self._handle.update(Shown(experiment))

    def next_pause(self) -> float:
        """Seconds until the next look. Raises WaitTimeout when the time is over."""
        left = None
        if self._timeout is not None:
            left = self._began + self._timeout - time.monotonic()
            if left <= 0:
                raise WaitTimeout(
                    f"{self._id} did not end within {format_duration(self._timeout)}; it continues"
                )
        pause, self._pause = self._pause, min(LONGEST_PAUSE, 1.5 * self._pause)
        return pause if left is None else min(pause, left)

    def _print(self, experiment: Experiment) -> None:
        step = (str(experiment.status), int(experiment.progress.fraction / LINE_EVERY))
        if step != self._last:
            self._last = step
            print(describe_progress(experiment), flush=True)


class Shown:
    """A moment of an experiment, as IPython displays it."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    def __repr__(self) -> str:
        return describe_progress(self._experiment)

    def _repr_html_(self) -> str:
        one = self._experiment
        title = escape(one.title or one.name or one.id)
        fraction = 1.0 if one.terminal else one.progress.fraction
        return (
            f"<div><p><strong>{title}</strong> ({escape(one.id)})</p>"
            f'<p><progress max="1" value="{fraction:.4f}"></progress> '
            f"{escape(describe_progress(one))}</p></div>"
        )


def describe_progress(experiment: Experiment) -> str:
    """`running 40 %, 2/6 runs; about 12 s left`, and why a run has failed."""
    percent = 100 * (1.0 if experiment.terminal else experiment.progress.fraction)
    text = f"{experiment.status} {percent:.0f} %, {describe_counts(experiment)}"
    more = describe_wait(experiment)
    if experiment.reason:
        more = f"{experiment.reason}: {experiment.detail}"
    return f"{text}; {more}" if more else text


def notebook_display() -> Any:
    """The function `display` of IPython in a notebook; None elsewhere.

    A program in which IPython is not imported runs in no notebook, so nothing is imported here.
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from importlib import import_module

    return import_module("IPython.display").display
