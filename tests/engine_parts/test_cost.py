"""Cost estimates: FLOPs, memory, limits, calibration; nothing imports torch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from engine.cost import (
    RUN_SECONDS,
    Calibration,
    Cost,
    CostLimits,
    calibrate,
    check,
    estimate,
    shape_of,
    stack_size,
)
from engine.data.spec import BUILTIN_DATASETS, DataSpec
from engine.experiments.registry import kinds, parse_spec
from engine.experiments.train.spec import TrainSpec
from engine.models.spec import ReluNetSpec, Vgg5Spec, Vgg11Spec
from engine.optim.spec import AdamSpec, SgdSpec
from engine.spec import Execution

DIGITS = BUILTIN_DATASETS["digits"]
CIFAR10 = BUILTIN_DATASETS["cifar10"]
DEEP = {"name": "relu_net", "depth": 3}


def test_flops_of_a_small_net_equal_a_hand_computation() -> None:
    spec = TrainSpec(model=ReluNetSpec(width=100, depth=1), epochs=3)
    cost = estimate(spec, 2, DIGITS)
    bottom, top = 2 * 784 * 100 + 100, 2 * 100 * 10
    assert cost.parameters == 79_510
    assert cost.train_flops == 2 * 3 * 4_000 * (2 * bottom + 3 * top)
    assert cost.evaluation_flops == 2 * 4 * 1_000 * (bottom + top)
    assert cost.flops == cost.train_flops + cost.evaluation_flops


def test_an_epoch_of_vgg11_on_cifar10_is_46_teraflops() -> None:
    """The size of the paper's larger experiment; nearly 3 forward passes per step."""
    spec = TrainSpec(data=DataSpec(name="cifar10"), model=Vgg11Spec(), epochs=1)
    assert abs(estimate(spec, 1, CIFAR10).train_flops / 46e12 - 1) < 0.01


def test_a_subset_costs_its_share() -> None:
    whole, half = TrainSpec(), TrainSpec(data=DataSpec(train_size=2_000))
    assert estimate(whole, 1, DIGITS).train_flops == 2 * estimate(half, 1, DIGITS).train_flops


def test_a_calibration_gives_the_measured_run_its_measured_time() -> None:
    spec = TrainSpec(model=Vgg5Spec())
    model = estimate(spec, 1, DIGITS)
    assert model.basis == "model"
    measured = estimate(spec, 1, DIGITS, calibrate(12.5, model))
    assert measured.basis == "measured"
    assert abs(measured.seconds - 12.5) < 1e-9
    assert replace(measured, seconds=model.seconds, basis="model") == model
    assert estimate(spec, 1, DIGITS, Calibration(0.0, seconds_per_step=1.0)).seconds == (
        RUN_SECONDS + 20 * 4_000 // 128 + 21 * 1_000 // 128 + 1
    )
    assert estimate(spec, 1, DIGITS, device="cuda").seconds < model.seconds


def test_a_set_up_is_counted_once_for_each_run_and_does_not_grow_with_the_work() -> None:
    short, long = TrainSpec(epochs=2), TrainSpec(epochs=2 * 19 + 18)
    model = estimate(short, 1, DIGITS)
    # evaluations before the first epoch and after each: 3 and 57
    assert estimate(long, 1, DIGITS).evaluation_flops == 19 * model.evaluation_flops
    rate = calibrate(1.0 + 0.3, model, setup_seconds=1.0)
    assert estimate(short, 1, DIGITS, rate).seconds == pytest.approx(0.3)
    work = estimate(long, 1, DIGITS, rate).seconds - RUN_SECONDS
    assert 19 * 0.22 < work < 28 * 0.22


def test_the_training_that_the_results_tell_is_work() -> None:
    """Of a tiny run, storing the results takes most of the time."""
    model = estimate(TrainSpec(epochs=2), 1, DIGITS)
    rate = calibrate(0.3, model, setup_seconds=0.2, training_seconds=0.05)
    assert estimate(TrainSpec(epochs=2), 1, DIGITS, rate).seconds == pytest.approx(
        RUN_SECONDS + 0.05
    )


def test_a_run_that_was_nearly_all_set_up_still_calibrates() -> None:
    spec = TrainSpec(epochs=2)
    rate = calibrate(0.4, estimate(spec, 1, DIGITS), setup_seconds=0.5)
    assert estimate(spec, 1, DIGITS, rate).seconds == pytest.approx(RUN_SECONDS + 0.04)


