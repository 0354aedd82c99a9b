"""A store of MLflow: one SQLite file, an MLflow experiment, a run for each point and seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from richregime.errors import ExtraMissing
from richregime.exporting.source import ExportSource
from richregime.exporting.tracked_runs import TrackedRun, group_name, list_tracked_runs

Item = TypeVar("Item")

FILE = "mlflow.db"
UNSAFE = re.compile(r"[^\w .:/-]+")
"""What MLflow allows in no name of a parameter or metric"""
MAX_PARAMETER = 6_000
"""Characters of a value"""
MAX_METRICS, MAX_PARAMETERS = 1_000, 100
"""Of one call"""


def import_mlflow() -> Any:
    """Raises ExtraMissing where MLflow or the driver of its SQLite store is not installed."""
    try:
        import_module("sqlalchemy")
        return import_module("mlflow")
    except ImportError:
        raise ExtraMissing("mlflow", "mlflow") from None


def write_mlflow(source: ExportSource, folder: Path) -> list[Path]:
    """Write the experiment into the store `mlflow.db` of the folder; another export replaces it.

    `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows it. Other experiments of the
    store stay. A value that was not finite is NaN.
    """
    mlflow = import_mlflow()
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / FILE).resolve()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}")
    name = group_name(source)
    known = client.get_experiment_by_name(name)
    if known is None:
        artifacts = (folder / "artifacts").resolve().as_uri()
        experiment_id = client.create_experiment(name, artifact_location=artifacts)
    else:
        experiment_id = known.experiment_id
        for run in _all_runs(client, experiment_id):
            client.delete_run(run.info.run_id)
    for one in list_tracked_runs(source):
        _write_run(mlflow.entities, client, experiment_id, one)
    return [path]


def _all_runs(client: Any, experiment_id: str) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1_000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _write_run(entities: Any, client: Any, experiment_id: str, one: TrackedRun) -> None:
    started = _milliseconds(one.started_at)
    run = client.create_run(
        experiment_id, start_time=started, tags=dict(one.tags), run_name=one.name
    )
    parameters = [
        entities.Param(_key(path), str(value)[:MAX_PARAMETER])
        for path, value in one.parameters.items()
    ]
    for part in _parts(parameters, MAX_PARAMETERS):
        client.log_batch(run.info.run_id, params=part)
    # The service stores no time per value: all have that of the start.
    metrics = [
        entities.Metric(_key(name), value, started, step)
        for step, values in one.metrics.items()
        for name, value in values.items()
    ]
    for part in _parts(metrics, MAX_METRICS):
        client.log_batch(run.info.run_id, metrics=part)
    if one.finished_at is not None:
        status = "FAILED" if one.has_failed else "FINISHED"
        client.set_terminated(run.info.run_id, status, _milliseconds(one.finished_at))


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _key(name: str) -> str:
    return UNSAFE.sub("_", name)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
