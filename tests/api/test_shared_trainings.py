"""Points that train the same net: the plan, the preview and the stored runs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import col, select

from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.experiments.registry import parse_spec
from engine.models.layout import layout
from engine.spec import MAX_MOMENTS
from storage.database.tables import PointRow, RunRow
from tests.api.api_server import ApiServer

RESETS = [{"name": "init"}, {"name": "step", "step": 3}, {"name": "epoch", "epoch": 1}]
BODY: dict[str, Any] = {
    "spec": {"kind": "reinit_sweep", "epochs": 2, "fractions_percent": [0, 1, 100]},
    "sweep": {"model.width": [5, 6], "reset_to": RESETS},
    "seeds": [0, 1],
}


def post(api_server: ApiServer, path: str, body: dict[str, Any]) -> Any:
    response = api_server.http.post(path, json=body)
    assert response.is_success, response.text
    return response.json()


def test_a_preview_says_which_point_trains(api_server: ApiServer) -> None:
    points = post(api_server, "/experiments/preview", BODY)["points"]
    assert [point["trained_by"] for point in points] == [None, 0, 0, None, 3, 3]
    alone = post(api_server, "/experiments/preview", {**BODY, "reuse": False})["points"]
    assert {point["trained_by"] for point in alone} == {None}


def test_a_loaded_training_costs_nothing(api_server: ApiServer) -> None:
    """Of a point that another one trains, only its own evaluations remain."""
    swept = post(api_server, "/experiments/preview", BODY)
    alone = post(api_server, "/experiments/preview", {**BODY, "reuse": False})
    spec = parse_spec(swept["points"][1]["spec"])
    info = BUILTIN_DATASETS["digits"]
    own = estimate(spec, 2, info, num_loaded=2)
    assert own.train_flops == 0
    evaluations = 2 * spec.work(info).test_evaluations * info.test_size
    forward = sum(layer.forward_flops for layer in layout(spec.model, info))
    assert own.evaluation_flops == evaluations * forward
    assert swept["points"][0]["flops"] == alone["points"][0]["flops"]
    assert swept["points"][1]["flops"] == float(own.flops) < alone["points"][1]["flops"] / 2
    assert swept["seconds"] < alone["seconds"]


def test_runs_of_a_shared_training_are_stored_with_it(api_server: ApiServer) -> None:
    created = post(api_server, "/experiments", BODY)
    added = {"sweep": {"reset_to": [{"name": "step", "step": 5}]}, "seeds": [2]}
    post(api_server, f"/experiments/{created['id']}/extend", added)
    with api_server.db.read() as session:
        rows = session.exec(
            select(RunRow, PointRow)
            .join(PointRow, col(PointRow.id) == RunRow.point_id)
            .where(RunRow.experiment_id == created["id"])
        ).all()
        trainings = {
            (point.values["model.width"], tuple(run.seeds), run.training) for run, point in rows
        }
        kept = {point.values["reset_to"].get("step"): point.shared_checkpoints for _, point in rows}
    assert all(training is not None for *_, training in trainings)
    assert len({(width, seeds) for width, seeds, _ in trainings}) == len(trainings)
    assert kept[3] == {"epochs": [1], "steps": [3]}
    assert kept[5] == {"epochs": [1], "steps": [3, 5]}


MOMENTS = list(range(1, MAX_MOMENTS + 1))


@pytest.mark.parametrize(
    "spec",
    [
        {"checkpoints": {"epochs": MOMENTS}, "reset_to": {"name": "epoch", "epoch": 150}},
        {"checkpoints": {"steps": MOMENTS}, "reset_to": {"name": "step", "step": 150}},
        {"kind": "lottery", "checkpoints": {"steps": MOMENTS}, "rewind_step": 150},
    ],
)
def test_all_checkpoints_and_one_to_reset_to_are_accepted(
    api_server: ApiServer, spec: dict[str, Any]
) -> None:
    body = {"spec": {"kind": "reinit_sweep", "epochs": 200, **spec}}
    parsed = parse_spec(body["spec"])
    assert len(parsed.kept_checkpoints().names) == MAX_MOMENTS + 1
    post(api_server, "/experiments/preview", body)
    post(api_server, "/experiments", body)


def test_the_moments_that_a_worker_gets_may_be_more_than_a_spec_may_hold(
    api_server: ApiServer,
) -> None:
    resets = [{"name": "step", "step": step} for step in (*MOMENTS, 150)]
    body = {"spec": {**BODY["spec"], "epochs": 20}, "sweep": {"reset_to": resets}}
    points = post(api_server, "/experiments/preview", body)["points"]
    assert [point["trained_by"] for point in points] == [None, *[0] * MAX_MOMENTS]
    created = post(api_server, "/experiments", body)
    with api_server.db.read() as session:
        query = select(PointRow).where(PointRow.experiment_id == created["id"])
        kept = {str(point.shared_checkpoints) for point in session.exec(query)}
    assert kept == {str({"epochs": [], "steps": [*MOMENTS, 150]})}
