"""Concurrent changes of one experiment, on both databases: one wins, nothing is lost or doubled."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from schemas.status import RunStatus, derive_experiment_status
from storage.database.tables import EventRow, ExperimentRow, PointRow, RunRow
from tests.api.api_server import ApiServer

ROUNDS = 4
MANY_ROUNDS = 200
REFUSED = {404, 409}
"""Status codes of a change that came too late"""
numbers = itertools.count()

Change = Callable[[ApiServer, str], httpx.Response]


def extend(seeds: Sequence[int] = (7, 8)) -> Change:
    return lambda api, name: api.http.post(
        f"/experiments/{name}/extend", json={"seeds": list(seeds)}
    )


def act(action: str) -> Change:
    return lambda api, name: api.http.post(f"/experiments/{name}/{action}")


def delete(api: ApiServer, name: str) -> httpx.Response:
    return api.http.delete(f"/experiments/{name}")


def export(api: ApiServer, name: str) -> httpx.Response:
    return api.http.get(f"/experiments/{name}/export")


def export_beside_deletion(api: ApiServer, name: str) -> httpx.Response:
    """The download breaks off where the deletion comes first, which a client notices."""
    try:
        return export(api, name)
    except httpx.RemoteProtocolError:
        return httpx.Response(404)


def patch(**values: Any) -> Change:
    return lambda api, name: api.http.patch(f"/experiments/{name}", json=values)


def submit(api: ApiServer, **more: Any) -> str:
    """A new experiment of two runs, equal to no other."""
    body = {"spec": {"kind": "train", "epochs": 1}, "seeds": [0], "reuse": False}
    body |= {"sweep": {"optimizer.lr": [0.1, 0.2]}, "name": f"race {next(numbers)}"}
    experiment_id: str = api.submit(body | more)["id"]
    return experiment_id


def succeeded(api: ApiServer) -> str:
    experiment_id = submit(api)
    api.finish_all_runs(experiment_id)
    return experiment_id


def failed(api: ApiServer) -> str:
    experiment_id = submit(api)
    while (claim := api.claim_run(experiment_id)) is not None:
        api.fail_run(claim)
    return experiment_id


def at_once(*calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The responses of calls that start at the same time."""
    barrier = threading.Barrier(len(calls))

    def start(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(start, calls))


def race(api: ApiServer, experiment_id: str, *changes: Change) -> list[httpx.Response]:
    found = at_once(*(lambda change=change: change(api, experiment_id) for change in changes))
    for response in found:
        assert response.status_code < 500, response.text
    return found


@contextmanager
def checked(api: ApiServer, experiment_id: str) -> Iterator[None]:
    """Check the experiment after the block, then cancel it: no later claim may get its runs."""
    yield
    assert violations(api, experiment_id) == []
    act("cancel")(api, experiment_id)


def violations(api: ApiServer, experiment_id: str) -> list[str]:
    """What is wrong with the rows of an experiment; none for a deleted one."""
    with api.db.read() as session:
        row = session.get(ExperimentRow, experiment_id)
        runs = session.exec(select(RunRow).where(RunRow.experiment_id == experiment_id)).all()
        points = session.exec(select(PointRow).where(PointRow.experiment_id == experiment_id)).all()
        events = session.exec(
            select(EventRow)
            .where(EventRow.experiment_id == experiment_id)
            .order_by(col(EventRow.sequence))
        ).all()
    if row is None:
        return [] if not (runs or points or events) else ["rows of a deleted experiment"]
    found = []
    planned = sorted((point.id, seed) for point in points for seed in row.seeds)
    if sorted((run.point_id, seed) for run in runs for seed in run.seeds) != planned:
        found.append("not exactly one run for each point and seed")
    if sorted(point.index for point in points) != list(range(row.num_points)):
        found.append("points are missing")
    if [event.sequence for event in events] != list(range(1, len(events) + 1)):
        found.append("events have gaps")
    counts = {status: sum(run.status is status for run in runs) for status in RunStatus}
    if row.status is not derive_experiment_status(counts):
        found.append(f"status {row.status} with runs {counts}")
    if (row.finished_at is not None) != row.status.is_terminal:
        found.append(f"status {row.status} finished at {row.finished_at}")
    return found


