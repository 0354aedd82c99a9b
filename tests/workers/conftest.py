"""Fixtures: harnesses with real worker processes, and one whose runs a test executes itself."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.logs import LogFormat, make_formatter
from runtime.settings import Settings
from storage.database.engine import Database
from storage.files.blobs import BlobStore
from storage.runs.claim import Claim
from tests.workers.run_contexts import claim_run
from tests.workers.worker_harness import WorkerHarness, harness_factory

SPEC: dict[str, Any] = {"kind": "train", "epochs": 2, "model": {"name": "relu_net", "width": 5}}


@pytest.fixture(scope="module")
def make_harness(
    tmp_path_factory: pytest.TempPathFactory, broker_server: str, sqlite_template: Path
) -> Iterator[Callable[..., WorkerHarness]]:
    with harness_factory(tmp_path_factory, broker_server, sqlite_template) as make:
        yield make


@pytest.fixture
def harness(tmp_path: Path, sqlite_url: str, blobs: BlobStore) -> Iterator[WorkerHarness]:
    """Without a worker process; saves at every step."""
    settings = Settings(
        home=tmp_path, database_url=sqlite_url, broker_url=None, checkpoint_seconds=0.0
    )
    made = WorkerHarness(settings, Database(sqlite_url), blobs)
    yield made
    made.close()


@pytest.fixture
def claim(harness: WorkerHarness) -> Claim:
    """The claim of a new run."""
    harness.submit(SPEC, wake=False)
    return claim_run(harness)


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    """What the process logs, one JSON object per line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(make_formatter(LogFormat.JSON, "worker-cpu"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
