"""Clocks; no other file of the engine reads one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


def monotonic() -> float:
    """Seconds on a monotonic clock; only differences are meaningful."""
    return time.perf_counter()


class Stopwatch:
    """Seconds spent in each named part of a training.

    `start()` sets a mark; `lap(name)` adds the time since the mark to `name` and sets the next
    mark; `skip()` discards it. On a CUDA device a mark is an event in the stream: nothing waits
    until `collect()`, which synchronises once (call it at the end of an epoch). On a CPU where
    torch computes with one thread it is that thread's computing time, which other programs on the
    machine do not lengthen by taking the core; with more threads it is the time that passed.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._on_cuda = torch.device(device).type == "cuda"
        self._now = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
        self._seconds: dict[str, float] = {}
        self._mark = 0.0
        self._last_event: torch.cuda.Event | None = None
        self._laps: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        """Set the mark from which the next lap is measured."""
        if self._on_cuda:
            self._last_event = self._record()
        else:
            self._mark = self._now()

    skip = start

    def lap(self, name: str) -> None:
        """Add the time since the last mark to the part `name`, and set the mark."""
        if self._on_cuda:
            assert self._last_event is not None, "start() comes before lap()"
            event = self._record()
            self._laps.append((name, self._last_event, event))
            self._last_event = event
        else:
            now = self._now()
            self._seconds[name] = self._seconds.get(name, 0.0) + (now - self._mark)
            self._mark = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the whole block to `name`."""
        self.start()
        yield
        self.lap(name)

    def collect(self) -> None:
        """Convert the recorded events to seconds; synchronises with the device once."""
        if not self._laps:
            return
        torch.cuda.synchronize()
        for name, begin, end in self._laps:
            self._seconds[name] = self._seconds.get(name, 0.0) + begin.elapsed_time(end) / 1000.0
        self._laps.clear()

    def seconds(self) -> dict[str, float]:
        """Seconds by part, of everything recorded so far."""
        self.collect()
        return dict(self._seconds)

    def restore(self, seconds: Mapping[str, float]) -> None:
        """Continue from the seconds of an earlier attempt."""
        self._laps.clear()
        self._seconds = dict(seconds)

    @staticmethod
    def _record() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
