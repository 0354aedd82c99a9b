"""Gives each owner a share of the threads that compute, and drops work that nobody waits for.

The event loop and the health checks need none of these threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from fastapi import Request
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.negotiation import EVENT_STREAM
from api.http.problems import ProblemRaised, problem_response
from api.http.request_work import CallerGone, RequestWork, current_work
from api.middleware.authentication import MCP_PATH, required_scope
from api.middleware.origins import SAFE_METHODS
from api.middleware.rate_limits import join_rates
from engine.durations import format_seconds
from schemas.access import Scope as KeyScope
from schemas.problems import ProblemCode

if TYPE_CHECKING:
    from api.dependencies import State

log = logging.getLogger("richregime.api")

REQUESTS = 8
"""Requests that compute at once; reads and writes each, so that neither waits for the other."""
REQUESTS_PER_OWNER = 2
"""Python computes one thread at a time: beside more of them, health checks and others wait."""
REQUESTS_WITHOUT_KEYS = 4
"""Of a service without keys, which has one user."""
BODIES_PER_OWNER = 100
"""Bodies that one owner sends at once"""
SILENT_SECONDS = 60.0
"""A body of which nothing arrives for so long is given up."""


class Turns:
    """Lets a number of requests compute at once, and of each owner a smaller number.

    The others wait. The owner with the fewest computing requests is next, of several the one that
    waits longest; an owner's own requests keep their order. An owner of None is the only user of a
    service without keys.
    """

    def __init__(self) -> None:
        self._computing: Counter[str | None] = Counter()
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    def take_free(self, owner: str | None) -> bool:
        """Take a turn without waiting, if one is free and no request of the owner waits."""
        if owner in self._waiting or not self._may_compute(owner):
            return False
        self._computing[owner] += 1
        return True

    async def take(self, owner: str | None) -> None:
        """Wait for a turn of the owner; every turn must be given back."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # granted and cancelled at the same time
                self.give_back(owner)
            raise

    def give_back(self, owner: str | None) -> None:
        self._computing[owner] -= 1
        if not self._computing[owner]:
            del self._computing[owner]
        self._grant()

    def _may_compute(self, owner: str | None) -> bool:
        share = REQUESTS_WITHOUT_KEYS if owner is None else REQUESTS_PER_OWNER
        return self._computing.total() < REQUESTS and self._computing[owner] < share

    def _grant(self) -> None:
        while True:
            ready = [owner for owner in self._waiting if self._may_compute(owner)]
            if not ready:
                return
            owner = min(ready, key=lambda one: self._computing[one])
            waiting = self._waiting.pop(owner)
            turn = waiting.popleft()
            if waiting:
                self._waiting[owner] = waiting  # behind the other owners
            if not turn.done():  # its client has gone otherwise
                self._computing[owner] += 1
                turn.set_result(None)


