"""No request costs more than a bounded amount of work before it has stored a row.

The work is counted in function calls, which are the same on every machine. A million calls take
about 0.15 s of one core of an AMD EPYC (Zen 4).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from api.dependencies import State, make_state
from api.experiments.drawing_limits import MAX_DRAWN_POINTS
from api.experiments.listing import list_page
from api.experiments.preview import preview
from api.experiments.submit import submit
from api.http.json_body import MAX_DEPTH, parse_object
from api.http.problems import ProblemRaised
from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.registry import kinds
from engine.experiments.train.spec import TrainSpec
from engine.moments import EveryEpochs
from engine.spec import Execution
from runtime.settings import Settings
from storage.database.engine import Database
from storage.database.tables import ExperimentRow
from storage.experiments.listing import Filter
from storage.runs.measured_times import TimedRun
from tests.api.api_server import ApiServer, make_settings
from tests.api.zip_files import unpack_zip

MAX_CALLS = 4_500_000
BODY_BYTES = Settings.model_fields["max_body_bytes"].default
RATES = [1e-6 * (1 + index) for index in range(2_000)]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    home = tmp_path_factory.mktemp("home")
    db = Database(f"sqlite:///{home / 'richregime.sqlite3'}")
    db.upgrade()
    db.dispose()
    return make_state(make_settings(home, max_queued_runs=1_000_000))  # each kind submits 2,000


def count_calls(function: Callable[[], Any]) -> int:
    """The calls of Python and C functions that the function makes, also if it refuses."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    except (InvalidSpec, ProblemRaised):
        pass
    finally:
        sys.setprofile(None)
    return calls


def swept(spec: dict[str, Any], **axes: Any) -> dict[str, Any]:
    """A body with 2,000 learning rates and these axes of one value each."""
    sweep = {"optimizer.lr": RATES, **{path: [value] for path, value in axes.items()}}
    return {"spec": {"kind": "train", **spec}, "sweep": sweep}


def fill(start: str, item: str, end: str) -> bytes:
    """A body of the largest size: `start`, many items with commas between, `end`."""
    number = (BODY_BYTES - len(start) - len(end)) // (len(item) + 1)
    return (start + ",".join([item] * number) + end).encode()


def numbered_keys(start: str, key: str, end: str, value: str = "1") -> bytes:
    """As `fill`, with different keys; `key` holds a `{}` for its number."""
    parts: list[str] = []
    left = BODY_BYTES - len(start) - len(end)
    while left > 0:
        parts.append(f'"{key.format(len(parts))}":{value}')
        left -= len(parts[-1]) + 1
    return (start + ",".join(parts[:-1]) + end).encode()


DEEP: dict[str, Any] = {"model": {"name": "relu_net", "depth": 32, "width": 10}}
WORST: dict[str, bytes] = {
    **{
        f"2,000 points of {name}": json.dumps(
            {"spec": dict(kind.example)["spec"], "sweep": {"optimizer.lr": RATES}}
        ).encode()
        for name, kind in kinds().items()
    },
    **{
        name: json.dumps(body).encode()
        for name, body in {
            "2,000 points of 1,000 seeds": {**swept({}), "seeds": list(range(1_000))},
            "2,000 points of a ResNet": swept(
                {"model": {"name": "resnet18"}, "data": {"name": "cifar10"}}
            ),
            "2,000 depths and widths": {
                "spec": {"kind": "train"},
                "sweep": {"model.width": list(range(1, 64)), "model.depth": list(range(1, 32))},
            },
            "2,000 nets of 33 layers": {
                "spec": {"kind": "train", "model": {"name": "relu_net", "depth": 32}},
                "sweep": {"model.width": list(range(1, 2_001))},
            },
            "2,000 points of a random policy": swept(
                {**DEEP, "kind": "lws", "policy": {"name": "random_uniform"}}
            ),
            "2,000 beta policies": {
                "spec": {**DEEP, "kind": "lws", "policy": {"name": "random_beta"}},
                "sweep": {"policy.alpha": [0.01 * (1 + index) for index in range(2_000)]},
            },
            "2,000 points of 10,000 epochs": swept({"epochs": 10_000}),
            "an unknown data set at each point": swept({"data": {"name": "none"}}),
            "an unknown checkpoint at each point": swept(
                {"init": {"name": "checkpoint", "checkpoint": "ckp_none"}}
            ),
            "99 equal errors at each point": swept(
                {}, model={"name": "relu_net", **{f"x{index}": 1 for index in range(99)}}
            ),
            "an error at each point": swept({}, batch_size=1),
            "a limit exceeded at each point": swept(
                {**DEEP, "epochs": 10_000}, **{"model.width": 1_000_000}
            ),
            "a list of 64 KB as the value": swept({}, batch_size=[1] * 20_000),
        }.items()
    },
    "a key of 120 KB that holds 60,000 values": fill(
        '{"' + "a" * (BODY_BYTES // 2) + '":[', "1", "]}"
    ),
    "60,000 values that are wrong": fill('{"x":[', "NaN", "]}"),
    "130,000 lists": fill('{"x":[', "[]", "]}"),
    "deep lists": fill('{"x":[', "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "]}"),
    "one key many times": fill("{", '"a":1', "}"),
    "two keys many times": fill("{", '"a":1,"b":1', "}"),
    "20,000 unknown fields": numbered_keys("{", "x{}", "}"),
    "20,000 unknown fields of the spec": numbered_keys('{"spec":{"kind":"train",', "x{}", "}}"),
    "15,000 axes": numbered_keys('{"spec":{"kind":"train"},"sweep":{', "model.x{}", "}}", "[1]"),
    "20,000 labels": numbered_keys('{"spec":{"kind":"train"},"labels":{', "x{}", "}}"),
    "60,000 seeds": fill('{"spec":{"kind":"train"},"seeds":[', "-1", "]}"),
    "integers of 4,000 digits": fill('{"spec":{"kind":"train"},"seeds":[', "1" * 4_000, "]}"),
    "backslashes": fill('{"spec":{"kind":"train"},"name":"', "\\\\", '"}'),
}


