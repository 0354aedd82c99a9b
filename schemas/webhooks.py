"""Webhooks of experiments, and the payload that is sent to them (Standard Webhooks)."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated

from pydantic import Field, HttpUrl, SecretStr, Strict, UrlConstraints

from schemas.base import Request, Resource, UtcDatetime
from schemas.status import ExperimentStatus, FailureReason, RunStatus

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret  # nosec B105
SECRET_FORMAT = f"`{SECRET_PREFIX}` and 24 to 64 bytes in base64"


class WebhookFormat(StrEnum):
    """What the body of a delivery is like."""

    STANDARD = "standard"
    """The experiment as JSON, signed as Standard Webhooks defines"""
    SLACK = "slack"
    """`{"text": ...}` for Slack and compatible receivers; signed only with a secret of its own"""


class Webhook(Request):
    """Receives a POST when the experiment ends."""

    url: Annotated[HttpUrl, Strict(False), UrlConstraints(max_length=2_000)] = Field(
        description="http or https, without credentials; a public address unless the service "
        "allows others."
    )
    secret: Annotated[SecretStr, Strict(False)] | None = Field(
        None,
        description=f"Signs the deliveries: {SECRET_FORMAT}. Null for the service's own secret; "
        "for `slack` it is not needed.",
    )
    format: Annotated[WebhookFormat, Strict(False)] = Field(
        WebhookFormat.STANDARD,
        description="`standard`: the experiment as JSON; `slack`: a line of text, which Slack and "
        "compatible receivers show.",
    )


class WebhookEvent(StrEnum):
    SUCCEEDED = "experiment.succeeded"
    FAILED = "experiment.failed"
    CANCELLED = "experiment.cancelled"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """All attempts failed."""


class EndedExperiment(Resource):
    """An experiment at its end; `links` lead to its result and more."""

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


class WebhookPayload(Resource):
    """The body of a delivery."""

    type: WebhookEvent
    timestamp: UtcDatetime
    """When the experiment ended."""
    data: EndedExperiment


def read_key(secret: str) -> bytes:
    """The key in a secret `whsec_...`. Raises ValueError; its message does not hold the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError(f"must be {SECRET_FORMAT}")
    return key
