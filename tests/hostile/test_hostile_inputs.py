"""Every input is refused with a message or usable, in bounded time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.hostile.bounds import bounded
from tests.hostile.ground import Ground
from tests.hostile.targets import targets
from tests.workers.worker_harness import ROOT

pytestmark = pytest.mark.usefixtures("denormals")

NAMES = ("spec", "submission", "cursor", "weights", "npz", "import", "bundle", "accept")
SECONDS = float(os.environ.get("RICHREGIME_FUZZ_SECONDS", "600"))


@pytest.mark.parametrize("name", NAMES)
def test_no_input_of_a_short_search_fails(ground: Ground, name: str) -> None:
    target = targets(ground)[name]

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def search(data: st.DataObject) -> None:
        found = data.draw(target.inputs)
        with bounded():
            target.check(found)

    search()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", NAMES)
def test_no_input_of_a_long_search_fails(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.fuzzing", name, str(tmp_path), str(SECONDS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print("\n".join(done.stdout.splitlines()[-60:]))
    assert done.returncode == 0