@pytest.mark.parametrize("body", WORST.values(), ids=WORST)
@pytest.mark.parametrize("route", ["preview", "submit"])
def test_the_worst_bodies_have_bounded_cost(state: State, route: str, body: bytes) -> None:
    assert len(body) <= BODY_BYTES

    def send() -> None:
        if route == "preview":
            preview(state, body)
        else:
            submit(state, body, None)

    assert count_calls(send) < MAX_CALLS


def test_earlier_runs_are_measured_once_for_all_points(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TrainSpec(kind="train").model_dump(mode="json")
    execution = Execution().model_dump(mode="json")
    runs = [TimedRun(spec, execution, "cpu", 1, 1.0 + number, None, 0.5) for number in range(300)]
    monkeypatch.setattr(
        "api.experiments.preview.find_timed_runs",
        lambda session, kinds, shapes: dict.fromkeys(shapes, runs),
    )
    body = json.dumps(swept({})).encode()
    assert preview(state, body).basis == "measured"
    assert count_calls(lambda: preview(state, body)) < MAX_CALLS


@pytest.mark.parametrize("size", [BODY_BYTES // 4, BODY_BYTES // 2])
def test_a_long_key_is_not_copied_for_each_value_below_it(size: int) -> None:
    """The calls do not count copied bytes, so the text of the pointers is bounded instead."""
    body = fill('{"' + "a" * size + '":[', "NaN", "]}")
    with pytest.raises(ProblemRaised) as refused:
        parse_object(body)
    assert sum(len(error.pointer) for error in refused.value.errors) < 100_000


@pytest.mark.parametrize("epochs", [0, 1, 7, 100])
@pytest.mark.parametrize("evaluate", [EveryEpochs(every=1), EveryEpochs(every=3), (2, 5), "log"])
def test_evaluations_are_counted_without_listing_them(evaluate: Any, epochs: int) -> None:
    spec = TrainSpec(kind="train", epochs=epochs, evaluate=evaluate)
    assert spec.num_evaluations() == len(spec.evaluated_epochs())


def test_an_estimate_costs_the_same_for_any_number_of_epochs() -> None:
    costs = {
        count_calls(
            lambda epochs=epochs: estimate(  # type: ignore[misc]
                TrainSpec(kind="train", epochs=epochs), 1, BUILTIN_DATASETS["digits"]
            )
        )
        for epochs in (10, 10_000)
    }
    assert max(costs) < 500


def test_pictures_have_a_limit_of_points_and_pixels(api_server: ApiServer) -> None:
    sweep = {"optimizer.lr": RATES[: MAX_DRAWN_POINTS + 1]}
    large = api_server.submit({"spec": {"kind": "train"}, "sweep": sweep})["id"]
    claimed = api_server.claim_run(large)
    assert claimed is not None
    api_server.finish_run(claimed)
    plots = f"/experiments/{large}/plots/sweep_quantity"
    for ending in ("png", "svg", "pdf"):
        refused = api_server.http.get(f"{plots}.{ending}")
        assert (refused.status_code, refused.json()["code"]) == (422, "limit-exceeded")
        assert "401 points" in refused.json()["detail"]
    assert api_server.http.get(f"{plots}.json").status_code == 200
    few = api_server.http.get(f"/experiments/{large}/plots/learning_curve.png")
    assert few.status_code == 200
    assert "at most 400 points" in api_server.http.get(f"/view/{large}").text
    names = unpack_zip(api_server.http.get(f"/experiments/{large}/export").content)
    assert [name for name in names if name.startswith("plots/sweep_quantity")] == [
        "plots/sweep_quantity.json"
    ]
    assert "plots/learning_curve.png" in names
    small = api_server.submit({"spec": {"kind": "train"}})["id"]
    page = {"width": 20, "height": 20}
    refused = api_server.http.get(
        f"/experiments/{small}/plots/learning_curve.png", params={**page, "dpi": 201}
    )
    assert refused.json()["errors"][0]["pointer"] == "#/query/dpi"
    assert "16,160,400 pixels; the limit is 16,000,000" in refused.json()["detail"]
    drawn = api_server.http.get(
        f"/experiments/{small}/plots/learning_curve.png", params={**page, "dpi": 200}
    )
    assert drawn.status_code == 200


def test_a_sorted_page_of_many_experiments_has_bounded_cost(state: State) -> None:
    made = submit(state, json.dumps({"spec": {"kind": "train"}, "reuse": False}).encode(), None)
    with state.db.write() as session:
        row = session.get_one(ExperimentRow, made.id).model_dump()
        for number in range(2_000):
            session.add(ExperimentRow(**{**row, "id": f"exp_{number:026d}", "name": str(number)}))

    def list_them() -> None:
        with state.db.read() as session:
            page = list_page(
                state,
                session,
                limit=25,
                cursor=None,
                matching=Filter(kind="train"),
                sort="-model.width",
                columns=["result.test_accuracy", "model.width", "optimizer.lr", "label.paper"],
                group="paper",
            )
        assert page.total > 2_000

    list_them()
    assert count_calls(list_them) < 100_000
