"""The client and the command against a whole service: from a body to a result, a plot and the weights."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.result import Statistic
from richregime import BadDownload, Client
from richregime.tables import show_statistic
from schemas.resources import Checkpoint, Experiment
from schemas.status import ExperimentStatus
from tests.client.cutting_proxy import cutting

pytestmark = pytest.mark.xdist_group("whole_service")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
BODY = {"spec": {"kind": "train", "epochs": 2}, "sweep": {"model.width": [5, 10]}, "seeds": [0, 1]}


@pytest.fixture(scope="module")
def near(service_url: str) -> Iterator[Client]:
    with Client(service_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def finished(near: Client) -> Experiment:
    return near.wait(near.submit(BODY).id, timeout=120)


def theta(near: Client, experiment: Experiment) -> Checkpoint:
    run = next(near.runs(experiment.id))
    return next(one for one in near.checkpoints(run.id) if one.name == "theta_T")


def test_an_experiment_is_computed_and_its_statistics_come_back(
    near: Client, finished: Experiment
) -> None:
    assert finished.status == ExperimentStatus.SUCCEEDED, finished.detail
    points = near.result(finished.id)["points"]
    assert [point["point"] for point in points] == [{"model.width": 5}, {"model.width": 10}]
    for point in points:
        statistic = Statistic.model_validate(point["test_accuracy"])
        assert statistic.n == 2
        assert 0 <= statistic.mean <= 1


def test_plots_and_metrics_come_back(near: Client, finished: Experiment) -> None:
    assert near.plot(finished.id, "learning_curve").startswith(b"\x89PNG")
    assert b"<svg" in near.plot(finished.id, "learning_curve", "svg")
    assert json.loads(near.plot(finished.id, "learning_curve", "json"))
    header, *rows = near.metrics_csv(finished.id).splitlines()
    assert header == "point,seed,name,step,value"
    assert rows


def test_a_download_is_checked_and_goes_on_where_it_broke(
    near: Client, service_url: str, finished: Experiment, tmp_path: Path
) -> None:
    checkpoint = theta(near, finished)
    whole = near.download(checkpoint, tmp_path / "whole").read_bytes()
    assert hashlib.sha256(whole).hexdigest() == checkpoint.sha256
    with cutting(service_url, 4_000, 6_000) as proxy, Client(proxy.url) as far:
        broken = far.download(checkpoint, tmp_path / "folder" / "broken")
        assert proxy.num_connections == 3
    assert broken.read_bytes() == whole
    assert [path.name for path in broken.parent.iterdir()] == ["broken"]


def test_wrong_bytes_are_refused_and_forgotten(
    near: Client, finished: Experiment, tmp_path: Path
) -> None:
    wrong = theta(near, finished).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BadDownload):
        near.download(wrong, tmp_path / "wrong")
    assert list(tmp_path.iterdir()) == []


def test_the_same_body_is_answered_with_the_same_experiment(
    near: Client, finished: Experiment
) -> None:
    again = near.submit(BODY)
    assert (again.id, again.reused) == (finished.id, True)


def test_the_command_follows_to_the_end_and_shows_the_result(
    command: Command, service_url: str, finished: Experiment
) -> None:
    body = json.dumps({"spec": {"kind": "train", "epochs": 1}, "seeds": [0, 1]})
    done = command("submit", "-", "--watch", "--url", service_url, stdin=body)
    assert done.returncode == 0, done.stderr
    shown = command("result", finished.id, "--url", service_url)
    assert shown.returncode == 0, shown.stderr
    assert "±" in shown.stdout


@pytest.mark.parametrize(
    ("mean", "error", "shown"),
    [
        (0.91234, 0.0042, "0.9123 ± 0.0042"),
        (0.5, None, "0.5"),
        (123.4, 12.3, "123 ± 12"),
        (1.0, 0.0, "1 ± 0"),
        (1.63e-8, 4.2e-10, "1.63e-08 ± 4.2e-10"),
        (3.1693e20, 2.738e20, "3.169e+20 ± 2.7e+20"),
    ],
)
def test_a_statistic_shows_the_places_that_its_error_gives_sense_to(
    mean: float, error: float | None, shown: str
) -> None:
    ci95 = None if error is None else (mean - error, mean + error)
    assert show_statistic(Statistic(mean=mean, standard_error=error, ci95=ci95, n=5)) == shown
