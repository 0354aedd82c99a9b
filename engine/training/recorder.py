"""Record the parts of a step once and replay them: as CUDA graphs on a GPU, by plain calls
elsewhere.

A GPU runs a small kernel faster than Python launches it; a graph launches a whole part at once. The
memory that a part reads and writes must stay in place from step to step, and values that change
between steps must be in tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.spec import Execution
from engine.timing import Stopwatch

Part = Callable[[], object]
"""Work on tensors only, without synchronisation."""
Record = Callable[[Part], Part]
"""Record a part without running it; the returned part runs it on the same memory."""


class Recorder:
    """Records the steps of one training, if it can.

    record: None records nothing. keeps_memory: whether steps keep their memory in place even if
    they are not recorded, so that a training has the same bits either way.
    """

    def __init__(self, record: Record | None = None, *, keeps_memory: bool = False) -> None:
        self._record = record
        self.keeps_memory = keeps_memory or record is not None
        self.notes: tuple[str, ...] = ()
        """Why recording failed, if it did."""

    @property
    def records(self) -> bool:
        return self._record is not None

    def refuse(self, reason: str) -> Recorder:
        """A recorder that records nothing and says why; this one, if it records nothing."""
        if not self.records:
            return self
        other = Recorder(keeps_memory=self.keeps_memory)
        other.notes = (f"steps are not recorded as CUDA graphs: {reason}",)
        return other

    def record(self, parts: Sequence[Part]) -> list[Part] | None:
        """Record the parts in order. If that fails, return None and record nothing from then on."""
        if self._record is None:
            return None
        try:
            return [self._record(part) for part in parts]
        except RuntimeError as error:  # recording runs nothing, so the parts can still be run
            self._record = None
            self.notes = (f"steps are not recorded as CUDA graphs: {str(error).splitlines()[0]}",)
            return None


class RecordedStep:
    """A step that is repeated, recorded if it can be.

    The first run is not recorded: it loads kernels and creates the optimiser's state. The parts are
    those of the owner of this object, which would never be freed if it were kept here: a graph and
    its memory would outlast their training until Python's cycle collector runs.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._recorded: list[Part] | None = None
        self._has_run = False

    def run(self, parts: Sequence[tuple[str, Part]], stopwatch: Stopwatch) -> None:
        """Run the parts in order, each timed by its name; the stopwatch must be started.

        parts: the same in each call.
        """
        plain = [part for _, part in parts]
        if self._has_run and self._recorded is None and self._recorder.records:
            self._recorded = self._recorder.record(plain)
        for (name, _), part in zip(parts, self._recorded or plain, strict=True):
            part()
            stopwatch.lap(name)
        self._has_run = True


def build_recorder(device: torch.device, execution: Execution) -> Recorder:
    """The recorder for a training on `device`."""
    if device.type != "cuda":
        return Recorder()
    return Recorder(_GraphPool() if execution.cuda_graphs else None, keeps_memory=True)


class _GraphPool:
    """CUDA graphs that share the memory of intermediate results; they never run concurrently."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, part: Part) -> Part:
        graph = torch.cuda.CUDAGraph()
        # thread_local: other threads, such as the heartbeat, may use CUDA during the capture
        capture = torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local")
        # the outer context restores this stream even if the capture fails
        with torch.cuda.stream(torch.cuda.current_stream()), capture:
            part()
        replay: Part = graph.replay
        return replay
