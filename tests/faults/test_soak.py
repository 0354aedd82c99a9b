"""Soaks: random faults, alone and beside a hostile owner.

One minute by default, ten with `./test soak`; RICHREGIME_SOAK_SEED repeats a soak.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from schemas.access import Scope
from tests.api.keys import make_key
from tests.faults.api_process import run_api
from tests.faults.hostile_owner import HostileOwner
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


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    folder = tmp_path / "soak"
    folder.mkdir()
    (folder / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    return folder


def run_soak(soak: Soak, seconds: float, reference: Reference, min_faults: int) -> str:
    """Run and close the soak; returns its report. Fails where an invariant does not hold."""
    try:
        soak.run(seconds)
        found = soak.examine(reference)
        statuses = soak.statuses()
    finally:
        soak.close()
    faults = f"{soak.num_faults} faults {dict(soak.injected)}"
    report = f"seed {soak.seed}: {faults}, runs {dict(statuses)}; {found}"
    assert found.all() == [], report
    assert set(statuses) <= {"succeeded", "cancelled"}, report
    assert soak.num_faults >= min_faults, report
    return report


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("seconds", "min_faults"), [(60.0, 3), pytest.param(600.0, 100, marks=pytest.mark.soak)]
)
def test_random_faults_violate_no_invariant(
    home: Path, reference: Reference, seconds: float, min_faults: int
) -> None:
    print(run_soak(Soak(soak_settings(home), new_seed()), seconds, reference, min_faults))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("seconds", "min_faults"), [(60.0, 3), pytest.param(600.0, 50, marks=pytest.mark.soak)]
)
def test_a_hostile_owner_beside_the_faults_violates_no_invariant_and_sees_nothing(
    home: Path, reference: Reference, seconds: float, min_faults: int
) -> None:
    soak = Soak(soak_settings(home), new_seed(), owner="honest", name="marker-of-the-honest")
    scopes = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
    keys = {"max_failed_keys_per_minute": 1_000_000}
    key = make_key(soak.harness.db, *scopes, owner="hostile")
    with run_api(home, **keys) as api:
        hostile = HostileOwner(api.url, key, lambda: soak.accepted, "marker-of-the-hon", soak.seed)
        hostile.start()
        soak.before_settling = hostile.stop
        report = run_soak(soak, seconds, reference, min_faults)
    print(report, dict(hostile.sent), f"/healthz p99 {hostile.health_p99() * 1e3:.0f} ms")
    assert hostile.seen == []
    assert hostile.failures == []
    assert sum(hostile.sent.values()) > 100


def new_seed() -> int:
    return int(os.environ.get("RICHREGIME_SOAK_SEED") or secrets.randbelow(10**6))