@pytest.fixture(params=[ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.slow)])
def rounds(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("prepare", "first", "second"),
    [
        (succeeded, extend(), extend()),
        (succeeded, extend((7, 8)), extend((8, 9))),
        (failed, act("retry"), act("retry")),
        (submit, act("cancel"), extend()),
        (submit, act("cancel"), patch(priority=3)),
        (submit, patch(priority=5), extend()),
        (succeeded, patch(name="new", labels={"a": "b"}), extend()),
        (succeeded, export_beside_deletion, delete),
        (succeeded, delete, delete),
    ],
)
def test_two_changes_at_once_leave_each_seed_one_run(
    api_on_both_databases: ApiServer,
    rounds: int,
    prepare: Callable[[ApiServer], str],
    first: Change,
    second: Change,
) -> None:
    for _ in range(rounds):
        experiment_id = prepare(api_on_both_databases)
        with checked(api_on_both_databases, experiment_id):
            race(api_on_both_databases, experiment_id, first, second)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("prepare", "change"), [(succeeded, extend()), (failed, act("retry"))])
def test_a_deletion_and_a_change_at_once_are_not_both_accepted(
    api_on_both_databases: ApiServer,
    rounds: int,
    prepare: Callable[[ApiServer], str],
    change: Change,
) -> None:
    for _ in range(rounds):
        experiment_id = prepare(api_on_both_databases)
        with checked(api_on_both_databases, experiment_id):
            found = race(api_on_both_databases, experiment_id, delete, change)
        codes = {response.status_code for response in found}
        assert 200 in codes
        assert codes & REFUSED, codes


@pytest.mark.timeout(900)
def test_concurrent_extensions_train_no_seed_twice(
    api_on_both_databases: ApiServer, rounds: int
) -> None:
    """And the result counts each seed once."""
    for _ in range(rounds):
        experiment_id = succeeded(api_on_both_databases)
        race(api_on_both_databases, experiment_id, extend((1, 2)), extend((1, 2)))
        api_on_both_databases.finish_all_runs(experiment_id)
        result = api_on_both_databases.get(f"/experiments/{experiment_id}/result")
        assert {point["test_accuracy"]["n"] for point in result["points"]} == {3}


@pytest.mark.timeout(900)
def test_equal_submissions_at_once_make_one_experiment(
    api_on_both_databases: ApiServer, rounds: int
) -> None:
    api = api_on_both_databases
    for number in range(rounds):
        body = {"spec": {"kind": "train", "epochs": 1}, "seeds": [1000 + number]}
        found = at_once(*[lambda body=body: api.http.post("/experiments", json=body)] * 4)
        assert sorted(response.status_code for response in found) == [200, 200, 200, 201]
        assert len({response.json()["id"] for response in found}) == 1


@pytest.mark.timeout(900)
def test_imports_of_the_same_archive_at_once_make_one_experiment(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    archive = export(api, succeeded(api)).content
    found = at_once(*[lambda: api.http.post("/import", content=archive)] * 4)
    assert sorted(response.status_code for response in found) == [200, 200, 200, 201]
    assert len({response.json()["id"] for response in found}) == 1


@pytest.mark.timeout(900)
def test_submissions_at_once_do_not_pass_the_limit_of_queued_runs(
    api_on_both_databases: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = api_on_both_databases
    monkeypatch.setitem(api.settings.__dict__, "max_queued_runs", 10)
    body = {"spec": {"kind": "train", "epochs": 1}, "seeds": [0], "reuse": False}
    body |= {"sweep": {"optimizer.lr": [0.1, 0.2, 0.3]}}
    found = at_once(*[lambda: api.http.post("/experiments", json=body)] * 8)
    assert sorted(response.status_code for response in found) == [201] * 3 + [429] * 5
    with api.db.read() as session:
        queued = session.exec(select(RunRow.id).where(RunRow.status == RunStatus.QUEUED)).all()
    assert len(queued) == 9


@pytest.mark.timeout(900)
def test_all_changes_at_once_beside_a_worker_keep_the_invariants(
    api_on_both_databases: ApiServer, rounds: int
) -> None:
    """A worker claims, finishes and fails runs meanwhile."""
    api = api_on_both_databases
    prepare = (submit, succeeded, failed)

    def work(api: ApiServer, experiment_id: str) -> httpx.Response:
        for number in range(3):
            claim = api.claim_run(experiment_id)
            if claim is not None:
                (api.fail_run if number == 1 else api.finish_run)(claim)
        return api.http.get("/healthz")

    for number in range(rounds):
        experiment_id = prepare[number % 3](api)
        with checked(api, experiment_id):
            race(
                api,
                experiment_id,
                work,
                work,
                act("cancel"),
                act("retry"),
                extend((number + 1,)),
                extend((number + 1, number + 2)),
                patch(priority=number % 7, name=f"round {number}"),
                export_beside_deletion,
                delete,
            )
