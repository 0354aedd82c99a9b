"""Whom a wake-up reaches."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from celery import Celery

from runtime.settings import Settings
from storage.delivery.wake_ups import WakeUps, make_celery
from storage.runs.placement import Capacity, Needs

PLAIN = Capacity("cpu", 8 << 30, 8 << 30)
BASEMENT = Capacity("cpu", 8 << 30, 8 << 30, "kind=basement")
GPU = Capacity("gpu", 80 << 30, 128 << 30, "kind=basement")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Wake-ups by their name."""
    found: Counter[str] = Counter()

    def send(self: Celery, name: str, *, queue: Any, **options: Any) -> None:
        found[queue.name] += 1

    monkeypatch.setattr(Celery, "send_task", send)
    return found


@pytest.fixture
def wake_ups(settings: Settings) -> WakeUps:
    return WakeUps(make_celery(settings))


@pytest.mark.parametrize(
    ("needs", "heard_by"),
    [
        (Needs(), {PLAIN, BASEMENT, GPU}),
        (Needs("gpu"), {GPU}),
        (Needs("cpu"), {PLAIN, BASEMENT, GPU}),
        (Needs("cpu", 100 << 30), {GPU}),
        (Needs("gpu", 100 << 30), set()),
        (Needs("any", 0, "kind=basement"), {BASEMENT, GPU}),
        (Needs("any", 0, "kind=attic"), set()),
    ],
)
def test_a_bell_reaches_every_kind_of_worker_that_fits_and_no_other(
    wake_ups: WakeUps, sent: Counter[str], needs: Needs, heard_by: set[Capacity]
) -> None:
    wake_ups.send([needs], {PLAIN: 1, BASEMENT: 1, GPU: 1})
    assert sent == Counter({one.channel: 1 for one in heard_by})


def test_an_idle_slot_is_rung_for_once_and_a_busy_one_not_at_all(
    wake_ups: WakeUps, sent: Counter[str]
) -> None:
    wake_ups.send([Needs()] * 9, {PLAIN: 3, BASEMENT: 0})
    assert sent == {PLAIN.channel: 3}


def test_only_workers_that_offer_the_same_share_a_bell() -> None:
    others = (
        BASEMENT,
        GPU,
        Capacity("cpu", 9 << 30, 9 << 30),
        Capacity("cpu", 8 << 30, 8 << 30, "kind=attic"),
    )
    assert len({PLAIN.channel, *(other.channel for other in others)}) == 5
    assert Capacity("cpu", 8 << 30, 8 << 30).channel == PLAIN.channel


def test_labels_are_read_from_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RICHREGIME_WORKER_LABELS", "kind=basement, gpu=h100")
    assert Settings().worker_labels == {"kind": "basement", "gpu": "h100"}
    monkeypatch.setenv("RICHREGIME_WORKER_LABELS", "basement")
    with pytest.raises(ValueError, match="not of the form name=value"):
        Settings()
