"""A secret in any place of a request, or in an exception, reaches no exported span."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime import tracing
from runtime.span_exporter import RedactingExporter
from runtime.tracing import mark_span_failed
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.api.keys import make_key
from tests.api.secret_places import places, send

pytestmark = pytest.mark.otel


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """What leaves the process."""
    made = InMemorySpanExporter()
    provider = TracerProvider()
    exporter: Any = RedactingExporter(made)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield made
    tracing.use(None)


@pytest.fixture
def keyed(
    exported: InMemorySpanExporter, tmp_path: Path, sqlite_template: Path
) -> Iterator[ApiServer]:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path)) as opened:
        make_key(opened.db)
        yield opened


def test_a_secret_in_any_place_is_in_no_span(
    keyed: ApiServer, exported: InMemorySpanExporter
) -> None:
    secret = "rrk_" + "0" * 22 + "_" + secrets.token_urlsafe(32)
    for place in places(secret, str(keyed.http.base_url).rstrip("/")):
        send(keyed, place)
    spans = exported.get_finished_spans()
    assert any("rrk_0000000000000000000000_***" in span.to_json() for span in spans)
    hidden = secret.split("_", 2)[2]
    assert [span.to_json() for span in spans if hidden[:20] in span.to_json()] == []


def test_a_secret_in_an_exception_is_in_no_span(exported: InMemorySpanExporter) -> None:
    with (
        suppress(ConnectionError),
        tracing.span("run train", None, {"address": "redis://me:hunter2@broker"}),
    ):
        mark_span_failed("postgresql://me:hunter2@database did not answer")
        raise ConnectionError("postgresql://me:hunter2@database did not answer")
    (span,) = exported.get_finished_spans()
    assert "hunter2" not in span.to_json()
    assert "did not answer" in span.to_json()
    assert span.name == "run train"
    assert span.start_time is not None
