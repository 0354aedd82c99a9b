"""Looks at the verdicts of experiments that add seeds until these are decided.

The child that ended the last run looks at once; the parents look at what was left, every few
seconds. Judges import no torch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from engine.own_claims.judge import OwnVerdict
from engine.paper.comparison import compare
from engine.paper.looks import read_look
from engine.paper.verdict import Verdict
from runtime.fault_points import reach
from runtime.log_once import log_once
from runtime.settings import Settings
from storage.database.engine import Database
from storage.errors import NotFound
from storage.experiments.looks import QueueLimits, find_due_look, list_due_looks, store_look
from storage.files.blobs import BlobStore
from storage.results.stored_results import StoredPlotInput
from storage.runs.placement import Needs

log = logging.getLogger("richregime.worker")


def look(db: Database, blobs: BlobStore, settings: Settings, experiment_id: str) -> Sequence[Needs]:
    """Look at the verdicts if that is due: the experiment then adds seeds, or ends.

    Returns the needs of the runs that were added. Raises UnreadableRow.
    """
    try:
        with db.read() as session:
            due = find_due_look(session, experiment_id)
        if due is None:
            return ()
        source = StoredPlotInput(db, blobs, experiment_id)
    except NotFound:
        return ()
    found = compare(source.kind, source.points, source.summary, due.plan.confidence, source.claims)
    reach("look.1")
    limits = QueueLimits(settings.limit_queued_per_owner, settings.max_queued_runs)
    outcome = read_look(found.verdicts, found.own_verdicts)
    verdicts = [*map(_describe, found.verdicts), *map(_describe_own, found.own_verdicts)]
    with db.write() as session:
        stored = store_look(session, due, outcome, verdicts, limits)
        reach("look.2")
    reach("look.3")
    if stored is None:
        log.info("experiment %s changed during a look, which is made again", experiment_id)
        return ()
    if stored.waits_for_queue:
        log.info("experiment %s: its next seeds wait until the queue takes them", experiment_id)
    return stored.needs


def look_at_all(db: Database, blobs: BlobStore, settings: Settings) -> list[Needs]:
    """Make every look that is due; a failure skips that experiment. As `look`."""
    last, needs = "", list[Needs]()
    while True:
        with db.read() as session:
            due = list_due_looks(session, after=last)
        if not due:
            return needs
        for experiment_id in due:
            with log_once(f"experiment {experiment_id}: its verdicts could not be looked at"):
                needs += look(db, blobs, settings, experiment_id)
        last = due[-1]


def _describe_own(verdict: OwnVerdict) -> dict[str, Any]:
    """A verdict on a claim of the submission in the event of a look."""
    return {
        "own_claim": verdict.name,
        "verdict": verdict.verdict,
        "value": verdict.value,
        "interval": verdict.interval,
        "n": verdict.n,
    }


def _describe(verdict: Verdict) -> dict[str, Any]:
    """A verdict in the event of a look."""
    return {
        "claim": verdict.claim,
        "point": verdict.point,
        "verdict": verdict.verdict,
        "value": verdict.value,
        "interval": verdict.interval,
        "n": verdict.n,
    }
