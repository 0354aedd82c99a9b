"""The stopwatch."""

from __future__ import annotations

import time

from engine.timing import Stopwatch


def test_a_stopwatch_adds_laps_to_their_parts() -> None:
    watch = Stopwatch()
    watch.start()
    for _ in range(2):
        time.sleep(0.02)
        watch.lap("forward")
        time.sleep(0.01)
        watch.skip()
        watch.lap("backward")
    seconds = watch.seconds()
    assert seconds["forward"] >= 0.04
    assert 0 <= seconds["backward"] < 0.01
    resumed = Stopwatch()
    resumed.restore(seconds)
    with resumed.part("forward"):
        time.sleep(0.01)
    assert resumed.seconds()["forward"] >= seconds["forward"] + 0.01
    assert resumed.seconds()["backward"] == seconds["backward"]