def test_sorting_and_storing_the_gradient_of_a_large_net_counts() -> None:
    fields = {"model": {"name": "relu_net", "width": 10_000}, "data": {"train_size": 500}}
    once, thrice = (
        estimate(parse_spec({"kind": "gradient_spectrum", "steps": steps, **fields}), 1, DIGITS)
        for steps in ([1], [1, 2, 3])
    )
    assert thrice.seconds - once.seconds == pytest.approx(2 * 7_950_010 * 3.5e-7)


def shape(kind: str = "train", execution: Execution | None = None, **fields: Any) -> str:
    spec = parse_spec({"kind": kind, **fields})
    return shape_of(
        spec.model_dump(mode="json"), (execution or Execution()).model_dump(mode="json")
    )


def test_runs_of_one_shape_differ_in_epochs_and_data_sizes_alone() -> None:
    assert shape(epochs=3, data={"train_size": 500, "seed": 4}) == shape()
    assert shape(optimizer={"name": "adam", "lr": 0.1}) == shape()
    assert shape(init={"name": "xavier", "gain": 3.0}) == shape()
    assert shape(schedule={"name": "step"}) == shape()
    assert shape(optimizer={"name": "sgd"}) != shape()
    assert shape(batch_size=64) != shape()
    assert shape(model={"name": "relu_net", "width": 101}) != shape()
    assert shape(data={"augmentation": "crop_flip"}) != shape()
    assert shape(execution=Execution(stack_seeds=False)) != shape()
    assert shape(execution=Execution(requires={"gpu": "h100"})) == shape()


def test_a_kinds_own_fields_are_part_of_the_shape_unless_the_kind_leaves_them_out() -> None:
    assert len({shape(kind) for kind in kinds()}) == len(kinds())
    assert shape("lws", policy={"name": "middle"}, model=DEEP) != shape("lws", model=DEEP)
    assert shape("activity_map", alphas_percent=[1.0]) != shape("activity_map")
    assert shape("reinit_sweep", modes=["lazy"], fractions_percent=[1.0]) == shape("reinit_sweep")
    assert shape("gradient_spectrum", steps=[2]) == shape("gradient_spectrum")
    splits = {"steps": [0, 9]}
    assert shape("connectivity", splits=splits, children=3) == shape("connectivity")


def test_fields_of_a_new_kind_are_part_of_the_shape() -> None:
    class NewSpec(TrainSpec):
        repeats: int = 1

    one, two = (
        NewSpec.describe_speed(NewSpec(repeats=repeats).model_dump(mode="json"))
        for repeats in (1, 2)
    )
    assert one != two
    assert one == one | TrainSpec.describe_speed(TrainSpec().model_dump(mode="json"))


def test_a_calibration_scales_every_number_of_stacked_seeds_alike() -> None:
    """Five stacked seeds share their steps, so they do not take five times as long."""
    spec = TrainSpec(model=ReluNetSpec(width=10))
    model = estimate(spec, 1, DIGITS)
    rate = calibrate(2 * model.seconds, model)
    factor = (2 * model.seconds - RUN_SECONDS) / (model.seconds - RUN_SECONDS)
    assert estimate(spec, 5, DIGITS, rate).seconds - RUN_SECONDS == pytest.approx(
        factor * (estimate(spec, 5, DIGITS).seconds - RUN_SECONDS)
    )
    assert estimate(spec, 5, DIGITS, rate).seconds < 3 * estimate(spec, 1, DIGITS, rate).seconds


def test_memory_traffic_dominates_narrow_nets_and_wide_nets_in_small_batches() -> None:
    narrow = estimate(TrainSpec(model=Vgg5Spec(width_multiplier=0.125)), 1, DIGITS)
    assert (
        narrow.seconds
        > 3
        * estimate(
            TrainSpec(model=Vgg5Spec(width_multiplier=0.125)), 1, DIGITS, Calibration(1e-11)
        ).seconds
    )
    wide, batches = TrainSpec(model=ReluNetSpec(width=1000, depth=4)), (256, 32)
    many, few = (
        estimate(wide.model_copy(update={"batch_size": size}), 1, DIGITS).seconds
        for size in batches
    )
    assert few > 1.5 * many


