"""Metrics: writing a point as a worker does, and reading 10,000 points over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, at_most, spread
from benchmarks.interleave import timed
from benchmarks.options import Options
from benchmarks.service_process import JsonClient, Service, tiny_experiment
from runtime.settings import Settings
from storage.database.engine import Database
from storage.results.metrics import MetricValue, write_metrics
from storage.runs.claim import claim_next
from storage.runs.transitions import cancel_run

POINTS = 10_000
BATCH = 500
"""As many as a run buffers before it writes"""


def measure_metrics(options: Options, service: Service, client: JsonClient) -> Iterator[Figure]:
    """Claim an experiment that no worker takes, and write its metrics."""
    body = {**tiny_experiment(0), "execution": {"device": "cuda"}}
    experiment_id = client.post("/experiments", body)["id"]
    db = Database(Settings(home=service.home, database_url=None).resolved_database_url)
    claim = claim_next(db, worker="benchmark", device_class="gpu", device="cuda", lease_seconds=600)
    assert claim is not None
    assert claim.experiment_id == experiment_id

    def write(values: list[MetricValue]) -> None:
        for start in range(0, len(values), BATCH):
            with db.write(durable=False) as session:
                assert write_metrics(
                    session, claim.run_id, claim.fence, values[start : start + BATCH]
                )

    written = []
    for number in range(options.rounds(5)):
        values = [
            (0, f"metric{number}", step, step / 7) for step in range(options.size(POINTS, 1_000))
        ]
        written.append(timed(write, values)() / len(values))
    yield Figure(
        "metrics: writing a point, in batches of 500",
        "",
        "ms",
        spread([one * 1e3 for one in written]),
        at_most(0.05),
    )
    path = f"/experiments/{experiment_id}/metrics?names=metric0"
    client.get(path)
    read = [timed(client.get, path)() * 1e3 for _ in range(options.rounds(9))]
    yield Figure(
        f"metrics: reading {POINTS:,} points over HTTP", "", "ms", spread(read), at_most(60)
    )
    with db.write() as session:
        cancel_run(session, claim.run_id, claim.fence)
    db.dispose()
