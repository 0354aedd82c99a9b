"""Everything that can go wrong in the client, as one small tree.

ClientError
├── ProblemError         the service said no; `.problem` holds every field that is wrong
├── ServiceUnreachable   there was no answer
├── UnexpectedAnswer     there was an answer, but not one of this service
├── WaitTimeout          the experiment was not finished in time; it goes on
├── BadDownload          the bytes are not those that were asked for
└── ExtraMissing         a package that this format needs is not installed
"""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from schemas.problems import PROBLEM_MEDIA_TYPE, Problem


class ClientError(Exception):
    """Base of all errors the client raises on purpose."""


class ProblemError(ClientError):
    """The service refused; holds its whole answer."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        lines = [f"{problem.code} ({problem.status}): {problem.detail}"]
        lines += [f"  {error.pointer}: {error.detail}" for error in problem.errors or []]
        if problem.request_id and problem.status >= 500:
            lines.append(f"  request {problem.request_id}")
        super().__init__("\n".join(lines))


class ServiceUnreachable(ClientError):
    """No answer came, after every retry that is safe."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(
            f"no answer from {url}: {str(cause) or type(cause).__name__}. "
            "Is the service up (`./run`), and is this its address (--url or RICHREGIME_URL)?"
        )


class UnexpectedAnswer(ClientError):
    """An answer that does not keep the contract: another service, or another version."""


class WaitTimeout(ClientError):
    """The experiment was not finished in time. It goes on; waiting may be taken up again."""


class BadDownload(ClientError):
    """The bytes that came do not have the sha256 that the service stated."""


class ExtraMissing(ClientError):
    """An export needs a package that is installed with an extra."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'richregime[export]'")


def error_of(response: httpx.Response) -> ClientError:
    """The error that a 4xx or 5xx answer stands for. Its body must have been read."""
    problem = _problem_of(response)
    if problem is not None:
        return ProblemError(problem)
    return UnexpectedAnswer(
        f"{response.request.method} {response.request.url} answered {response.status_code} "
        f"without a problem this client knows: {response.text[:200]!r}"
    )


def _problem_of(response: httpx.Response) -> Problem | None:
    if not response.headers.get("content-type", "").startswith(PROBLEM_MEDIA_TYPE):
        return None
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None
