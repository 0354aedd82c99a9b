"""The service itself: workers, queue, storage, limits, liveness."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.dependencies import StateDep
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from schemas.base import Page
from schemas.health import Health, Readiness
from schemas.problems import ProblemCode
from schemas.resources import Limits, QueueState, Storage, Worker
from storage.delivery.wake_ups import ping
from storage.files.usage import measure_storage
from storage.runs.resources import queue_state
from storage.runs.waiting import describe_absence
from storage.runs.workers import count_listening, count_not_ready, list_workers

router = Router(tags=["service"])


@router.get("/workers")
def get_workers(state: StateDep) -> Page[Worker]:
    """List the workers and their devices."""
    with state.db.read() as session:
        return Page[Worker](items=list_workers(session))


@router.get("/queue")
def get_queue(state: StateDep) -> QueueState:
    """Count queued and running runs and listening workers."""
    with state.db.read() as session:
        return queue_state(session)


@router.get("/storage")
def get_storage(state: StateDep) -> Storage:
    """Bytes of the stored files by role and experiment, of orphans, and free on the disk."""
    return measure_storage(state.db, state.blobs)


@router.get("/limits")
def get_limits(state: StateDep) -> Limits:
    """The limits in force, and what the key's owner uses of them; without keys, what all use."""
    names = Limits.model_fields.keys() - {"used"}
    return Limits(
        used=state.quotas.used(state.owner),
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
        absence = "" if listening else describe_absence(count_not_ready(session))
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
