"""How the threads of torch wait for one another. No torch."""

from __future__ import annotations

import os

SPINS = 1_000
"""Some ten microseconds: as long as the threads of a training that runs alone wait"""


def wait_briefly() -> None:
    """Let threads that wait for long give their core away; call it before torch is loaded.

    By default waiting threads of OpenMP keep their cores busy for milliseconds, and a training with
    several threads beside other programs then takes many times as long: those that compute get no
    core. Where they wait passively from the start, a training alone takes twice as long. A value of
    `GOMP_SPINCOUNT` that the user has set stays.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