def test_more_seeds_are_stacked_only_where_memory_allows() -> None:
    small, huge = TrainSpec(), TrainSpec(model=ReluNetSpec(width=100_000))
    assert stack_size(small, DIGITS, Execution()) > 100
    assert stack_size(huge, DIGITS, Execution()) == 1
    assert stack_size(small, DIGITS, Execution(stack_seeds=False)) == 1
    assert stack_size(TrainSpec(model=Vgg5Spec()), DIGITS, Execution()) == 1
    assert estimate(huge, 5, DIGITS).memory_bytes == estimate(huge, 1, DIGITS).memory_bytes
    assert estimate(small, 5, DIGITS).memory_bytes > estimate(small, 1, DIGITS).memory_bytes


def test_the_optimisers_memory_counts() -> None:
    adam, momentum, plain = (
        estimate(
            TrainSpec(model=ReluNetSpec(width=100_000), optimizer=optimizer), 1, DIGITS
        ).memory_bytes
        for optimizer in (AdamSpec(), SgdSpec(), SgdSpec(momentum=0.0))
    )
    # once in training, and once each in the copy that is saved and in its bytes
    assert adam - momentum == momentum - plain == 3 * 4 * 79_500_010


@pytest.mark.parametrize(
    ("model", "data", "batch_size"),
    [
        ("ReluNetSpec(width=20000)", "digits", 128),
        ("Vgg5Spec(second_kernel=3, batch_norm=True)", "digits", 100),
    ],
)
def test_estimated_memory_is_near_the_measured_peak(model: str, data: str, batch_size: int) -> None:
    """Measured in a new process: peak resident memory after two steps and the copies of a save.

    `ru_maxrss` would not do: it includes the parent's memory at the fork.
    """
    script = f"""
import torch
from pathlib import Path
from engine.cost import estimate
from engine.data.load import load_dataset
from engine.data.spec import DataSpec
from engine.experiments.registry import kinds, parse_spec
from engine.experiments.train.spec import TrainSpec
from engine.models.build import build_model, initialise
from engine.models.spec import *
from engine.models.weights import save_tensors
from engine.optim.build import build_optimizer
torch.set_num_threads(1)
spec = TrainSpec(model={model}, data=DataSpec(name={data!r}), batch_size={batch_size})
data = load_dataset(
    spec.data, data_dir=Path("x"), allow_download=False, registered=lambda name: None
)
net = build_model(spec.model, data.info)
initialise(
    net, spec.init, 0, read_checkpoint=lambda r: b"", weights_dir=Path("x"), allow_download=False
)
theta_0 = {{name: value.clone() for name, value in net.state_dict().items()}}
optimizer = build_optimizer(spec.optimizer, net)
for _ in range(2):
    optimizer.zero_grad()
    x, y = data.x_train[:{batch_size}], data.y_train[:{batch_size}]
    torch.nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
save_tensors(net.state_dict())
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak) * 1024, estimate(spec, 1, data.info).memory_bytes)
"""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    taken, estimated = map(int, process.stdout.split())
    assert 0.9 * taken < estimated < 2.5 * taken


def test_every_limit_names_field_value_and_limit() -> None:
    cost = Cost(
        parameters=2_000,
        train_flops=10**13,
        evaluation_flops=1,
        memory_bytes=3_000,
        disk_bytes=4_000,
        seconds=50.4,
        basis="model",
    )
    assert check(cost, CostLimits()) == []
    limits = CostLimits(1_999, 2_999, 10**13, 3_999, 50.0)
    errors = check(cost, limits, "#/points/3")
    assert [error.pointer for error in errors] == [
        "#/points/3/model",
        "#/points/3/model",
        "#/points/3/epochs",
        "#/points/3/model",
        "#/points/3/epochs",
    ]
    assert errors[0].detail == "needs 2,000 parameters; the limit is 1,999"
    assert "10,000,000,000,001" in errors[2].detail
    assert check(cost, CostLimits(None, None, None, None, None)) == []


def test_costs_layouts_and_specs_import_no_torch() -> None:
    script = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "numpy", "matplotlib"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import engine.cost, engine.data.bounds, engine.data.spec, engine.models.layout, engine.models.spec
import engine.optim.schedule, engine.seeds
"""
    subprocess.run([sys.executable, "-c", script], check=True)
