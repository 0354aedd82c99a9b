"""The field `probes`: what it leaves as it is, what is refused, what it costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.cost import estimate
from engine.errors import InvalidSpec
from engine.experiments.registry import kinds, parse_spec
from engine.models.layout import num_parameters
from engine.probes.cost import JACOBIAN_BYTES
from engine.probes.quantities import QUANTITIES
from engine.spec import Execution
from engine.spec_checks import check_spec
from tests.engine_parts.nets import DIGITS

PAGE = Path(__file__).parents[2] / "docs/how-to/which-regime.md"
EXECUTION = Execution(device="cpu")


def make(probes: Any = None, kind: str = "train", **parts: Any) -> Any:
    return parse_spec({"kind": kind, "epochs": 30, "probes": probes, **parts})


@pytest.mark.parametrize("kind", kinds())
def test_a_spec_without_probes_has_the_digests_that_it_had(kind: str) -> None:
    spec = make(kind=kind)
    assert "probes" not in spec.training_spec()
    assert "probes" not in spec._identity()
    assert spec.describe_speed(spec.model_dump(mode="json")).keys() >= {"kind", "model"}
    assert "probes" not in spec.describe_speed(spec.model_dump(mode="json"))


def test_a_training_is_known_by_its_probes_as_it_brings_what_they_measured() -> None:
    specs = [make(), make({}), make({"examples": 200}), make({"epochs": [1]})]
    assert len({one.digest() for one in specs}) == 4
    assert len({one.training_spec_digest(EXECUTION) for one in specs}) == 4


@pytest.mark.parametrize(
    ("probes", "message"),
    [
        ({"examples": 127}, "greater than or equal to 128"),
        ({"examples": 257}, "less than or equal to 256"),
        ({"quantities": []}, "at least 1"),
        ({"quantities": ["loss"]}, "'movement', 'features'"),
        ({"kernel": "diagonal"}, "'sum_of_logits' or 'full'"),
        ({"split": "validation"}, "'train' or 'test'"),
        ({"epochs": {"every": 0}}, "greater than or equal to 1"),
        ({"epoch": [1]}, "did you mean `epochs`"),
        (True, "must be an object"),
    ],
)
def test_bad_probes_are_refused(probes: Any, message: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        make(probes)
    assert any(message in error.detail for error in caught.value.errors), caught.value.errors
    assert all(error.pointer.startswith("#/spec/probes") for error in caught.value.errors)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_set_smaller_than_the_batch_is_refused(split: str) -> None:
    data = {f"{split}_size": 140}
    assert check_spec(make({"split": split, "examples": 140}, data=data), DIGITS) == []
    (error,) = check_spec(make({"split": split, "examples": 141}, data=data), DIGITS)
    assert (error.pointer, error.code) == ("#/spec/probes/examples", "too-few-examples")
    assert f"the {split} set has 140" in error.detail


def test_a_full_kernel_of_too_many_rows_is_refused() -> None:
    """4,096 rows are the most: 128 examples of 32 classes."""
    many = replace(DIGITS, num_classes=33)
    (error,) = make({"kernel": "full"}).check_data(many)
    assert (error.pointer, error.code) == ("#/spec/probes/kernel", "kernel-too-large")
    assert make({"kernel": "full"}).check_data(replace(DIGITS, num_classes=32)) == []
    assert make({}).check_data(many) == []
    assert make({"kernel": "full", "quantities": ["features"]}).check_data(many) == []


def test_the_cost_of_probes_is_told_apart() -> None:
    plain, probed = estimate(make(), 2, DIGITS), estimate(make({}), 2, DIGITS)
    assert plain.probe_flops == plain.probe_seconds == 0
    assert probed.flops == plain.flops + probed.probe_flops > plain.flops
    assert probed.seconds == pytest.approx(plain.seconds + probed.probe_seconds)
    assert probed.train_flops == plain.train_flops
    assert probed.memory_bytes > plain.memory_bytes


def test_seeds_that_load_a_training_measure_nothing() -> None:
    assert estimate(make({}), 2, DIGITS, num_loaded=2).probe_flops == 0
    assert estimate(make({}), 4, DIGITS, num_loaded=2).probe_flops == (
        estimate(make({}), 2, DIGITS).probe_flops
    )


def test_the_cost_grows_with_moments_examples_and_the_full_kernel() -> None:
    def flops(**probes: Any) -> int:
        return estimate(make({"quantities": ["tangent_kernel"], **probes}), 1, DIGITS).probe_flops

    two_kernels = flops(epochs=[30])
    assert flops(epochs={"every": 1}) * 3 == two_kernels * 32  # one at the start, then at 0 to 30
    assert flops(epochs=[30], examples=256) > 2 * two_kernels
    assert flops(epochs=[30], kernel="full") > 10 * two_kernels
    features: dict[str, Any] = {"quantities": ["features"], "epochs": [30]}
    forward = 2 * num_parameters(make().model, DIGITS)
    assert estimate(make(features), 1, DIGITS).probe_flops == pytest.approx(
        2 * 128 * 2 * forward,
        rel=0.01,  # two moments, of two nets each; biases cost less
    )


def test_the_memory_of_a_large_net_is_bounded() -> None:
    wide: dict[str, Any] = {"model": {"name": "relu_net", "width": 1024, "depth": 8}}
    plain, probed = estimate(make(**wide), 1, DIGITS), estimate(make({}, **wide), 1, DIGITS)
    own = 16 * num_parameters(make(**wide).model, DIGITS)
    assert probed.memory_bytes - plain.memory_bytes <= JACOBIAN_BYTES + own + (4 << 20)


def test_the_page_on_regimes_has_every_quantity_as_the_engine_defines_it() -> None:
    rows = {
        cells[1].partition(",")[0].strip(" `"): (cells[1], cells[2].strip(), cells[3])
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if len(cells := line.split("|")) == 5
    }
    for one in QUANTITIES:
        name, definition, source = rows[one.name]
        assert definition == one.definition
        assert one.source in source
        assert ("by layer" in name) == one.has_layers
