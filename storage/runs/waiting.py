"""Why queued runs wait even when it is their turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from storage.runs.placement import Capacity, Needs


def why_waiting(
    needs: Mapping[Needs, int], offered: Collection[Capacity], num_not_ready: int
) -> str | None:
    """Why no worker takes runs with these needs, described by the run that needs most memory.

    needs: the number of queued runs by their needs. offered: what listening workers offer.
    num_not_ready: running worker processes without a ready slot. None where every run fits.
    """
    misfits = [one for one in needs if not any(capacity.fits(one) for capacity in offered)]
    if not misfits:
        return None
    worst = max(misfits, key=lambda one: one.memory_bytes)
    runs = f"{needs[worst]} runs wait" if needs[worst] > 1 else "1 run waits"
    if offered:
        return f"{runs} for a worker with {worst.describe()}; no listening worker has it"
    return f"{runs}: {describe_absence(num_not_ready)}"


def describe_absence(num_not_ready: int) -> str:
    """What to say where no worker is listening. num_not_ready: as in `why_waiting`."""
    if not num_not_ready:
        return "no worker is listening"
    processes = "1 worker has" if num_not_ready == 1 else f"{num_not_ready} workers have"
    return (
        f"no worker is listening; {processes} no ready slot: child processes are starting, or "
        "their start fails and the worker's log says why"
    )