class WorkShares:
    """ASGI middleware inside the authentication.

    A request takes a turn when its body is complete, so that slow senders hold none, and gives it
    back with the last part of its response. A request whose client disconnects before its turn is
    not computed; one that computes learns of it by `require_caller`. The CPU time of a key counts
    towards its limit.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app, self._max_body_bytes = app, max_body_bytes
        self._bodies: Counter[str | None] = Counter()
        self._turns: Mapping[bool, Turns] = MappingProxyType(
            {is_read: Turns() for is_read in (False, True)}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = get_route_path(scope)
        needed = required_scope(scope["method"], path)
        if needed is None:
            await self._app(scope, receive, send)
            return
        is_read = needed in (KeyScope.READ, KeyScope.ADMIN)
        turns = None if path == MCP_PATH else self._turns[is_read]
        caller = _Caller(scope, receive, turns, self._bodies)
        has_no_body = scope["method"] in SAFE_METHODS
        try:
            caller.start_body()
            await caller.receive_body(self._max_body_bytes, whole=has_no_body)
            with current_work(caller.work):
                await self._app(scope, caller.receive, caller.sending(send))
        except ProblemRaised as refused:
            response = problem_response(
                Request(scope),
                refused.status,
                refused.code,
                refused.detail,
                headers=refused.headers,
            )
            await response(scope, receive, send)
        except CallerGone:
            log.info("the client disconnected; its request is dropped")
        finally:
            caller.close()


class _Caller:
    """One request: its messages, its turn, its work."""

    def __init__(
        self, scope: Scope, receive: Receive, turns: Turns | None, bodies: Counter[str | None]
    ) -> None:
        """turns: None for a request that only waits for others, which take turns themselves."""
        self._scope, self._receive, self._turns = scope, receive, turns
        self._bodies = bodies
        identity = scope["state"]["identity"]
        self._key_id = None if identity is None else identity.key_id
        self._owner = None if identity is None else identity.owner
        self._rate: Mapping[str, str] = scope["state"]["rate"]
        self._received: deque[Message] = deque()
        self._is_complete = self._has_turn = self._is_sending = False
        self._gone = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._charged = 0.0
        self.work = RequestWork()

    def start_body(self) -> None:
        """Count the body until it has ended. Raises a 429 problem for too many of the owner."""
        if self._bodies[self._owner] >= BODIES_PER_OWNER:
            detail = f"{BODIES_PER_OWNER} bodies of yours are being sent; this is the limit"
            raise ProblemRaised(
                429, ProblemCode.RATE_LIMITED, detail, headers={"Retry-After": "10"}
            )
        self._is_sending = True
        self._bodies[self._owner] += 1

    def _end_body(self) -> None:
        if self._is_sending:
            self._is_sending = False
            self._bodies[self._owner] -= 1
            if not self._bodies[self._owner]:
                del self._bodies[self._owner]

    async def receive_body(self, limit: int, *, whole: bool) -> None:
        """Receive up to `limit` bytes ahead of the route; then take a turn if the body has ended.

        whole: take it in any case, as the route reads no body. Raises CallerGone.
        """
        size = 0
        while not self._is_complete and size <= limit:
            message = await self._receive_next()
            size += len(message.get("body", b""))
            self._received.append(message)
        if self._is_complete or whole:
            await self._take_turn()

    async def receive(self) -> Message:
        """The `receive` of the route."""
        if self._received:
            return self._received.popleft()
        if self._is_complete:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive_next()
        if not message.get("more_body") and not self._has_turn:
            await self._take_turn()
        return message

    def sending(self, send: Send) -> Send:
        """The `send` of the route."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._charge()
                media_type = Headers(raw=message["headers"]).get("content-type", "")
                if media_type.startswith(EVENT_STREAM):
                    self._give_back()
            elif not message.get("more_body"):
                self._give_back()
            await send(message)

        return send_counted

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._give_back()
        self._end_body()
        self._charge()

    async def _receive_next(self) -> Message:
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                message = await self._receive()
        except TimeoutError:
            detail = f"nothing of the body has arrived for {format_seconds(SILENT_SECONDS)}"
            raise ProblemRaised(408, ProblemCode.INVALID_REQUEST, detail) from None
        if message["type"] == "http.disconnect":
            raise CallerGone
        if not message.get("more_body"):
            self._is_complete = True
            self._end_body()
            self._watching = asyncio.create_task(self._watch())
        return message

    async def _watch(self) -> None:
        """Notice the disconnect: it is the only message after the body."""
        await self._receive()
        self.work.caller_is_gone = True
        self._gone.set()

    async def _take_turn(self) -> None:
        if self._turns is None:
            return
        if self._turns.take_free(self._owner):
            self._has_turn = True
            return
        turn = asyncio.ensure_future(self._turns.take(self._owner))
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((turn, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if turn.done() and not turn.cancelled():
                self._has_turn = True
            else:
                turn.cancel()
        if self.work.caller_is_gone:
            raise CallerGone

    def _give_back(self) -> None:
        if self._turns is not None and self._has_turn:
            self._has_turn = False
            self._turns.give_back(self._owner)

    def _charge(self) -> None:
        """Count the CPU time since the last call, and put what is left into the headers."""
        if self._key_id is None:
            return
        state: State = self._scope["app"].state.richregime
        seconds, self._charged = self.work.cpu_seconds - self._charged, self.work.cpu_seconds
        left = state.cpu.charge(self._key_id, seconds)
        self._scope["state"]["rate"] = join_rates(self._rate, left)
