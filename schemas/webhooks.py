"""Webhooks: where an experiment's end is told, and the delivery that is sent there (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, Strict, UrlConstraints

from schemas.base import Request, Resource, UtcDatetime
from schemas.status import ExperimentStatus, FailureReason, RunStatus

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins  # nosec B105
SECRET_FORM = f"`{SECRET_PREFIX}` and 24 to 64 bytes in base64"


class Webhook(Request):
    """Where to tell the end of an experiment."""

    url: Annotated[HttpUrl, Strict(False), UrlConstraints(max_length=2_000)] = Field(
        description="http or https, without credentials; at a public address unless the service allows others."
    )
    secret: Annotated[SecretStr, Strict(False)] | None = Field(
        None,
        description=f"Signs the deliveries: {SECRET_FORM}. Null: the service's own, where it has one.",
    )


class DeliveryType(StrEnum):
    SUCCEEDED = "experiment.succeeded"
    FAILED = "experiment.failed"
    CANCELLED = "experiment.cancelled"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up."""


class EndedExperiment(Resource):
    """An experiment at its end; `links` lead to the rest."""

    id: str
    kind: str
    name: str | None
    labels: dict[str, str]
    status: ExperimentStatus
    reason: FailureReason | None
    detail: str | None
    counts: dict[RunStatus, int]
    num_points: int
    seeds: list[int]
    digest: str
    created_at: UtcDatetime
    started_at: UtcDatetime | None
    finished_at: UtcDatetime
    links: dict[str, str]


class Delivery(Resource):
    """The body of what is sent."""

    type: DeliveryType
    timestamp: UtcDatetime
    """When the experiment ended."""
    data: EndedExperiment


def read_key(secret: str) -> bytes:
    """The key of a secret `whsec_...`. Raises ValueError, whose words do not hold the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"must be {SECRET_FORM}")
    return key
