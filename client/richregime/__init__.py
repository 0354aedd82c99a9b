"""The Python client of the service: submit, follow and fetch experiments, blocking or async."""

from richregime.async_client import AsyncClient
from richregime.client import Client
from richregime.errors import (
    BadDownload,
    ClientError,
    ExtraMissing,
    ProblemError,
    ServiceUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
)

__all__ = [
    "AsyncClient",
    "BadDownload",
    "Client",
    "ClientError",
    "ExtraMissing",
    "ProblemError",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "WaitTimeout",
]
