"""Server-sent events of one experiment: replayed from any sequence number, followed live, ended with `event: end`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from api.dependencies import State
from schemas.events import Event, EventName
from storage.access.logins import are_credentials_valid
from storage.errors import NotFound
from storage.experiments import find
from storage.results import events

POLL_SECONDS = 0.25
COMMENT_SECONDS = 15.0
PAGE = 500


class EventStream(StreamingResponse):
    """Holds one of the application's `streams`, acquired by whoever makes it, until the client has gone."""

    def __init__(self, state: State, experiment_id: str, after: int) -> None:
        self._state = state
        super().__init__(
            follow(state, experiment_id, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._state.streams.release()


async def follow(state: State, experiment_id: str, after: int) -> AsyncIterator[str]:
    """The stream's text: events behind `after`, a comment every 15 s of silence, `end` when nothing more can come."""
    silent = 0.0
    yield ": open\n\n"
    while not state.closing.is_set():
        found = await run_in_threadpool(_read_on, state, experiment_id, after)
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


def _read_on(state: State, experiment_id: str, after: int) -> tuple[list[Event], bool] | None:
    """The next events, and whether the experiment is over (or gone); None where the reader's key or login holds no more.

    The status is read first: an event that came with the last move is on this page or the next.
    """
    with state.db.read() as session:
        if not are_credentials_valid(session):
            return None
        try:
            row = find.get_experiment(session, experiment_id)
        except NotFound:
            return [], True
        return events.list_events(session, experiment_id, after, PAGE), row.status.is_terminal
