"""Turns errors that Starlette writes as plain text, such as those of ranges, into problems."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import CODES, problem_response
from engine.errors import FieldError
from schemas.problems import ProblemCode

REPLACED = ("content-type", "content-length")


class PlainTextErrors:
    """ASGI middleware that sends a problem instead of an error of the type `text/plain`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        text = b""

        async def send_problem(message: Message) -> None:
            nonlocal start, text
            if message["type"] == "http.response.start" and _is_plain_text_error(message):
                start = message
            elif start is None:
                await send(message)
            else:
                text += message.get("body", b"")
                if not message.get("more_body"):
                    request = Request(scope)
                    await _problem_of(request, start, text.decode())(scope, receive, send)

        await self._app(scope, receive, send_problem)


def _is_plain_text_error(start: Message) -> bool:
    media_type = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] >= 400 and media_type.startswith("text/plain")


def _problem_of(request: Request, start: Message, text: str) -> Response:
    status, headers = start["status"], Headers(raw=start["headers"])
    kept = {name: value for name, value in headers.items() if name not in REPLACED}
    code = CODES.get(status, ProblemCode.INVALID_REQUEST)
    wanted = request.headers.get("range")
    if wanted is None or status not in (400, 416):
        return problem_response(request, status, code, text, headers=kept)
    size = headers.get("content-range", "").rpartition("/")[2]
    reason = f"the file has {int(size):,} bytes" if size else text.rstrip(".").lower()
    detail = f"the header Range is {wanted[:80]!r}: {reason}; a range is like `bytes=0-99`"
    errors = [FieldError("#/header/range", "range", reason)]
    return problem_response(request, status, code, detail, errors, kept)
