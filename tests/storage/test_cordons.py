"""Cordons on both databases: what is claimed, who listens, what a heartbeat tells."""

from __future__ import annotations

import pytest

from storage.errors import NotFound
from storage.runs.claim import Claim, claim_next
from storage.runs.cordons import find_cordon, remove_cordon, set_cordon
from storage.runs.heartbeats import Beat, send_heartbeat
from storage.runs.waiting import AbsentWorkers
from storage.runs.workers import (
    count_absent,
    count_idle,
    count_listening,
    list_workers,
    remove_worker,
)
from tests.storage.conftest import Store, register


def cordon(store: Store, name: str, *, hand_back: bool = False) -> None:
    with store.db.write() as session:
        set_cordon(session, name, hand_back=hand_back)


def uncordon(store: Store, name: str) -> bool:
    with store.db.write() as session:
        return remove_cordon(session, name)


def claim(store: Store, worker: str) -> Claim | None:
    return claim_next(store.db, worker=worker, device_class="cpu", device="cpu", lease_seconds=30.0)


def test_a_cordoned_worker_claims_nothing_and_others_do(store: Store) -> None:
    ours, other = register(store), register(store, pid=200)
    store.submit([(0,), (1,)])
    cordon(store, ours)
    assert claim(store, "lab7:100:101") is None
    assert claim(store, "lab7:200:201") is not None, "another worker of the host"
    assert uncordon(store, ours)
    assert claim(store, "lab7:100:101") is not None
    assert not uncordon(store, other), "it was not cordoned"


def test_the_cordon_of_a_host_holds_for_workers_that_start_later(store: Store) -> None:
    first = register(store)
    cordon(store, "lab7")
    with store.db.write() as session:
        remove_worker(session, first)
    register(store, pid=300)
    store.submit()
    assert claim(store, "lab7:300:301") is None
    assert claim(store, "lab70:300:301") is not None, "another host"
    assert uncordon(store, "lab7")


def test_the_cordon_of_a_worker_ends_with_it(store: Store) -> None:
    worker = register(store)
    cordon(store, worker)
    with store.db.write() as session:
        remove_worker(session, worker)
    with pytest.raises(NotFound, match="no worker and no host 'wrk_"):
        uncordon(store, worker)


def test_an_unknown_name_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no worker and no host 'nowhere'"):
        cordon(store, "nowhere")
    with pytest.raises(NotFound):
        uncordon(store, "nowhere")


def test_a_cordoned_worker_does_not_listen_and_is_told(store: Store) -> None:
    worker = register(store, slots=2)
    register(store, host="other", slots=3)
    with store.db.read() as session:
        assert count_listening(session) == {"cpu": 5}
    cordon(store, worker, hand_back=True)
    with store.db.read() as session:
        assert count_listening(session) == {"cpu": 3}
        assert sum(count_idle(session).values()) == 3
        assert count_absent(session) == AbsentWorkers(not_ready=0, cordoned=1)
        shown = {one.host: one for one in list_workers(session)}
    assert not shown["lab7"].listening
    assert shown["lab7"].cordon is not None
    assert (shown["lab7"].cordon.name, shown["lab7"].cordon.hand_back) == (worker, True)
    assert shown["other"].listening
    assert shown["other"].cordon is None
    cordon(store, "lab7")
    with store.db.read() as session:
        (told,) = [one.cordon for one in list_workers(session) if one.cordon is not None]
    assert (told.name, told.hand_back) == ("lab7", True), "both hold: its own hands back"


def test_a_heartbeat_tells_that_the_run_is_handed_back(store: Store) -> None:
    worker = register(store)
    store.submit()
    held = claim(store, "lab7:100:101")
    assert held is not None

    def is_handed_back() -> bool:
        answer = send_heartbeat(store.db, Beat(held.run_id, held.fence), 30.0)
        assert answer.alive
        return answer.hand_back

    assert not is_handed_back()
    cordon(store, worker)
    assert not is_handed_back(), "it finishes what it runs"
    cordon(store, worker, hand_back=True)
    assert is_handed_back()
    cordon(store, worker)
    assert not is_handed_back(), "a repeated call sets it anew"


@pytest.mark.parametrize("name", [None, "", "w", "lab7", "lab7:", "lab7:x:y", "lab7:9:"])
def test_names_of_other_shapes_are_not_cordoned(store: Store, name: str | None) -> None:
    cordon(store, register(store))
    with store.db.read() as session:
        assert find_cordon(session, name) is None
