"""The service itself: workers, queue, storage, limits, liveness."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.dependencies import StateDep
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from schemas.audit import Action
from schemas.base import Page
from schemas.health import Health, Readiness
from schemas.problems import ProblemCode
from schemas.resources import Limits, QueueState, Storage, Worker
from storage.access.audit import record
from storage.database.engine import Session
from storage.delivery.wake_ups import ping
from storage.experiments.queue import read_queue
from storage.files.usage import measure_storage
from storage.runs.cordons import remove_cordon, set_cordon
from storage.runs.transitions import list_overdue_needs
from storage.runs.waiting import describe_absence
from storage.runs.workers import count_absent, count_listening, list_workers

WorkerPath = Annotated[
    str, Path(description="The id of a worker, or the host of workers.", max_length=200)
]

router = Router(tags=["service"])


@router.get("/workers")
def get_workers(state: StateDep) -> Page[Worker]:
    """List the workers and their devices."""
    with state.db.read() as session:
        return Page[Worker](items=list_workers(session))


@router.post("/workers/{worker}/cordon")
def cordon_worker(
    worker: WorkerPath,
    state: StateDep,
    hand_back: Annotated[
        bool,
        Query(description="Also save what runs there, at the next step, and queue it again."),
    ] = False,
) -> Page[Worker]:
    """Let a worker, or all of a host, finish what they run and take no more; returns them.

    It stays so until it is uncordoned, that of a host also where its workers are started again. A
    repeated call sets `hand_back` anew. 404 where no worker of the last day has this id or host.
    """
    with state.db.write() as session:
        set_cordon(session, worker, hand_back=hand_back)
        record(session, Action.CORDONED, worker[:64], "hand_back" if hand_back else None)
        return _workers_named(session, worker)


@router.post("/workers/{worker}/uncordon")
def uncordon_worker(worker: WorkerPath, state: StateDep) -> Page[Worker]:
    """Let a worker, or all of a host, take runs again; returns them."""
    with state.db.write() as session:
        if remove_cordon(session, worker):
            record(session, Action.UNCORDONED, worker[:64])
        needs = list_overdue_needs(session, 0.0)
        found = _workers_named(session, worker)
    state.wake_ups.send(needs)
    return found


def _workers_named(session: Session, name: str) -> Page[Worker]:
    return Page[Worker](items=[one for one in list_workers(session) if name in (one.id, one.host)])


@router.get("/queue")
def get_queue(state: StateDep) -> QueueState:
    """Count runs and listening workers, and list the experiments that wait with their starts."""
    with state.db.read() as session:
        return read_queue(session, limit_per_owner=state.settings.limit_running_per_owner)


@router.get("/storage")
def get_storage(state: StateDep) -> Storage:
    """Bytes of the stored files by role and experiment, of orphans, and free on the disk."""
    return measure_storage(state.db, state.blobs)


@router.get("/limits")
def get_limits(state: StateDep) -> Limits:
    """The limits in force, what the key may do, and what its owner uses; without keys, all use."""
    names = Limits.model_fields.keys() - {"used", "scopes"}
    return Limits(
        used=state.quotas.used(state.owner),
        scopes=list(state.scopes),
        **{name: getattr(state.settings, name) for name in names},
    )


@router.get("/healthz")
async def get_health() -> Health:
    """Liveness: the API responds. It needs no thread, which requests that compute may hold."""
    return Health(status="ok")


@router.get("/readyz")
def get_readiness(state: StateDep) -> Readiness:
    """Readiness: database, broker and a worker respond; otherwise 503 with what is missing."""
    with state.db.read() as session:
        listening = sum(count_listening(session).values())
        absence = "" if listening else describe_absence(count_absent(session))
    broker = ping(state.settings)
    found = Readiness(
        ready=broker and listening > 0, database=True, broker=broker, workers_listening=listening
    )
    if not found.ready:
        missing = [
            *(() if broker else ("the broker does not answer",)),
            *(() if listening else (absence,)),
        ]
        raise ProblemRaised(
            503, ProblemCode.UNAVAILABLE, "; ".join(missing), headers={"Retry-After": "2"}
        )
    return found


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_metrics(state: StateDep) -> Response:
    """Metrics for Prometheus: counts of all owners, and this process's response times.

    A key needs the scope `admin` to get the bytes of the stored files, too.
    """
    text = state.prometheus.render(with_files=state.sees_all)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
