"""A step's parts, recorded once and replayed: as CUDA graphs on a GPU, called as they are everywhere else.

A small kernel takes a GPU less time than Python needs to ask for it; a graph asks for a whole part at once. What a part
reads and writes must keep its place in memory from step to step, and what changes between steps must lie in tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.spec import Execution
from engine.timing import Stopwatch

Part = Callable[[], object]
"""Work on tensors alone, which waits for nothing."""
Record = Callable[[Part], Part]
"""Take a part down without doing its work; what it returns does the work, on the same memory."""


class Recorder:
    """Records the steps of one training, where that is of use.

    record: None records nothing. keeps_memory: whether steps are to be written as if they were recorded, so that a
    training has the same bits recorded or not.
    """

    def __init__(self, record: Record | None = None, *, keeps_memory: bool = False) -> None:
        self._record = record
        self.keeps_memory = keeps_memory or record is not None
        self.notes: tuple[str, ...] = ()
        """Why steps are not recorded although they were to be."""

    @property
    def records(self) -> bool:
        return self._record is not None

    def record(self, parts: Sequence[Part]) -> list[Part] | None:
        """The parts recorded in their order; None where they cannot be, and then nothing is from now on."""
        if self._record is None:
            return None
        try:
            return [self._record(part) for part in parts]
        except (
            RuntimeError
        ) as error:  # nothing is lost: a recording does no work, and the parts can still be run
            self._record = None
            self.notes = (f"steps are not recorded as CUDA graphs: {str(error).splitlines()[0]}",)
            return None


class RecordedStep:
    """The parts of a step that is done many times, each named after what its time is counted as.

    The first time they run as they are, which loads kernels and makes the optimiser's state; then they are recorded.
    """

    def __init__(self, recorder: Recorder, parts: Sequence[tuple[str, Part]]) -> None:
        self._recorder = recorder
        self._names = [name for name, _ in parts]
        self._parts = [part for _, part in parts]
        self._recorded: list[Part] | None = None
        self._has_run = False

    def run(self, stopwatch: Stopwatch) -> None:
        """Do the parts in their order; the stopwatch runs already."""
        if self._has_run and self._recorded is None and self._recorder.records:
            self._recorded = self._recorder.record(self._parts)
        for name, work in zip(self._names, self._recorded or self._parts, strict=True):
            work()
            stopwatch.lap(name)
        self._has_run = True


def build_recorder(device: torch.device, execution: Execution) -> Recorder:
    """The recorder for a training on `device`."""
    if device.type != "cuda":
        return Recorder()
    return Recorder(_GraphPool() if execution.cuda_graphs else None, keeps_memory=True)


class _GraphPool:
    """CUDA graphs that share the memory of what they compute on the way: they are replayed one after another."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, part: Part) -> Part:
        graph = torch.cuda.CUDAGraph()
        # other threads of the process, such as a heartbeat's, may do as they please meanwhile
        capture = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            capture,
        ):  # back to this stream even if the capture fails
            part()
        replay: Part = graph.replay
        return replay
