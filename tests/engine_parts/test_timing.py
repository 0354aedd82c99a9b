"""The stopwatch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from engine.timing import Stopwatch


@pytest.fixture
def with_threads() -> Iterator[None]:
    """As many threads as before, afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def compute(seconds: float) -> None:
    """So long by this thread's own time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stopwatch_adds_laps_to_their_parts(with_threads: None, threads: int) -> None:
    torch.set_num_threads(threads)
    watch = Stopwatch()
    watch.start()
    for _ in range(2):
        compute(0.02)
        watch.lap("forward")
        compute(0.01)
        watch.skip()
        watch.lap("backward")
    seconds = watch.seconds()
    assert seconds["forward"] >= 0.04
    assert seconds["backward"] >= 0
    resumed = Stopwatch()
    resumed.restore(seconds)
    with resumed.part("forward"):
        compute(0.01)
    assert resumed.seconds()["forward"] >= seconds["forward"] + 0.01
    assert resumed.seconds()["backward"] == seconds["backward"]


@pytest.mark.parametrize(("threads", "is_counted"), [(1, False), (2, True)])
def test_with_one_thread_the_time_of_other_programs_is_not_counted(
    with_threads: None, threads: int, is_counted: bool
) -> None:
    torch.set_num_threads(threads)
    watch = Stopwatch()
    with watch.part("forward"):
        time.sleep(0.2)
    assert (watch.seconds()["forward"] >= 0.2) is is_counted


def test_one_thread_s_time_is_that_of_its_backward_pass_too(with_threads: None) -> None:
    """The pass runs in the calling thread, so that it is counted."""
    torch.set_num_threads(1)
    weight = torch.randn(600, 600, requires_grad=True)
    watch = Stopwatch()
    watch.start()
    loss = (torch.randn(600, 600) @ weight).square().sum()
    watch.lap("forward")
    before = time.process_time()
    loss.backward()  # type: ignore[no-untyped-call]
    whole = time.process_time() - before
    watch.lap("backward")
    assert 0 < whole <= watch.seconds()["backward"] * 1.5
