"""The event log of an experiment, as pages or as a stream."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Query, Response

from api.dependencies import StateDep
from api.experiments.event_stream import EventStream
from api.http.negotiation import EVENT_STREAM, JSON, VARY, choose
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from engine.errors import FieldError
from schemas.base import Page
from schemas.events import Event
from schemas.problems import ProblemCode
from storage.experiments import find
from storage.results import events

router = Router(tags=["progress"])

MAX_SEQUENCE = 2**31 - 1
AfterQuery = Annotated[
    int, Query(ge=0, le=MAX_SEQUENCE, description="Only events after this sequence number.")
]


@router.get(
    "/experiments/{experiment_id}/events",
    response_model=Page[Event],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def list_events(
    experiment_id: str,
    state: StateDep,
    response: Response,
    after: AfterQuery = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next_cursor` of the previous page.")
    ] = None,
    accept: Annotated[str | None, Header()] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """The event log as a page of JSON, or with `Accept: text/event-stream` as a stream.

    The stream resumes after `Last-Event-ID` and closes with `event: end`.
    """
    if cursor is not None:
        after = _read_sequence(cursor, "#/query/cursor")
    with state.db.read() as session:
        find.get_experiment(session, experiment_id)
        if choose(accept, (JSON, EVENT_STREAM)) == JSON:
            response.headers.update(VARY)
            found = events.list_events(session, experiment_id, after, limit)
            following = str(found[-1].sequence) if len(found) == limit else None
            return Page[Event](items=found, next_cursor=following)
    if last_event_id is not None:
        after = _read_sequence(last_event_id, "#/header/last-event-id")
    state.streams.open(state.owner)
    return EventStream(state, experiment_id, after)


def _read_sequence(text: str, pointer: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:12]) <= MAX_SEQUENCE:
        return int(text[:12])
    error = FieldError(pointer, "int_parsing", "must be the sequence number of an event")
    raise ProblemRaised(
        422, ProblemCode.INVALID_REQUEST, f"{text[:40]!r} is not a sequence number", [error]
    )
