"""Which workers a wake-up reaches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from celery import Celery

from runtime.settings import Settings
from storage.delivery.wake_ups import WakeUps, make_celery
from storage.runs.placement import Capacity, Needs

PLAIN = Capacity("cpu", 8 << 30, 8 << 30)
BASEMENT = Capacity("cpu", 8 << 30, 8 << 30, "site=basement")
GPU = Capacity("gpu", 80 << 30, 128 << 30, "site=basement")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The number of wake-ups by channel."""
    found: Counter[str] = Counter()

    def send(self: Celery, name: str, *, queue: Any, **options: Any) -> None:
        assert not {"args", "kwargs"} & options.keys(), "a wake-up is empty"
        found[queue.name] += 1

    monkeypatch.setattr(Celery, "send_task", send)
    return found


@pytest.fixture
def wake_ups(settings: Settings) -> WakeUps:
    return WakeUps(make_celery(settings))


@pytest.mark.parametrize(
    ("needs", "reached"),
    [
        (Needs(), {PLAIN, BASEMENT, GPU}),
        (Needs("gpu"), {GPU}),
        (Needs("cpu"), {PLAIN, BASEMENT, GPU}),
        (Needs("cpu", 100 << 30), {GPU}),
        (Needs("gpu", 100 << 30), set()),
        (Needs("any", 0, "site=basement"), {BASEMENT, GPU}),
        (Needs("any", 0, "site=attic"), set()),
    ],
)
def test_a_wake_up_reaches_every_capacity_that_fits_and_no_other(
    wake_ups: WakeUps, sent: Counter[str], needs: Needs, reached: set[Capacity]
) -> None:
    wake_ups.send([needs], {PLAIN: 1, BASEMENT: 1, GPU: 1})
    assert sent == Counter({one.channel: 1 for one in reached})


def test_each_idle_slot_is_woken_once_and_a_busy_one_never(
    wake_ups: WakeUps, sent: Counter[str]
) -> None:
    wake_ups.send([Needs()] * 9, {PLAIN: 3, BASEMENT: 0})
    assert sent == {PLAIN.channel: 3}


def test_only_workers_of_equal_capacity_share_a_channel() -> None:
    others = (
        BASEMENT,
        GPU,
        Capacity("cpu", 9 << 30, 9 << 30),
        Capacity("cpu", 8 << 30, 8 << 30, "site=attic"),
    )
    assert len({PLAIN.channel, *(other.channel for other in others)}) == 5
    assert Capacity("cpu", 8 << 30, 8 << 30).channel == PLAIN.channel
