"""Exports as tables and event files, read back with other libraries, equal the API's values."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from math import inf, isnan
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from richregime import AsyncClient, Client, ExtraMissing, Metrics, Result
from richregime.exporting import ExportSource
from richregime.exporting.columns import result_columns
from richregime.exporting.event_files import name_folder
from richregime.exporting.event_records import encode_scalar, encode_version, frame
from tests.api.api_server import ApiServer, make_settings, serve_api
from tests.client.event_file_reader import read_events, read_plugin, read_scalars

ROOT = Path(__file__).parents[2]
Invoke = Callable[..., Any]
Experiments = tuple[Client, str, str]
BODY = {
    "spec": {"kind": "train", "epochs": 3},
    "sweep": {
        "model.width": [10, 200],
        "optimizer": [{"name": "adam", "lr": 0.001}, {"name": "sgd", "lr": 0.1}],
    },
    "seeds": [0, 3],
}


@pytest.fixture(scope="module")
def experiments(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Experiments]:
    """A client, a succeeded experiment, and one with a finished, a failed and a queued run."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(sqlite_template, home / "richregime.sqlite3")
    with (
        serve_api(make_settings(home)) as api_server,
        Client(str(api_server.http.base_url)) as client,
    ):
        finished = client.submit(BODY).id
        api_server.finish_all_runs(finished)
        yield client, finished, submit_partial(api_server, client)


def submit_partial(api_server: ApiServer, client: Client) -> str:
    partial = client.submit(
        {"kind": "train", "epochs": 3}, seeds=[0, 1, 2], execution={"seeds_per_run": 1}
    )
    first, second = api_server.claim_run(partial.id), api_server.claim_run(partial.id)
    assert first is not None
    assert second is not None
    api_server.finish_run(first)
    api_server.fail_run(second)
    return partial.id


def as_float32(value: float | None) -> float:
    return float("nan") if value is None else struct.unpack("<f", struct.pack("<f", value))[0]


def expected_metrics(client: Client, experiment_id: str) -> list[dict[str, Any]]:
    """The API's values, each with its run and the swept values of the point."""
    runs = {
        (run.point.index, seed): run for run in client.runs(experiment_id) for seed in run.seeds
    }
    rows = []
    for item in client.metrics(experiment_id).items:
        run = runs[item.point, item.seed]
        optimizer = run.point.values["optimizer"]
        axes = {
            "model.width": run.point.values["model.width"],
            "optimizer.name": optimizer["name"],
            "optimizer.lr": optimizer["lr"],
        }
        rows.append({"run": run.id, **item.model_dump(), **axes})
    return rows


