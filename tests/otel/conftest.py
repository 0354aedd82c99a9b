"""Traces need OpenTelemetry's kit, which `./test otel` installs: where it is not there, their file cannot be loaded."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("opentelemetry.sdk") else ["test_*.py"]
