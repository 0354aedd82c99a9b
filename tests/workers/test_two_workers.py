"""Two workers with separate homes on one database, one broker and one file store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.runs.workers import list_workers
from tests.workers.worker_harness import WorkerHarness

pytestmark = [pytest.mark.xdist_group("two_workers"), pytest.mark.slow]

SPEC = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}


def test_each_worker_receives_its_wake_ups_and_claims_runs_with_its_labels(
    make_harness: Callable[..., WorkerHarness], tmp_path: Path
) -> None:
    """Overdue wake-ups are not sent again here, so a wake-up for the wrong worker would be lost."""
    harness = make_harness(wake_after_seconds=600.0)
    shared = {
        "RICHREGIME_DATABASE_URL": harness.settings.resolved_database_url,
        "RICHREGIME_BLOB_DIR": str(harness.settings.resolved_blob_dir),
        "RICHREGIME_WAKE_AFTER_SECONDS": "600",
    }
    workers = {}
    for site in ("attic", "basement"):
        home = tmp_path / site
        home.mkdir()
        host = replace(harness, settings=harness.settings.model_copy(update={"home": home}))
        labels = f"site={site}"
        workers[site] = host.start_worker(
            slots=1, **shared, RICHREGIME_HOME=str(home), RICHREGIME_WORKER_LABELS=labels
        )
    with harness.db.read() as session:
        assert [one.labels for one in list_workers(session)] == [
            {"site": "attic"},
            {"site": "basement"},
        ]
    for site in ("basement", "basement", "attic", "basement"):
        _, run_id = harness.submit(SPEC, execution={"requires": {"site": site}})
        row = harness.wait(run_id, "succeeded", 60)
        assert row.worker is not None
        assert int(row.worker.split(":")[1]) == workers[site].pid
    harness.wait(harness.submit(SPEC)[1], "succeeded")
