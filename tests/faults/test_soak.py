"""The soak: one minute by default, ten with `./test soak`; RICHREGIME_SOAK_SEED repeats a soak."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.faults.in_process_worker import InProcessWorker
from tests.faults.invariants import Reference
from tests.faults.soak import SEEDS, SPECS, Soak, soak_settings

pytestmark = pytest.mark.xdist_group("soak")


@pytest.fixture
def reference(worker: InProcessWorker) -> Reference:
    worker.settings = worker.settings.model_copy(update={"checkpoint_seconds": 3600.0})
    found: dict[tuple[str, tuple[int, ...]], tuple[object, ...]] = {}
    for spec in SPECS:
        for seeds in SEEDS:
            found |= worker.reference(spec, seeds)
    return found


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("seconds", "min_faults"), [(60.0, 3), pytest.param(600.0, 100, marks=pytest.mark.soak)]
)
def test_random_faults_violate_no_invariant(
    tmp_path: Path, sqlite_template: Path, reference: Reference, seconds: float, min_faults: int
) -> None:
    seed = int(os.environ.get("RICHREGIME_SOAK_SEED") or secrets.randbelow(10**6))
    home = tmp_path / "soak"
    home.mkdir()
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    soak = Soak(soak_settings(home), seed)
    try:
        soak.run(seconds)
        found = soak.examine(reference)
        statuses = soak.statuses()
    finally:
        soak.close()
    faults = f"{soak.num_faults} faults {dict(soak.injected)}"
    report = f"seed {seed}: {faults}, runs {dict(statuses)}; {found}"
    print(report)
    assert found.all() == [], report
    assert set(statuses) <= {"succeeded", "cancelled"}, report
    assert soak.num_faults >= min_faults, report
