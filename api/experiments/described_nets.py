"""Nets that a worker must describe first: ask, wait for a moment, and go on or say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from api.dependencies import State
from api.experiments.check_files import NetsNotDescribed
from api.http.problems import ProblemRaised
from api.http.request_work import require_caller
from engine.data.spec import DatasetInfo
from engine.models.spec import DescribedSpec
from schemas.problems import ProblemCode
from storage.nets.described import ask_for_nets
from storage.runs.workers import count_listening

WAIT_SECONDS = 10.0
"""How long a request waits for the layers of its nets"""
POLL_SECONDS = 0.2
MAX_WAITING = 8
"""Requests that wait at once; others are answered at once"""
RETRY_SECONDS = 5

T = TypeVar("T")
_waiting = threading.BoundedSemaphore(MAX_WAITING)


def with_described_nets(state: State, work: Callable[[], T]) -> T:
    """The result of `work`, which may plan nets that no worker has described yet.

    They are asked for, and for a moment waited for. Raises the problem `net-not-described`, after
    which the request can be repeated. `work` must have no effects before it plans.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    asked = False
    while True:
        try:
            return work()
        except NetsNotDescribed as unknown:
            if not asked:
                asked = True
                with state.db.write() as session:
                    ask_for_nets(session, unknown.nets)
            nets = unknown.nets
        require_caller()
        if time.monotonic() > deadline or not _waiting.acquire(blocking=False):
            raise _not_described(state, nets)
        try:
            time.sleep(POLL_SECONDS)
        finally:
            _waiting.release()


def _not_described(
    state: State, nets: Sequence[tuple[DescribedSpec, DatasetInfo]]
) -> ProblemRaised:
    model, info = nets[0]
    others = f" and {len(nets) - 1:,} other nets" if len(nets) > 1 else ""
    with state.db.read() as session:
        has_workers = bool(count_listening(session))
    advice = "repeat the request in seconds" if has_workers else "no worker is running: start one"
    return ProblemRaised(
        503,
        ProblemCode.NET_NOT_DESCRIBED,
        f"the layers of {model.name!r} on {info.name!r}{others} are not known yet; a worker finds "
        f"them once: {advice}",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )
