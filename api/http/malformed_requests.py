"""Answers bytes that are no HTTP request with a problem: no application sees them."""

from __future__ import annotations

from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.http.problems import CODES, TITLES, problem_type
from schemas.problems import PROBLEM_MEDIA_TYPE, Problem

STATUS = HTTPStatus.BAD_REQUEST


class HttpProtocol(H11Protocol):
    """Uvicorn's protocol, whose own response to such bytes would be plain text."""

    service_path = ""
    """The path below which the service is reached; a proxy's header cannot be read here."""

    def send_400_response(self, msg: str) -> None:
        """Send a problem and close the connection. msg: why the request cannot be read."""
        code = CODES[STATUS]
        problem = Problem(
            type=problem_type(code, self.service_path),
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


def http_protocol(root_path: str) -> type[HttpProtocol]:
    """The protocol of a service that is reached below `root_path`."""
    return type("HttpProtocol", (HttpProtocol,), {"service_path": root_path})
