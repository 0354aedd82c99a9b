"""How the threads of torch wait for one another. No torch."""

from __future__ import annotations

import os


def wait_passively() -> None:
    """Let threads that wait give their core away; call it before torch is loaded.

    By default waiting threads of OpenMP keep their cores busy, and a training with several threads
    beside other programs then takes many times as long: those that compute get no core. A value of
    `OMP_WAIT_POLICY` that the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
