"""Comparison with MLflow's tracking server, in one interleaved run (`--peers`)."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.baselines.mlflow_server import MlflowServer, create_run, log_metrics, read_metrics
from benchmarks.figures import Figure, at_least
from benchmarks.interleave import interleave, speed_up, timed
from benchmarks.options import Options
from benchmarks.service_process import Service, tiny_experiment
from runtime.settings import Settings
from storage.database.engine import Database
from storage.results.metrics import write_metrics
from storage.runs.claim import claim_next
from storage.runs.transitions import cancel_run

REQUESTS = 50
POINTS = 10_000
BATCH = 500


def measure(options: Options) -> Iterator[Figure]:
    if not options.peers:
        return
    folder = options.work_dir / "mlflow"
    folder.mkdir()
    server = MlflowServer(folder)
    server.install()
    with server, Service(options.work_dir / "home_beside_mlflow") as service:
        client, mlflow_client = service.connect(), server.connect()
        name = f"MLflow {server.version}"
        yield speed_up(
            "start until ready",
            [service.seconds_to_ready],
            [server.seconds_to_ready],
            baseline=f"{name}, also with a new home",
        )
        requests = options.size(REQUESTS, 3)

        def submit() -> None:
            for seed in range(requests):
                client.post(
                    "/experiments", {**tiny_experiment(seed), "execution": {"device": "cuda"}}
                )

        def create() -> None:
            for seed in range(requests):
                create_run(mlflow_client, seed)

        found = interleave({"service": timed(submit), "mlflow": timed(create)}, options.rounds(5))
        yield speed_up(
            f"{requests} submissions",
            found["service"],
            found["mlflow"],
            baseline=f"{name}: create run",
            goal=at_least(1),
        )

        db = Database(Settings(home=service.home, database_url=None).resolved_database_url)
        claim = claim_next(
            db, worker="benchmark", device_class="gpu", device="cuda", lease_seconds=600
        )
        assert claim is not None
        mlflow_run = create_run(mlflow_client, 0)
        points = options.size(POINTS, 1_000)

        def write_points() -> None:
            for start in range(0, points, BATCH):
                values = [(0, "loss", step, step / 7) for step in range(start, start + BATCH)]
                with db.write() as session:
                    assert write_metrics(session, claim.run_id, claim.fence, values)

        def log_points() -> None:
            for start in range(0, points, BATCH):
                log_metrics(mlflow_client, mlflow_run, "loss", start, start + BATCH)

        found = interleave(
            {"service": timed(write_points), "mlflow": timed(log_points)}, options.rounds(3)
        )
        yield speed_up(
            f"writing {points:,} points of a metric in batches of {BATCH}",
            found["service"],
            found["mlflow"],
            baseline=f"{name}: log-batch over HTTP; our workers write to the database",
            goal=at_least(1),
        )
        path = f"/runs/{claim.run_id}/metrics"
        found = interleave(
            {
                "service": timed(lambda: client.get(path)),
                "mlflow": timed(lambda: read_metrics(mlflow_client, mlflow_run, "loss")),
            },
            options.rounds(5),
        )
        yield speed_up(
            f"reading {points:,} points over HTTP",
            found["service"],
            found["mlflow"],
            baseline=f"{name}: get-history",
            goal=at_least(1),
        )
        with db.write() as session:
            cancel_run(session, claim.run_id, claim.fence)
        db.dispose()