def test_csv_contains_every_metric_and_statistic(experiments: Experiments, tmp_path: Path) -> None:
    client, finished, _ = experiments
    written = client.export_tables(finished, tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["metrics.csv", "results.csv"]
    header, *rows = csv.reader(written[0].read_text().splitlines())
    axes = ["model.width", "optimizer.name", "optimizer.lr"]
    assert header == ["run", "point", *axes, "seed", "step", "name", "value"]
    expected = expected_metrics(client, finished)
    assert len(expected) == 4 * 2 * 2 * 4
    assert any(row["value"] is None for row in expected)
    assert rows == [
        ["" if row[name] is None else str(row[name]) for name in header] for row in expected
    ]
    header, *rows = csv.reader(written[1].read_text().splitlines())
    assert header[:5] == ["point", *axes, "outcome"]
    found = {(row[0], row[5]): dict(zip(header, row, strict=True)) for row in rows}
    for index, point in enumerate(client.result(finished).points):
        row, statistic = found[str(index), "test_accuracy"], point.test_accuracy
        assert float(row["mean"]) == statistic.mean
        assert (float(row["ci95_low"]), float(row["ci95_high"])) == statistic.ci95
        assert (row["n"], row["model.width"]) == ("2", str(point.point["model.width"]))
        assert (str(index), "timings.backward_seconds") in found


def test_parquet_contains_the_same_with_types(experiments: Experiments, tmp_path: Path) -> None:
    client, finished, _ = experiments
    metrics, results = (
        pyarrow.parquet.read_table(path)
        for path in client.export_tables(finished, tmp_path, table_format="parquet")
    )
    rows = metrics.to_pylist()
    assert [{**row} for row in rows] == [
        {name: row[name] for name in metrics.column_names}
        for row in expected_metrics(client, finished)
    ]
    types = {name: str(metrics.schema.field(name).type) for name in metrics.column_names}
    assert types["model.width"] == types["seed"] == types["step"] == "int64"
    assert types["value"] == types["optimizer.lr"] == "double"
    assert types["name"] == types["optimizer.name"] == "string"
    statistics = {
        (row["point"], row["quantity"]): {
            "mean": row["mean"],
            "standard_error": row["standard_error"],
            "ci95": None if row["ci95_low"] is None else [row["ci95_low"], row["ci95_high"]],
            "n": row["n"],
        }
        for row in results.to_pylist()
    }
    for index, point in enumerate(client.result(finished).points):
        values = point.model_dump(mode="json")
        for name in ("test_accuracy", "train_loss", "initial_test_accuracy"):
            assert statistics[index, name] == values[name]


def test_event_files_contain_every_metric_by_point_and_seed(
    experiments: Experiments, tmp_path: Path
) -> None:
    client, finished, _ = experiments
    for _ in range(2):
        written = client.export_tables(finished, tmp_path, table_format="tensorboard")
    folders = sorted(
        {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("*tfevents*")}
    )
    assert len(folders) == len(written) == len(list(tmp_path.rglob("*tfevents*"))) == 8
    assert folders[0] == "point0-model.width=10,optimizer.name=adam,optimizer.lr=0.001/seed0"
    by_cell: dict[tuple[int, int], dict[tuple[str, int], float | None]] = {}
    for item in client.metrics(finished).items:
        cell_values = by_cell.setdefault((item.point, item.seed), {})
        cell_values[item.name, item.step] = item.value
    assert len(by_cell) == 8
    started_at = {
        (run.point.index, seed): run.started_at
        for run in client.runs(finished)
        for seed in run.seeds
    }
    for path in written:
        cell = int(path.parent.parent.name[len("point")]), int(path.parent.name[len("seed") :])
        scalars = read_scalars(path)
        expected = {key: as_float32(value) for key, value in by_cell[cell].items()}
        assert str(sorted(scalars.items())) == str(sorted(expected.items()))
        assert any(map(isnan, scalars.values()))
        events = list(read_events(path))
        assert events[0].file_version == "brain.Event:2"
        started = started_at[cell]
        assert started is not None
        assert {event.wall_time for event in events[:-1]} == {started.timestamp()}


def test_event_files_contain_the_spec_as_hyperparameters(
    experiments: Experiments, tmp_path: Path
) -> None:
    client, finished, _ = experiments
    path = sorted(client.export_tables(finished, tmp_path, table_format="tensorboard"))[-1]
    values = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in read_plugin(
            path, "session_start_info"
        ).session_start_info.hparams.items()
    }
    assert (values["model.width"], values["optimizer.name"], values["optimizer.lr"]) == (
        200,
        "sgd",
        0.1,
    )
    assert (values["seed"], values["epochs"], values["kind"]) == (3, 3, "train")
    assert values["data.name"] == "digits"
    declared = read_plugin(path, "experiment").experiment
    assert {info.name for info in declared.hparam_infos} == set(values)
    assert {info.name.tag for info in declared.metric_infos} == {"test_accuracy", "train_loss"}
    assert read_plugin(path, "session_end_info").session_end_info.status == 1


def test_a_running_experiment_is_exported_without_a_result(
    experiments: Experiments, tmp_path: Path
) -> None:
    client, _, partial = experiments
    assert not client.get(partial).terminal
    (path,) = client.export_tables(partial, tmp_path)
    assert len(path.read_text().splitlines()) == 1 + len(client.metrics(partial).items)
    (events,) = client.export_tables(partial, tmp_path, table_format="tensorboard")
    assert events.parent == tmp_path / "point0" / "seed0"


def test_the_async_client_writes_the_same_files(experiments: Experiments, tmp_path: Path) -> None:
    client, finished, _ = experiments

    async def export(table_format: Any) -> None:
        async with AsyncClient(client.url) as remote:
            await remote.export_tables(finished, tmp_path / "async", table_format=table_format)

    for table_format in ("csv", "tensorboard"):
        client.export_tables(finished, tmp_path / "sync", table_format=table_format)
        asyncio.run(export(table_format))
    names = [
        path.relative_to(tmp_path / "sync")
        for path in (tmp_path / "sync").rglob("*.*")
        if path.is_file()
    ]
    assert len(names) == 10
    for name in names:
        assert (tmp_path / "async" / name).read_bytes() == (tmp_path / "sync" / name).read_bytes()


