"""Why queued runs wait even when it is their turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from storage.runs.placement import Capacity, Needs


class AbsentWorkers(NamedTuple):
    """The number of running worker processes that take no runs."""

    not_ready: int = 0
    """Without a ready slot"""
    cordoned: int = 0


def why_waiting(
    needs: Mapping[Needs, int], offered: Collection[Capacity], absent: AbsentWorkers
) -> str | None:
    """Why no worker takes runs with these needs, described by the run that needs most memory.

    needs: the number of queued runs by their needs. offered: what listening workers offer.
    None where every run fits.
    """
    misfits = [one for one in needs if not any(capacity.fits(one) for capacity in offered)]
    if not misfits:
        return None
    worst = max(misfits, key=lambda one: one.memory_bytes)
    runs = f"{needs[worst]} runs wait" if needs[worst] > 1 else "1 run waits"
    if offered:
        return f"{runs} for a worker with {worst.describe()}; no listening worker has it"
    return f"{runs}: {describe_absence(absent)}"


def describe_absence(absent: AbsentWorkers) -> str:
    """What to say where no worker is listening."""
    reasons = []
    if absent.cordoned:
        processes = "1 is" if absent.cordoned == 1 else f"{absent.cordoned} are"
        reasons.append(f"{processes} cordoned (`richregime uncordon` ends it)")
    if absent.not_ready:
        processes = "1 worker has" if absent.not_ready == 1 else f"{absent.not_ready} workers have"
        reasons.append(
            f"{processes} no ready slot: child processes are starting, or their start fails and "
            "the worker's log says why"
        )
    return "; ".join(["no worker is listening", *reasons])
