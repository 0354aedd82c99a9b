"""Traces by OpenTelemetry, where its own variables ask for them: from a request to the runs that it has asked for.

A wake-up is a hint that may be lost: what a run belongs to is stored with its row, as W3C's `traceparent`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
FLUSH_MILLISECONDS = 2000

log = logging.getLogger("richregime.tracing")

_provider: TracerProvider | None = None


def is_tracing_configured(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's variables name somebody who takes traces, and none of them switches it off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in ENDPOINTS)


def start_tracing(part: str) -> None:
    """Send traces from now on, where they are wanted; in the process that makes them, as no thread survives a fork.

    part: names the service unless OTEL_SERVICE_NAME does.
    """
    if not is_tracing_configured(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "traces are asked for and need the extra `otel`: pip install 'richregime[otel]'"
        )
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or f"richregime-{part}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Make spans by this provider; None: no more."""
    global _provider
    _provider = provider


def provider() -> TracerProvider | None:
    """None where nothing is traced."""
    return _provider


def trace_parent() -> str | None:
    """What is under way here; None where it is not traced."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def span(name: str, parent: str | None, attributes: Mapping[str, str | int]) -> Iterator[None]:
    """What is done within, as a part of what `parent` names."""
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
    """The span within which this is called has failed."""
    if _provider is None:
        return
    from opentelemetry.trace import Status, StatusCode, get_current_span

    get_current_span().set_status(Status(StatusCode.ERROR, reason))


def flush() -> None:
    """Send what has not been sent; a process that ends without its exit handlers would take it along."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MILLISECONDS)
