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
from storage.database.tables import PointRow, RunRow, TrainingRow
from storage.runs.claim import Claim
from tests.api.api_server import ApiServer
from workers.execution import execute_run

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
    assert all(one == {"epochs": [1], "steps": [3, 5]} for one in kept.values())


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


TINY: dict[str, Any] = {
    "data": {"name": "synthetic", "train_size": 64, "test_size": 32},
    "epochs": 2,
    "batch_size": 16,
}


def tiny_body(width: int, **spec: Any) -> dict[str, Any]:
    """width: that no other test uses."""
    net = {"name": "conv_net", "width": width, "depth": 1}
    return {"spec": {"kind": "train", **TINY, "model": net, **spec}, "seeds": [0, 1]}


def execute(api_server: ApiServer, claim: Claim) -> None:
    execute_run(api_server.db, api_server.blobs, api_server.settings, claim, "cpu", lambda: False)


def compute(api_server: ApiServer, body: dict[str, Any]) -> str:
    """Submit the body, and execute its runs one after the other."""
    experiment_id: str = post(api_server, "/experiments", body)["id"]
    while (claim := api_server.claim_run(experiment_id)) is not None:
        execute(api_server, claim)
    return experiment_id


def list_trained(api_server: ApiServer, experiment_id: str) -> list[tuple[int, int]]:
    """(point, seed) of each training that a run of the experiment has made itself."""
    with api_server.db.read() as session:
        query = (
            select(PointRow.index, TrainingRow.seed)
            .join(RunRow, col(RunRow.point_id) == PointRow.id)
            .join(TrainingRow, col(TrainingRow.run_id) == RunRow.id)
            .where(RunRow.experiment_id == experiment_id)
        )
        return sorted(session.exec(query).all())


@pytest.mark.parametrize("resets", [RESETS[1:2], RESETS])
def test_a_preview_names_only_trainings_that_the_runs_load(
    api_server: ApiServer, resets: list[dict[str, Any]]
) -> None:
    """Not one that has not kept what is reset to."""
    width = 10 + len(resets)
    compute(api_server, tiny_body(width))
    body = tiny_body(width, kind="reinit_sweep", fractions_percent=[0, 100])
    plain = post(api_server, "/experiments/preview", body)["points"]
    assert [point["reused_seeds"] for point in plain] == [[0, 1]]
    body["sweep"] = {"reset_to": resets}
    found = post(api_server, "/experiments/preview", body)["points"]
    afresh = post(api_server, "/experiments/preview", {**body, "reuse": False})["points"]
    assert [point["reused_seeds"] for point in found] == [[]] * len(resets)
    assert [point["trained_by"] for point in found] == [None, 0, 0][: len(resets)]
    assert found[0]["flops"] == afresh[0]["flops"]
    experiment_id = compute(api_server, body)
    assert list_trained(api_server, experiment_id) == [(0, 0), (0, 1)]
    body["spec"]["fractions_percent"] = [0, 50]
    again = post(api_server, "/experiments/preview", body)["points"]
    assert [point["reused_seeds"] for point in again] == [[0, 1]] * len(resets)
    assert list_trained(api_server, compute(api_server, body)) == []


def test_a_sweep_trains_each_seed_once_after_a_training_that_has_kept_less(
    api_server: ApiServer,
) -> None:
    """The first point could load it, but then all others would train at once."""
    compute(api_server, tiny_body(20))
    body = tiny_body(20, kind="reinit_sweep", fractions_percent=[0, 100])
    body |= {"sweep": {"reset_to": RESETS}, "seeds": [0]}
    experiment_id = post(api_server, "/experiments", body)["id"]
    first = api_server.claim_run(experiment_id)
    assert first is not None
    execute(api_server, first)
    others = [api_server.claim_run(experiment_id) for _ in RESETS[1:]]
    for claim in others:
        assert claim is not None
        execute(api_server, claim)
    assert list_trained(api_server, experiment_id) == [(0, 0)]


def test_an_extension_trains_each_seed_once_for_what_it_adds(api_server: ApiServer) -> None:
    body = tiny_body(21, kind="reinit_sweep", fractions_percent=[0, 100])
    experiment_id = compute(api_server, {**body, "sweep": {"reset_to": RESETS}, "seeds": [0]})
    added = [{"name": "step", "step": 5}, {"name": "step", "step": 6}]
    extension = {"sweep": {"reset_to": added}, "seeds": [1]}
    post(api_server, f"/experiments/{experiment_id}/extend", extension)
    while (claim := api_server.claim_run(experiment_id)) is not None:
        execute(api_server, claim)
    assert list_trained(api_server, experiment_id) == [(0, 0), (0, 1), (3, 0)]
    with api_server.db.read() as session:
        query = (
            select(PointRow.index, RunRow.training)
            .join(RunRow, col(RunRow.point_id) == PointRow.id)
            .where(RunRow.experiment_id == experiment_id, RunRow.seeds == [0])
        )
        trainings = dict(session.exec(query).all())
    # The points that were added wait for the first of them, not for one that has succeeded.
    assert trainings[0] == trainings[1] == trainings[2] != trainings[3] == trainings[4]
