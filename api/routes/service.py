"""The service itself: workers, queue, storage, limits, liveness."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.dependencies import StateDep
from api.http.problems import ProblemRaised
from schemas.base import Page, Resource
from schemas.problems import ProblemCode
from schemas.resources import Limits, QueueState, Storage, Worker
from storage.delivery.wake_ups import ping
from storage.files.usage import measure_storage
from storage.runs.resources import queue_state
from storage.runs.workers import count_listening, list_workers

router = APIRouter(tags=["service"])


class Health(Resource):
    status: str


class Readiness(Resource):
    ready: bool
    database: bool
    broker: bool
    workers_listening: int


@router.get("/workers")
def get_workers(state: StateDep) -> Page[Worker]:
    """Who works on what device."""
    with state.db.read() as session:
        return Page[Worker](items=list_workers(session))


@router.get("/queue")
def get_queue(state: StateDep) -> QueueState:
    """What waits, what runs, who listens."""
    with state.db.read() as session:
        return queue_state(session)


@router.get("/storage")
def get_storage(state: StateDep) -> Storage:
    """What the stored files take: by role, by experiment, by nobody; and what the disk still takes."""
    return measure_storage(state.db, state.blobs)


@router.get("/limits")
def get_limits(state: StateDep) -> Limits:
    """The limits in force, and what of them is used: by the caller's owner, without keys by all."""
    names = Limits.model_fields.keys() - {"used"}
    return Limits(
        used=state.quotas.used(state.owner),
        **{name: getattr(state.settings, name) for name in names},
    )


@router.get("/healthz")
def get_health() -> Health:
    """The API answers."""
    return Health(status="ok")


@router.get("/readyz")
def get_readiness(state: StateDep) -> Readiness:
    """Database, broker and a worker are there; 503 and what is missing otherwise."""
    with state.db.read() as session:
        listening = sum(count_listening(session).values())
    broker = ping(state.settings)
    found = Readiness(
        ready=broker and listening > 0, database=True, broker=broker, workers_listening=listening
    )
    if not found.ready:
        missing = [
            *(() if broker else ("the broker does not answer",)),
            *(() if listening else ("no worker listens",)),
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
    """Counts of everyone's work for Prometheus, from the database, and the times of this process's answers."""
    return Response(state.watch.text(), media_type=CONTENT_TYPE_LATEST)
