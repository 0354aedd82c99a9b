"""What is kept of a finished experiment, and that no file goes while a row speaks of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from storage.experiments.delete import delete_experiment
from storage.files.artifacts import list_artifacts
from storage.files.blobs import ASIDE
from storage.files.retention import delete_unreferenced, find_orphans, sweep_orphans
from storage.files.usage import measure_storage
from tests.faults.conftest import Bench
from tests.faults.test_fault_points import SEEDS, SPEC

Listen = Callable[[Callable[[str], None] | None], None]


def best_seed(bench: Bench, run_id: str) -> int:
    last = {
        point.seed: point.value for point in bench.metrics(run_id) if point.name == "test_accuracy"
    }
    return max(last, key=lambda seed: (last[seed] or 0.0, -seed))


@pytest.mark.parametrize("keep", ["all", "last", "best", "none"])
def test_the_checkpoints_that_stay_are_those_asked_for(bench: Bench, keep: str) -> None:
    experiment_id, run_id = bench.submit(SPEC, SEEDS, keep=keep)
    bench.work_until_idle()
    best = best_seed(bench, run_id)
    expected = {
        "all": {(name, seed) for name in ("theta_0", "theta_T") for seed in SEEDS},
        "last": {("theta_T", seed) for seed in SEEDS},
        "best": {("theta_T", best)},
        "none": set(),
    }[keep]
    assert set(bench.thetas(run_id)) == expected
    files = {name for name, _ in bench.blobs.list_older_than(-1, float("inf"))}
    assert files == set(bench.thetas(run_id).values())
    assert bench.experiment(experiment_id).summary is not None
    bench.assert_invariants()


def test_a_file_of_two_experiments_stays_until_both_are_gone(bench: Bench) -> None:
    first, _ = bench.submit(SPEC, SEEDS)
    second, run_id = bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    shared = set(bench.thetas(run_id).values())
    for experiment_id, left in ((first, shared), (second, set())):
        with bench.db.write() as session:
            _, freed = delete_experiment(session, experiment_id, dry_run=False)
        delete_unreferenced(bench.db, bench.blobs, freed)
        assert {name for name, _ in bench.blobs.list_older_than(-1, float("inf"))} == left


def test_a_file_deleted_while_its_row_is_written_is_stored_anew(
    bench: Bench, listen: Listen
) -> None:
    """An orphan of the same bytes is swept in the very moment in which another run speaks of them."""
    _, run_id = bench.submit(SPEC, SEEDS)

    def sweep(name: str) -> None:
        if name == "register.1":
            sweep_orphans(bench.db, bench.blobs, older_than_seconds=-1)

    listen(sweep)
    bench.work_until_idle()
    listen(None)
    assert bench.run(run_id).status == "succeeded"
    bench.assert_invariants()


def test_a_row_written_while_its_file_is_set_aside_has_it_put_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run_id = bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    files = set(bench.thetas(run_id).values())
    from storage.files import retention

    true, asked = retention.referenced_blobs, []

    def first_time_nobody(session: object, names: list[str]) -> set[str]:
        asked.append(names)
        return set() if len(asked) == 1 else true(session, names)

    monkeypatch.setattr(retention, "referenced_blobs", first_time_nobody)
    assert delete_unreferenced(bench.db, bench.blobs, files) == 0
    assert {name for name, _ in bench.blobs.list_older_than(-1, float("inf"))} == files


def test_what_dead_processes_leave_is_swept_or_put_back(bench: Bench) -> None:
    _, run_id = bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    known = next(iter(bench.thetas(run_id).values()))
    orphan = bench.blobs.put(b"nobody's").sha256
    assert bench.blobs.set_aside(known)
    assert bench.blobs.set_aside(orphan)
    unfinished = bench.blobs.scratch()
    unfinished.__enter__().write_bytes(b"half an upload")
    half = bench.blobs.path(known)
    half.with_name(f"{half.name}.0123.partial").write_bytes(b"half a file")
    assert find_orphans(bench.db, bench.blobs) == {}
    assert set(find_orphans(bench.db, bench.blobs, -1)) > {orphan + ASIDE}
    assert sweep_orphans(bench.db, bench.blobs, older_than_seconds=-1) == 3
    bench.assert_invariants()


def test_the_sum_of_what_is_stored_counts_each_file_once(bench: Bench) -> None:
    bench.submit(SPEC, SEEDS)
    experiment_id, run_id = bench.submit(SPEC, SEEDS)
    bench.work_until_idle()
    with bench.db.read() as session:
        size = sum(row.num_bytes for row in list_artifacts(session, run_id, "checkpoint"))
    found = measure_storage(bench.db, bench.blobs)
    assert found.bytes == size
    assert {role.role: role.bytes for role in found.roles if role.bytes} == {"checkpoint": size}
    assert experiment_id in [one.id for one in found.largest_experiments if one.bytes == size]
    assert found.free_bytes is not None


def test_the_command_tells_first_and_deletes_then(bench: Bench) -> None:
    orphan = bench.blobs.put(b"nobody's").sha256
    environment = {
        "RICHREGIME_DATABASE_URL": bench.settings.resolved_database_url,
        "RICHREGIME_BLOB_DIR": str(bench.blobs.path(orphan).parents[1]),
        "PATH": "/usr/bin:/bin",
        "HOME": str(bench.settings.home),
    }
    command = [sys.executable, "-m", "richregime", "gc", "--older-than", "-1"]
    for more, there, words in ((["--dry-run"], True, "would be"), ([], False, "are")):
        done = subprocess.run(
            [*command, *more],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout == f"1 files of 8 bytes {words} deleted\n"
        assert bench.blobs.exists(orphan) == there
