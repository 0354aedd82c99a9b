"""Server-sent events of one experiment: replay from a sequence number, then live, until the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from api.dependencies import State
from api.http.negotiation import EVENT_STREAM, VARY
from schemas.events import Event, EventName
from storage.access.logins import are_credentials_valid
from storage.errors import NotFound
from storage.experiments import find
from storage.results import events

POLL_SECONDS = 0.25
COMMENT_SECONDS = 15.0
PAGE = 500


class EventStream(StreamingResponse):
    """Closes one of the application's `streams` when the client disconnects.

    The caller opens it.
    """

    def __init__(self, state: State, experiment_id: str, after: int) -> None:
        self._state = state
        super().__init__(
            follow(state, experiment_id, after),
            media_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **VARY},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.streams.close(self._state.owner)


async def follow(state: State, experiment_id: str, after: int) -> AsyncIterator[str]:
    """The text of the stream: events after `after`, a comment after each 15 s without an event.

    `event: end` is last, when the experiment is terminal and every event was sent.
    """
    silent = 0.0
    yield ": open\n\n"
    while not state.closing.is_set():
        found = await run_in_threadpool(_read_next, state, experiment_id, after)
        if found is None:
            return
        page, terminal = found
        for event in page:
            after = event.sequence
            yield f"id: {after}\nevent: {event.name}\ndata: {event.model_dump_json()}\n\n"
        if page:
            silent = 0.0
            continue
        if terminal:
            yield f'event: {EventName.END}\ndata: {{"sequence": {after}}}\n\n'
            return
        await asyncio.sleep(POLL_SECONDS)
        silent += POLL_SECONDS
        if silent >= COMMENT_SECONDS:
            silent = 0.0
            yield ": still here\n\n"


def _read_next(state: State, experiment_id: str, after: int) -> tuple[list[Event], bool] | None:
    """The next events, and whether the experiment is terminal or deleted.

    None where the key or login of the request is no longer valid.
    The status is read before the events, so none that precedes the end is missed.
    """
    with state.db.read() as session:
        if not are_credentials_valid(session):
            return None
        try:
            row = find.get_experiment(session, experiment_id)
        except NotFound:
            return [], True
        return events.list_events(session, experiment_id, after, PAGE), row.status.is_terminal
