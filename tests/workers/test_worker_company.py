"""Two worker parents with homes of their own on one database, one broker and one store of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.runs.workers import list_workers
from tests.workers.conftest import Lab

pytestmark = [pytest.mark.xdist_group("worker_company"), pytest.mark.slow]

SPEC = {
    "kind": "train",
    "epochs": 1,
    "data": {"name": "synthetic", "train_size": 100, "test_size": 50},
}


def test_each_of_two_parents_hears_the_bells_that_are_for_it_and_takes_what_fits(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    """Nothing is rung again in this test: a wake-up that reached the other parent would not be heard."""
    lab = make_lab(wake_after_seconds=600.0)
    shared = {
        "RICHREGIME_DATABASE_URL": lab.settings.resolved_database_url,
        "RICHREGIME_BLOB_DIR": str(lab.settings.resolved_blob_dir),
        "RICHREGIME_WAKE_AFTER_SECONDS": "600",
    }
    parents = {}
    for kind in ("attic", "basement"):
        home = tmp_path / kind
        home.mkdir()
        host = replace(lab, settings=lab.settings.model_copy(update={"home": home}))
        labels = f"kind={kind}"
        parents[kind] = host.start_worker(
            **shared, RICHREGIME_HOME=str(home), RICHREGIME_WORKER_LABELS=labels
        )
    with lab.db.read() as session:
        assert [one.labels for one in list_workers(session)] == [
            {"kind": "attic"},
            {"kind": "basement"},
        ]
    for kind in ("basement", "basement", "attic", "basement"):
        _, run_id = lab.submit(SPEC, execution={"requires": {"kind": kind}})
        row = lab.wait(run_id, "succeeded", 60)
        assert row.worker is not None
        assert int(row.worker.split(":")[1]) == parents[kind].pid
    lab.wait(lab.submit(SPEC)[1], "succeeded")
