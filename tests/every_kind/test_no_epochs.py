"""A spec of no epochs evaluates the initial net, in every kind that needs no step of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cost import estimate
from engine.data.spec import BUILTIN_DATASETS
from engine.errors import InvalidSpec
from engine.experiments.registry import kinds, parse_spec
from engine.local import run_local

NEED_STEPS = {"activity_map", "connectivity", "gradient_spectrum"}
DATA = {"name": "digits", "train_size": 200, "test_size": 100}


@pytest.mark.parametrize("kind", sorted(set(kinds()) - NEED_STEPS))
def test_the_initial_net_is_the_result(kind: str, tmp_path: Path) -> None:
    spec = {"kind": kind, "epochs": 0, "data": DATA}
    assert estimate(parse_spec(spec), 1, BUILTIN_DATASETS["digits"]).train_flops == 0
    local = run_local(
        {"spec": spec}, tmp_path, seeds=[0], data_dir=tmp_path, device="cpu", allow_download=False
    )
    (result,) = local.points[0].results
    assert result.test_accuracy == result.initial_test_accuracy
    assert result.train_loss is None


@pytest.mark.parametrize("kind", sorted(NEED_STEPS))
def test_a_kind_that_measures_steps_refuses_none(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec):
        run_local(
            {"spec": {"kind": kind, "epochs": 0, "data": DATA}},
            tmp_path,
            seeds=[0],
            data_dir=tmp_path,
            device="cpu",
            allow_download=False,
        )
