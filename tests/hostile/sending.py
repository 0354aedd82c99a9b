"""Hooks for schemathesis: how zip archives are sent, and a check of `Retry-After`."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/zip")
def send_as_it_is(context: schemathesis.SerializationContext, value: Any) -> Any:
    """A zip archive is sent as bytes, valid or not."""
    return value


@schemathesis.check
def an_unavailable_service_sends_retry_after(
    context: schemathesis.CheckContext,
    response: schemathesis.Response,
    case: schemathesis.Case[Any],
) -> None:
    """Probes excepted: they report the present state."""
    if response.status_code in (503, 507) and case.path != "/readyz":
        assert int(response.headers["retry-after"][0]) > 0
