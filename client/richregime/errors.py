"""Every error that the client raises, as one tree.

ClientError
├── ProblemError         the service returned an error; `.problem` lists every invalid field
├── ServiceUnreachable   the service did not respond
├── UnexpectedResponse   the response is not one of this service
├── WaitTimeout          the experiment did not end in time; it continues
├── InvalidConnection    the given address or API key cannot be one; nothing was sent
├── InvalidArgument      an argument cannot be sent, such as an empty id; nothing was sent
├── BadDownload          the sha256 of a downloaded file is wrong
├── ExportFailed         the library of an experiment tracker could not write its files
└── ExtraMissing         a package that an extra installs is missing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from richregime.types import Problem


class ClientError(Exception):
    """Base class of all errors of the client."""


class ProblemError(ClientError):
    """The service returned an error. `problem` is its whole response."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        lines = [f"{problem.code} ({problem.status}): {problem.detail}"]
        lines += [f"  {error.pointer}: {error.detail}" for error in problem.errors or []]
        if problem.request_id and problem.status >= 500:
            lines.append(f"  request {problem.request_id}")
        super().__init__("\n".join(lines))


class ServiceUnreachable(ClientError):
    """The service did not respond, after every retry that is safe."""

    def __init__(self, url: str, cause: Exception) -> None:
        super().__init__(
            f"no response from {url}: {str(cause) or type(cause).__name__}. "
            "Is the service running (`./run`), and is the address right (--url or RICHREGIME_URL)?"
        )


class InvalidConnection(ClientError):
    """The given address or API key cannot be one; nothing was sent. No message contains the key."""


class InvalidArgument(ClientError):
    """An argument cannot be sent: an empty id, or a value that JSON does not have, such as NaN."""


class UnexpectedResponse(ClientError):
    """The response does not follow the API: another service, or an incompatible version."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class WaitTimeout(ClientError):
    """The experiment did not end in time. It continues, and you can wait again."""


class BadDownload(ClientError):
    """The downloaded bytes do not have the sha256 that the service stated."""


class ExportFailed(ClientError):
    """The library of an experiment tracker could not write its files."""


class ExtraMissing(ClientError):
    """A package is needed that an extra of the client installs."""

    def __init__(self, package: str, extra: str = "export") -> None:
        super().__init__(f"{package} is not installed: pip install 'richregime[{extra}]'")
