"""Collects the tests only where the trackers and polars are installed, as by `./test trackers`."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = ("mlflow", "trackio", "wandb", "polars")
collect_ignore_glob = [] if all(map(find_spec, PACKAGES)) else ["test_*.py"]
