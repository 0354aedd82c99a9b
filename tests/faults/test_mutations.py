"""Each protection is taken away once, and the promise that it keeps is seen to break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import and_

from storage.database.tables import RunRow
from storage.errors import NotFound
from storage.experiments import cancel
from storage.files import artifacts, retention
from storage.files.blobs import BlobStore
from storage.files.retention import sweep_orphans
from storage.results import metrics
from storage.runs import reconcile
from storage.runs import transitions as runs
from storage.runs.claim import Claim
from storage.runs.lease_expiry import expire_worker
from tests.faults.conftest import OWNER, Bench, die
from tests.faults.invariants import Reference, examine
from tests.faults.test_fault_points import SEEDS, SPEC
from workers import context, execution
from workers.context import StoredRunContext
from workers.lease import Lease

Listen = Callable[[Callable[[str], None] | None], None]
Patch = pytest.MonkeyPatch


def findings(bench: Bench, reference: Reference | None = None) -> str:
    return " / ".join(examine(bench.db, bench.blobs, bench.accepted, reference or {}).all())


def context_of(bench: Bench, claim: Claim) -> StoredRunContext:
    lease = Lease(bench.db, bench.settings, claim.run_id, claim.fence)
    return StoredRunContext(
        bench.db, bench.blobs, bench.settings, claim, lease, "cpu", lambda: False
    )


def write_as_zombie(bench: Bench) -> None:
    """A worker that lost its run to another wakes up and writes."""
    bench.submit(SPEC, SEEDS)
    old = bench.claimed()
    expire_worker(bench.db, OWNER, 3)
    bench.work_until_idle()
    try:
        context_of(bench, old).save_artifact("counts", 0, "text/plain", b"old")
    except context.LeaseLost:
        return


def finish_as_zombie(bench: Bench) -> None:
    """... and ends it."""
    _, run_id = bench.submit(SPEC, SEEDS)
    old = bench.claimed()
    expire_worker(bench.db, OWNER, 3)
    new = bench.claimed("host:1:9")
    with bench.db.write() as session:
        runs.finish_run(session, run_id, old.fence, [{"outcome": "trained", "seed": 0}], {})
    if bench.run(run_id).status == "running":
        bench.execute(new)
    else:
        with bench.db.write() as session:
            runs.fail_run(session, run_id, new.fence, "internal", "lost")  # type: ignore[arg-type]


def resume_from_damage(bench: Bench, listen: Listen) -> None:
    """The newest resume state is damaged while its worker is dead."""
    _, run_id = bench.submit(SPEC, SEEDS)
    saves: list[str] = []
    listen(
        lambda name: (
            die() if name == "save.3" and not saves.append(name) and len(saves) == 2 else None
        )
    )  # type: ignore[func-returns-value]
    bench.work()
    listen(None)
    with bench.db.read() as session:
        newest = artifacts.list_artifacts(session, run_id, "resume")[-1]
    path = bench.blobs.path(newest.sha256)
    data = bytearray(path.read_bytes())
    for index in range(2 * len(data) // 3, len(data), 16):
        data[index] ^= 1
    path.write_bytes(data)
    bench.work_until_idle()


def die_while_writing(bench: Bench, listen: Listen) -> None:
    bench.submit(SPEC, SEEDS)
    struck: list[str] = []
    listen(
        lambda name: (
            die() if name == "put.1" and not struck.append(name) and len(struck) == 1 else None
        )
    )  # type: ignore[func-returns-value]
    bench.work_until_idle()
    listen(None)


def sweep_while_registering(bench: Bench, listen: Listen) -> None:
    bench.submit(SPEC, (100 + len(bench.accepted),))  # bytes that no other run has
    listen(
        lambda name: (
            sweep_orphans(bench.db, bench.blobs, older_than_seconds=-1) and None
            if name == "register.1"
            else None
        )
    )
    bench.work_until_idle()
    listen(None)


def die_before_summary(bench: Bench, listen: Listen) -> None:
    bench.submit(SPEC, SEEDS)
    listen(lambda name: die() if name == "finish.4" else None)
    bench.work_until_idle()
    listen(None)


def lose_worker_once(bench: Bench) -> None:
    bench.submit(SPEC, SEEDS)
    bench.claimed()
    bench.work()
    bench.work_until_idle()


def read_unchecked(self: BlobStore, sha256: str) -> bytes:
    try:
        return self.path(sha256).read_bytes()
    except FileNotFoundError:
        raise NotFound(sha256) from None


def hold_anything(session: Any, run_id: str, fence: int) -> bool:
    return True


def held_by_anyone(run_id: str, fence: int) -> Any:
    return and_(RunRow.id == run_id)


Scenario = Callable[..., None]


def cancel_while_it_waits(bench: Bench) -> None:
    experiment_id, run_id = bench.submit(SPEC, SEEDS)
    bench.execute(bench.claimed(), lambda: bool(bench.resume_states(run_id)))
    bench.cancel(experiment_id)
    bench.reconcile()


MUTATIONS: list[tuple[str, Callable[[Patch], None], Scenario, str]] = [
    (
        "files carry the fence",
        lambda patch: patch.setattr(artifacts, "holds_run", hold_anything),
        write_as_zombie,
        "was not held then",
    ),
    (
        "an end carries the fence",
        lambda patch: patch.setattr(runs, "_held", held_by_anyone),
        finish_as_zombie,
        "ended",
    ),
    (
        "stored bytes are checked when read",
        lambda patch: patch.setattr(BlobStore, "read", read_unchecked),
        resume_from_damage,
        "other bits",
    ),
    (
        "a file swept while it is registered is stored anew",
        lambda patch: patch.setattr(BlobStore, "exists", lambda self, sha256: True),
        sweep_while_registering,
        "is missing",
    ),
    (
        "resume state ends with its run",
        lambda patch: patch.setattr(execution, "drop_resume_state", lambda session, run_id: []),
        lose_worker_once,
        "resume state outlives",
    ),
    (
        "resume state ends with a run that is cancelled while it waits",
        lambda patch: patch.setattr(cancel, "drop_resume_state", lambda session, run_id: []),
        cancel_while_it_waits,
        "resume state outlives",
    ),
    (
        "the reconciler makes the summaries that dead workers owe",
        lambda patch: patch.setattr(reconcile, "finalize_all", lambda db, blobs: None),
        die_before_summary,
        "has no summary",
    ),
    (
        "runs of dead workers are taken back",
        lambda patch: patch.setattr("tests.faults.conftest.expire_worker", lambda *args: []),
        lose_worker_once,
        "is running",
    ),
    (
        "the sweep takes what interrupted writes have left",
        lambda patch: patch.setattr(retention, "find_orphans", lambda db, blobs, seconds: {}),
        die_while_writing,
        "an orphan",
    ),
]


def play(scenario: Scenario, bench: Bench, listen: Listen) -> None:
    if scenario.__code__.co_argcount == 2:
        scenario(bench, listen)
    else:
        scenario(bench)


@pytest.mark.parametrize(
    ("take_away", "scenario", "word"),
    [one[1:] for one in MUTATIONS],
    ids=[one[0] for one in MUTATIONS],
)
def test_without_its_protection_a_promise_breaks_and_with_it_holds(
    bench: Bench,
    listen: Listen,
    take_away: Callable[[Patch], None],
    scenario: Scenario,
    word: str,
) -> None:
    reference = bench.reference(SPEC, SEEDS)
    play(scenario, bench, listen)
    assert findings(bench, reference) == ""
    with pytest.MonkeyPatch.context() as patch:
        take_away(patch)
        play(scenario, bench, listen)
        assert word in findings(bench, reference)


def test_metrics_of_a_lost_run_are_refused_by_the_fence_alone(
    bench: Bench, monkeypatch: Patch
) -> None:
    _, run_id = bench.submit(SPEC, SEEDS)
    old = bench.claimed()
    expire_worker(bench.db, OWNER, 3)
    for holds, stored in ((None, 0), (hold_anything, 1)):
        if holds is not None:
            monkeypatch.setattr(metrics, "holds_run", holds)
        with bench.db.write() as session:
            metrics.write_metrics(session, run_id, old.fence, [(0, "loss", 1, 1.0)])
        assert len(bench.metrics(run_id)) == stored
