"""OpenTelemetry traces, from a request to its runs, where OpenTelemetry's variables enable them.

A run's row stores the W3C `traceparent` of its request, as a wake-up may be lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_MILLISECONDS = 2000

log = logging.getLogger("richregime.tracing")

_provider: TracerProvider | None = None


def is_tracing_configured(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's variables name an endpoint for traces and none disables them."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in ENDPOINTS)


def start_tracing(process: str) -> None:
    """Start to send traces where they are configured.

    Call it in the process that makes the spans: no thread survives a fork.
    process: part of the service name unless OTEL_SERVICE_NAME is set.
    """
    if not is_tracing_configured(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from runtime.span_exporter import RedactingExporter
    except ImportError:
        log.warning("traces are configured, but the extra `otel` is missing: pip install '.[otel]'")
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or f"richregime-{process}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    exporter: Any = RedactingExporter(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Make spans with this provider; None: make none."""
    global _provider
    _provider = provider


def provider() -> TracerProvider | None:
    """The current provider; None where tracing is off."""
    return _provider


def trace_parent() -> str | None:
    """The `traceparent` of the current span; None where tracing is off."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(name: str, parent: str | None, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """A span around the block, as a child of the `traceparent` in `parent`."""
    if _provider is None:
        yield
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})
    tracer = _provider.get_tracer("richregime")
    with tracer.start_as_current_span(name, context, SpanKind.CONSUMER, attributes):
        yield


def mark_span_failed(reason: str) -> None:
    """Give the current span the status ERROR with this reason."""
    if _provider is None:
        return
    from opentelemetry.trace import Status, StatusCode, get_current_span

    get_current_span().set_status(Status(StatusCode.ERROR, reason))


def flush() -> None:
    """Send the remaining spans; needed before a process ends without its exit handlers."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MILLISECONDS)
