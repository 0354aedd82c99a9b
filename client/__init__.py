"""The Python client of the service: submit, follow and fetch experiments, blocking or async."""

from client.async_client import AsyncClient
from client.client import Client
from client.errors import (
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
