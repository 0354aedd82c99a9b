"""The client against a whole service: results of every kind of call, plots and downloads."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from richregime import BadDownload, Checkpoint, Client, Experiment, TrainResult
from richregime.enums import ExperimentStatus
from tests.client.cutting_proxy import cut_connections

pytestmark = pytest.mark.xdist_group("whole_service")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
BODY = {"spec": {"kind": "train", "epochs": 2}, "sweep": {"model.width": [5, 10]}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def finished(client: Client) -> Experiment:
    return client.wait(client.submit(BODY).id, timeout=120)


def find_theta(client: Client, experiment: Experiment) -> Checkpoint:
    run = next(client.runs(experiment.id))
    return next(one for one in client.checkpoints(run.id) if one.name == "theta_T")


def test_an_experiment_is_computed_and_its_result_is_typed(
    client: Client, finished: Experiment
) -> None:
    assert finished.status == ExperimentStatus.SUCCEEDED, finished.detail
    result = client.result(finished.id)
    assert isinstance(result, TrainResult)
    assert [point.point for point in result.points] == [{"model.width": 5}, {"model.width": 10}]
    for point in result.points:
        assert point.test_accuracy.n == 2
        assert 0 <= point.test_accuracy.mean <= 1
        assert point.timings.train_seconds.mean > 0
    assert result.model_extra == {}


def test_points_of_an_experiment_are_subtracted(client: Client, finished: Experiment) -> None:
    difference = client.difference(finished.id, 1)
    assert difference.baseline.values == {"model.width": 5}
    assert difference.difference["test_accuracy"].n == 2


def test_an_experiment_is_compared_with_the_paper(client: Client, finished: Experiment) -> None:
    comparison = client.comparison(finished.id)
    assert (comparison.kind, comparison.complete) == ("train", True)
    assert comparison.note


def test_plots_and_metrics_are_returned(client: Client, finished: Experiment) -> None:
    assert "learning_curve" in {plot.name for plot in client.plots(finished.id)}
    assert client.plot(finished.id, "learning_curve").startswith(b"\x89PNG")
    assert b"<svg" in client.plot(finished.id, "learning_curve", "svg")
    assert json.loads(client.plot(finished.id, "learning_curve", "json"))
    header, *rows = client.metrics_csv(finished.id).splitlines()
    assert header == "point,seed,name,step,value"
    assert rows


def test_a_broken_download_resumes_and_is_checked(
    client: Client, service_url: str, finished: Experiment, tmp_path: Path
) -> None:
    checkpoint = find_theta(client, finished)
    whole = client.download(checkpoint, tmp_path / "whole").read_bytes()
    assert hashlib.sha256(whole).hexdigest() == checkpoint.sha256
    with cut_connections(service_url, 4_000, 6_000) as proxy, Client(proxy.url) as remote:
        broken = remote.download(checkpoint, tmp_path / "folder" / "broken")
        assert proxy.num_connections == 3
    assert broken.read_bytes() == whole
    assert [path.name for path in broken.parent.iterdir()] == ["broken"]


def test_a_wrong_download_is_deleted(client: Client, finished: Experiment, tmp_path: Path) -> None:
    wrong = find_theta(client, finished).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BadDownload):
        client.download(wrong, tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_the_same_body_returns_the_same_experiment(client: Client, finished: Experiment) -> None:
    again = client.submit(BODY)
    assert (again.id, again.reused) == (finished.id, True)


def test_the_command_follows_and_prints_the_result(
    command: Command, service_url: str, finished: Experiment
) -> None:
    body = json.dumps({"spec": {"kind": "train", "epochs": 1}, "seeds": [0, 1]})
    done = command("submit", "-", "--watch", "--url", service_url, stdin=body)
    assert done.returncode == 0, done.stderr
    shown = command("result", finished.id, "--url", service_url)
    assert shown.returncode == 0, shown.stderr
    assert "±" in shown.stdout
