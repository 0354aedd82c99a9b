"""`python -m tests.hostile.fuzzing TARGET HOME SECONDS`: fuzz one target.

Inputs are guided by coverage if atheris is installed, otherwise random. Exits with 0 and a line of
counts, or at the first input that fails the check.
"""

from __future__ import annotations

import base64
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, given, settings

HAS_ATHERIS = find_spec("atheris") is not None
OURS = ["api", "engine", "schemas", "storage"]
MAX_CHOICES = 8_192
"""Bytes from which an input is drawn"""


def main(name: str, home: Path, seconds: float) -> None:
    if HAS_ATHERIS:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

        watched = atheris.instrument_imports(include=OURS)
    with watched if HAS_ATHERIS else nullcontext():
        from tests.hostile.bounds import bounded
        from tests.hostile.ground import open_ground
        from tests.hostile.targets import targets

    counts: Counter[bool] = Counter()
    with open_ground(home) as ground:
        target = targets(ground)[name]

        @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(target.inputs)
        def search(data: bytes) -> None:
            try:
                with bounded():
                    counts[target.check(data)] += 1
            except BaseException:
                print(f"{name} fails on {base64.b64encode(data).decode()}", flush=True)
                raise

        draw: Callable[[bytes], object] = search.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
        ends_at = time.monotonic() + seconds

        def try_one(choices: bytes) -> None:
            if time.monotonic() > ends_at:
                guide = "coverage" if HAS_ATHERIS else "chance"
                total = counts.total()
                print(
                    f"{name}: {total:,} inputs in {seconds:g} s, {counts[True]:,} accepted, "
                    f"guided by {guide}",
                    flush=True,
                )
                os._exit(0)  # the only way to end atheris
            draw(choices)

        _feed(try_one)


def _feed(try_one: Callable[[bytes], None]) -> None:
    if HAS_ATHERIS:
        import atheris

        options = [
            f"-max_len={MAX_CHOICES}",
            "-len_control=0",
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options], try_one)
        atheris.Fuzz()
    rng = random.Random()
    while True:
        try_one(rng.randbytes(rng.randrange(MAX_CHOICES)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
