"""Answers bytes that are no HTTP request with a problem: no application sees them."""

from __future__ import annotations

from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.http.problems import CODES, TITLES
from schemas.problems import PROBLEM_MEDIA_TYPE, Problem

STATUS = HTTPStatus.BAD_REQUEST


class HttpProtocol(H11Protocol):
    """Uvicorn's protocol, whose own response would be plain text."""

    def send_400_response(self, msg: str) -> None:
        """Send a problem and close the connection. msg: why the request cannot be read."""
        code = CODES[STATUS]
        problem = Problem(
            type=f"urn:richregime:problem:{code}",
            title=TITLES[STATUS],
            status=STATUS,
            code=code,
            detail=msg,
        )
        body = problem.model_dump_json(exclude_none=True).encode()
        headers = [
            ("Content-Type", PROBLEM_MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        start = h11.Response(status_code=STATUS, headers=headers, reason=STATUS.phrase)
        for event in (start, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
