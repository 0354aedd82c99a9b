"""What the search by description is told beside it: how archives are sent, and that who is turned away hears until when."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/zip")
def send_as_it_is(context: schemathesis.SerializationContext, value: Any) -> Any:
    """An archive is bytes, valid or not."""
    return value


@schemathesis.check
def a_busy_service_says_when_to_come_again(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """Probes apart, which are told of the moment."""
    if response.status_code in (503, 507) and case.path != "/readyz":
        assert int(response.headers["retry-after"][0]) > 0
