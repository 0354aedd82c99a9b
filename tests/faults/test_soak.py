"""A minute of random faults in the default suite, ten behind `./test soak`; RICHREGIME_SOAK_SEED repeats one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from tests.faults.conftest import Bench
from tests.faults.invariants import Reference
from tests.faults.soaking import SEEDS, SPECS, Soak, soak_settings

pytestmark = pytest.mark.xdist_group("soak")


@pytest.fixture
def reference(bench: Bench) -> Reference:
    bench.settings = bench.settings.model_copy(update={"checkpoint_seconds": 3600.0})
    found: dict[tuple[str, tuple[int, ...]], tuple[object, ...]] = {}
    for spec in SPECS:
        for seeds in SEEDS:
            found |= bench.reference(spec, seeds)
    return found


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("seconds", "least_faults"), [(60.0, 3), pytest.param(600.0, 100, marks=pytest.mark.soak)]
)
def test_random_faults_break_no_promise(
    tmp_path: Path, sqlite_template: Path, reference: Reference, seconds: float, least_faults: int
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
    told = (
        f"seed {seed}: {soak.num_faults} faults {dict(soak.done)}, runs {dict(statuses)}; {found}"
    )
    print(told)
    assert found.all() == [], told
    assert set(statuses) <= {"succeeded", "cancelled"}, told
    assert soak.num_faults >= least_faults, told
