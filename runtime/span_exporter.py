"""Hides secrets in spans before they leave the process: paths, queries, exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.logs import hide_secrets


class RedactingExporter:
    """Exports spans by another exporter, with `***` in the place of each secret."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def export(self, spans: Sequence[Any]) -> Any:
        return self._inner.export([_redact(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._inner.force_flush(timeout_millis))


def _redact(span: Any) -> Any:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Status

    reason = span.status.description
    return ReadableSpan(
        name=hide_secrets(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_redact_attributes(span.attributes),
        events=[
            Event(one.name, _redact_attributes(one.attributes), one.timestamp)
            for one in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, None if reason is None else hide_secrets(reason)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redact_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: _redact_value(value) for name, value in (attributes or {}).items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_redact_value(one) for one in value]
    return value
