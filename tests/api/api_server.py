"""A running API with its own database, and functions that claim and finish runs in its storage."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import func, update
from sqlmodel import col, select
from starlette.types import ASGIApp

from api.app import create_app
from api.http.malformed_requests import HttpProtocol
from engine.experiments.train.result import TrainSeedResult
from engine.result import Outcome, Timings
from runtime.settings import Settings
from schemas.status import FailureReason, RunStatus
from storage.database.engine import Database
from storage.database.tables import RunRow
from storage.files.artifacts import register_artifact
from storage.files.blobs import BlobStore
from storage.results.metrics import write_metrics
from storage.runs.claim import Claim, claim_next
from storage.runs.clock_watch import ClockWatch
from storage.runs.reconcile import reconcile
from storage.runs.transitions import fail_run, finish_run


@dataclass(frozen=True)
class ApiServer:
    """A running API: its HTTP client, settings, database and files."""

    http: httpx.Client
    settings: Settings
    db: Database
    blobs: BlobStore

    def submit(self, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        response = self.http.post("/experiments", json=body, headers=headers)
        assert response.status_code in (200, 201), response.text
        found: dict[str, Any] = response.json()
        return found

    def get(self, path: str, **params: Any) -> Any:
        response = self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    def count_experiments(self) -> int:
        with self.db.read() as session:
            from storage.experiments.listing import list_experiments

            return len(list_experiments(session, limit=10_000)[0])

    def claim_run(self, experiment_id: str) -> Claim | None:
        """Claim the experiment's next queued run; None, and nothing claimed, if it has none.

        The run goes before those of all other experiments, whatever earlier tests left queued.
        """
        its_queued = (
            col(RunRow.experiment_id) == experiment_id,
            col(RunRow.status) == RunStatus.QUEUED,
        )
        with self.db.write() as session:
            if session.scalar(select(func.count()).where(*its_queued)) == 0:
                return None
            lowest = session.execute(select(func.min(RunRow.rank))).scalar_one()
            session.execute(update(RunRow).where(*its_queued).values(rank=lowest - 1))
        claimed = claim_next(
            self.db, worker="test:1:1", device_class="cpu", device="cpu", lease_seconds=60
        )
        assert claimed is None or claimed.experiment_id == experiment_id
        return claimed

    def finish_all_runs(
        self, experiment_id: str, epochs: int = 3, outcome: Outcome = "trained"
    ) -> list[Claim]:
        """Finish every run with made-up numbers and store the summary."""
        done = []
        while (claimed := self.claim_run(experiment_id)) is not None:
            self.finish_run(claimed, epochs, outcome)
            done.append(claimed)
        self.reconcile()
        return done

    def reconcile(self) -> None:
        """One pass, as every process makes."""
        clock = ClockWatch(self.settings.lease_seconds, self.settings.reconcile_seconds)
        reconcile(self.db, self.blobs, self.settings, lambda runs: None, clock)

    def finish_run(self, claimed: Claim, epochs: int = 3, outcome: Outcome = "trained") -> None:
        results = [
            TrainSeedResult(
                seed=seed,
                outcome=outcome,
                test_accuracy=0.9 + 0.01 * position,
                initial_test_accuracy=0.1,
                train_loss=0.2,
                timings=Timings(forward_seconds=1.0, backward_seconds=2.0),
            ).model_dump(mode="json")
            for position, seed in enumerate(claimed.seeds)
        ]
        values = [
            (seed, name, epoch, None if (name, epoch) == ("train_loss", 0) else 0.5 + epoch / 100)
            for seed in claimed.seeds
            for name in ("test_accuracy", "train_loss")
            for epoch in range(epochs + 1)
        ]
        blob = self.blobs.put(f"theta of {claimed.run_id}".encode())
        with self.db.write() as session:
            assert write_metrics(session, claimed.run_id, claimed.fence, values)
            assert register_artifact(
                session,
                run_id=claimed.run_id,
                fence=claimed.fence,
                role="checkpoint",
                name="theta_T",
                seed=claimed.seeds[0],
                epoch=epochs,
                media_type="application/vnd.safetensors",
                blob=blob,
            )
            assert finish_run(
                session,
                claimed.run_id,
                claimed.fence,
                results,
                {"digest": claimed.digest},
                elapsed_seconds=1.0,
            )

    def fail_run(self, claimed: Claim) -> None:
        with self.db.write() as session:
            assert fail_run(
                session, claimed.run_id, claimed.fence, FailureReason.OUT_OF_MEMORY, "too large"
            )


@contextlib.contextmanager
def serve_api(settings: Settings) -> Iterator[ApiServer]:
    """Run the API on a free port."""
    app = create_app(settings)
    with serve(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        state = app.state.richregime
        yield ApiServer(http, settings, state.db, state.blobs)


class QuickServer(uvicorn.Server):
    """Looks for its end every 10 ms, not every 100: hundreds of tests end a server."""

    async def main_loop(self) -> None:
        for tick in count():
            if await self.on_tick(tick):
                return
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Run an application on a free port; returns its address."""
    # Only for a socket of this protocol does asyncio switch off Nagle's algorithm, which would hold
    # each response back for 40 ms.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        log_level="critical",
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )
    server = QuickServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the application did not start"
        assert time.monotonic() < deadline, "the application did not start in time"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


def make_settings(home: Path, **values: Any) -> Settings:
    """Settings of an isolated service with rate limits that tests do not reach."""
    own = {"database_url": None, "broker_url": None, "data_dir": None, "blob_dir": None}
    bounds = {
        "max_dataset_bytes": 1_000_000,
        **{f"max_{name}_per_minute": 100_000 for name in ("failed_keys", "reads", "writes")},
    }
    return Settings(home=home, **{**own, **bounds, **values})
