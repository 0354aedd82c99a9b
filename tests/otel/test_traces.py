"""One trace covers the request and its run: the API stores the trace for the worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from runtime import tracing
from runtime.tracing import mark_span_failed
from storage.runs.claim import Claim, claim_next
from tests.api.api_server import ApiServer, make_settings, serve_api
from workers import tasks
from workers.tasks import Child, work

pytestmark = pytest.mark.otel

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    made = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracing.use(provider)
    yield made
    tracing.use(None)


@pytest.fixture
def traced(
    exporter: InMemorySpanExporter, tmp_path: Path, sqlite_template: Path
) -> Iterator[ApiServer]:
    shutil.copyfile(sqlite_template, tmp_path / "richregime.sqlite3")
    with serve_api(make_settings(tmp_path)) as opened:
        yield opened


def execute_next(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch, *, failing: bool) -> Claim:
    """Claim and execute the next run as a worker's child does, without computing."""
    claimed = claim_next(
        api_server.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claimed is not None
    claims = iter([(claimed, "cpu"), None])
    drain = SimpleNamespace(is_set=lambda: False)
    child = SimpleNamespace(
        claim=lambda: next(claims),
        drain=drain,
        worker="host:1:2",
        db=None,
        blobs=None,
        settings=None,
    )

    def execute(*_: Any) -> None:
        if failing:
            mark_span_failed("out_of_memory")

    monkeypatch.setattr(tasks, "execute_run", execute)
    work(cast(Child, child))
    return claimed


@pytest.mark.parametrize("failing", [False, True])
def test_a_run_belongs_to_the_trace_of_the_request_that_submitted_it(
    traced: ApiServer,
    exporter: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    failing: bool,
) -> None:
    body = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}
    traced.submit(body, traceparent=f"00-{TRACE}-{PARENT}-01")
    claimed = execute_next(traced, monkeypatch, failing=failing)
    spans: dict[str, ReadableSpan] = {one.name: one for one in exporter.get_finished_spans()}
    request, run = spans["POST /experiments"], spans["run train"]
    assert request.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert run.parent is not None
    assert (run.context.trace_id, run.parent.span_id) == (
        request.context.trace_id,
        request.context.span_id,
    )
    assert run.kind is SpanKind.CONSUMER
    assert dict(run.attributes or {})["run_id"] == claimed.run_id
    assert run.status.status_code is (StatusCode.ERROR if failing else StatusCode.UNSET)
