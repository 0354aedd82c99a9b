"""Without tracing nothing is stored or imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.tracing import is_tracing_configured
from storage.runs.claim import claim_next
from tests.api.api_server import ApiServer

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_tracing_no_trace_parent_is_stored(api_server: ApiServer) -> None:
    api_server.submit({"spec": {"kind": "train", "epochs": 1}, "reuse": False}, traceparent=PARENT)
    claimed = claim_next(
        api_server.db, worker="host:1:2", device_class="cpu", device="cpu", lease_seconds=60
    )
    assert claimed is not None
    assert claimed.trace_parent is None


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
            False,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
                "OTEL_TRACES_EXPORTER": "none",
            },
            False,
        ),
    ],
)
def test_opentelemetry_variables_turn_tracing_on(variables: dict[str, str], wanted: bool) -> None:
    assert is_tracing_configured(variables) is wanted


def test_without_tracing_opentelemetry_is_not_imported() -> None:
    check = (
        "import sys, runtime.tracing; "
        "assert not [n for n in sys.modules if n.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True, timeout=120)