def test_a_statistic_in_a_list_has_the_aligned_values_as_columns(experiments: Experiments) -> None:
    client, _, partial = experiments
    point = {
        "point": {},
        "outcome": "trained",
        "seeds": [0, 1],
        "test_accuracy": {"mean": 0.9, "standard_error": None, "ci95": None, "n": 1},
        "curves": [
            {
                "mode": "lazy",
                "fractions_percent": [0.0, 10.0],
                "test_accuracy": [
                    {"mean": mean, "standard_error": None, "ci95": None, "n": 1}
                    for mean in (0.1, 0.9)
                ],
            }
        ],
        "epochs_by_layer": [{"mean": 2.0, "standard_error": None, "ci95": None, "n": 1}] * 2,
    }
    source = ExportSource(
        client.get(partial),
        [*client.runs(partial)],
        Metrics(items=[]),
        Result.model_validate({"kind": "x", "points": [point], "seeds": 2, "reused": []}),
    )
    columns = result_columns(source)
    assert columns["quantity"] == [
        "test_accuracy",
        *["curves.test_accuracy"] * 2,
        *["epochs_by_layer"] * 2,
    ]
    assert columns["curves.mode"] == [None, "lazy", "lazy", None, None]
    assert columns["curves.fractions_percent"] == [None, 0.0, 10.0, None, None]
    assert columns["epochs_by_layer.index"] == [None, None, None, 0, 1]
    assert columns["mean"] == [0.9, 0.1, 0.9, 2.0, 2.0]
    assert "seeds" not in columns


def test_a_folder_name_has_no_path_separators() -> None:
    assert (
        name_folder(7, {"init.checkpoint": "../../a b/c"}, 3)
        == "point007-init.checkpoint=.._.._a_b_c"
    )
    assert name_folder(0, {}, 1) == "point0"
    assert len(name_folder(0, {"data.name": "x" * 500}, 1)) <= 120


def test_a_scalar_beyond_float32_is_infinite(tmp_path: Path) -> None:
    file = tmp_path / "events"
    events = [
        encode_version(0.5),
        encode_scalar(1.5, 2**40, "loss", -1e300),
        encode_scalar(1.5, 0, "λ", 2.0),
    ]
    file.write_bytes(b"".join(map(frame, events)))
    assert read_scalars(file) == {("loss", 2**40): -inf, ("λ", 0): 2.0}


def test_the_command_writes_each_format(
    invoke: Invoke, experiments: Experiments, tmp_path: Path
) -> None:
    client, finished, partial = experiments
    for table_format, count in (("csv", 2), ("parquet", 2), ("tensorboard", 8)):
        out = tmp_path / table_format
        arguments = (
            "export",
            finished,
            "--format",
            table_format,
            "--out",
            str(out),
            "--url",
            client.url,
        )
        done = invoke(*arguments)
        assert done.exit_code == 0, done.stderr
        assert str(out) in done.stdout
        printed = json.loads(invoke(*arguments, "--json").stdout)
        assert len(printed["files"]) == count
        assert all(Path(path).is_file() for path in printed["files"])
    done = invoke("export", partial, "--format", "csv", "--out", str(tmp_path), "--url", client.url)
    assert "no result yet" in done.stderr


def test_wrong_usage_of_the_command_ends_with_2(
    invoke: Invoke, experiments: Experiments, tmp_path: Path
) -> None:
    client, finished, _ = experiments
    file = tmp_path / "file"
    file.touch()
    for arguments in (
        ("--format", "csv", "--files"),
        ("--format", "csv", "--out", str(file)),
        ("--format", "x"),
    ):
        assert invoke("export", finished, *arguments, "--url", client.url).exit_code == 2, arguments


def test_a_missing_extra_is_named_with_its_installation(
    invoke: Invoke, experiments: Experiments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, finished, _ = experiments
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissing):
        client.export_tables(finished, tmp_path, table_format="parquet")
    done = invoke(
        "export", finished, "--format", "parquet", "--out", str(tmp_path / "x"), "--url", client.url
    )
    assert done.exit_code == 2
    assert "pip install 'richregime[export]'" in done.stderr
    assert not (tmp_path / "x").exists()
    assert client.export_tables(finished, tmp_path, table_format="csv")


def test_no_export_needs_torch(experiments: Experiments, tmp_path: Path) -> None:
    client, finished, _ = experiments
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from richregime import Client\n"
        f"client, folder = Client({client.url!r}), {str(tmp_path)!r}\n"
        "for table_format in ('csv', 'parquet', 'tensorboard'):\n"
        f"    assert client.export_tables({finished!r}, folder, table_format=table_format)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)


def test_event_files_and_csv_need_no_extra() -> None:
    script = (
        "import sys\n"
        "for name in ('pyarrow', 'tensorboardX', 'google'): sys.modules[name] = None\n"
        "import richregime.exporting.event_files, richregime.exporting.writing"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)
