"""Collects the tests only where OpenTelemetry is installed, as by `./test otel`."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("opentelemetry.sdk") else ["test_*.py"]
