"""How the paper trains (Section 3), and where an experiment departs from it.

A departure is a difference from what the paper prints. What an experiment chooses where the paper
prints nothing is in `engine.paper.choices`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.data.spec import CorruptionSpec
from engine.models.parametrization import MupSpec, NtkSpec
from engine.models.spec import ConvNetSpec, DrawnSpec, ReluNetSpec, Vgg5Spec
from engine.optim.spec import (
    AdamSpec,
    ConstantSpec,
    CosineSpec,
    CrossEntropySpec,
    MseSpec,
    OptimizerSpec,
    ScheduleSpec,
    SgdSpec,
    StepSpec,
)
from engine.span import Span, StepSpan
from engine.spec import ExperimentSpec
from engine.statistic_text import count_seeds
from engine.training.policies import (
    EACH_EPOCH,
    FieldPolicy,
    PolicySpec,
    RandomBetaPolicy,
    title_of,
)

PAPER_SEEDS = 5
PAPER_BATCH_SIZE = 128


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the paper trains on one data set."""

    data: str
    train_size: int | None
    """None for all images."""
    optimizer: AdamSpec | SgdSpec
    schedule: ConstantSpec | StepSpec
    epochs: int


_MNIST = Recipe("mnist", 10_000, AdamSpec(lr=0.1), ConstantSpec(), 100)
_CIFAR10 = Recipe(
    "cifar10",
    None,
    SgdSpec(lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
    StepSpec(every_epochs=30, factor=0.5),
    180,
)
RECIPES: Mapping[str, Recipe] = {
    "mnist": _MNIST,
    "fashion_mnist": Recipe("fashion_mnist", 10_000, _MNIST.optimizer, _MNIST.schedule, 100),
    "cifar10": _CIFAR10,
}
_TRAINED_ON: Mapping[str, tuple[str, ...]] = {
    "relu_net": ("mnist", "fashion_mnist"),
    "conv_net": ("mnist", "fashion_mnist"),
    "vgg5": ("mnist",),
    "vgg11": ("cifar10",),
    "resnet18": ("cifar10",),
}
TRAINED_BY: Mapping[str, tuple[str, ...]] = {
    "reinit_sweep": ("relu_net",),
    "activity_map": ("relu_net", "conv_net"),
    "lws": ("vgg5", "vgg11"),
    "gradient_spectrum": ("vgg5", "resnet18"),
}
"""By kind, the nets of its section; a kind that is not here trains any"""
_DEPTHS: Mapping[str, tuple[int, int]] = {"relu_net": (1, 4), "conv_net": (2, 4)}
_OTHER_INITS: Mapping[str, str] = {"he": "He's", "lecun": "LeCun's", "torch": "torch's"}
_OTHER_RESETS: Mapping[str, str] = {
    "fresh": "reset to a fresh draw instead of the initial weights",
    "zero": "reset to zero instead of the initial weights",
}
_FULL_SIZES = {"cifar10": 50_000}
_FULL_TEST_SIZE = 10_000
_RHOS = (0.1, 0.2, 0.3, 0.4, 0.5)
_BETA = (2.0, 5.0)
_ALPHAS_PERCENT = (1.0, 10.0, 30.0)


def list_departures(specs: Iterable[ExperimentSpec], num_seeds: int) -> tuple[str, ...]:
    """What differs from the paper in these points, each difference once; empty for none."""
    found: dict[str, None] = {}
    for spec in specs:
        for line in (*_size_departures(spec), *_other_departures(spec)):
            found[line] = None
    if num_seeds < PAPER_SEEDS:
        found[f"{count_seeds(num_seeds)} instead of {PAPER_SEEDS}"] = None
    return tuple(found)


def is_paper_scale(specs: Iterable[ExperimentSpec], num_seeds: int) -> bool:
    """Whether data, nets, epochs and seeds are as large as the paper's.

    The width of a ReLU-Net is not asked for, as the paper draws a range of widths; a claim asks for
    the widest of them itself.
    """
    return num_seeds >= PAPER_SEEDS and not any(any(_size_departures(spec)) for spec in specs)


def find_recipe(spec: ExperimentSpec) -> Recipe:
    """How the paper trains this net on this data set; on another data set, its first recipe.

    For a net that the paper does not train: how it trains any net on this data set.
    """
    datasets = _TRAINED_ON.get(spec.model.name, tuple(RECIPES))
    return RECIPES[spec.data.name if spec.data.name in datasets else datasets[0]]


def _size_departures(spec: ExperimentSpec) -> Iterator[str]:
    recipe, data = find_recipe(spec), spec.data
    if spec.model.name not in _TRAINED_ON:
        yield f"the net {spec.model.name}, which the paper does not train"
    elif spec.model.name not in (nets := TRAINED_BY.get(spec.kind, tuple(_TRAINED_ON))):
        yield f"the net {spec.model.name} instead of {' or '.join(nets)}"
    datasets = _TRAINED_ON.get(spec.model.name, tuple(RECIPES))
    if data.name not in datasets:
        yield f"data set {data.name} instead of {' or '.join(datasets)}"
    else:
        wanted = recipe.train_size or _FULL_SIZES[recipe.data]
        used = data.train_size or _FULL_SIZES.get(data.name, 60_000)
        if used != wanted:
            yield f"{used:,} train images instead of {wanted:,}"
        if (data.test_size or _FULL_TEST_SIZE) != _FULL_TEST_SIZE:
            yield f"{data.test_size:,} test images instead of {_FULL_TEST_SIZE:,}"
    multiplier = getattr(spec.model, "width_multiplier", 1.0)
    if multiplier != 1.0:
        yield f"{spec.model.name} at {multiplier:g} of its width"
    if spec.epochs != recipe.epochs:
        yield f"{spec.epochs} epochs instead of {recipe.epochs}"


def _other_departures(spec: ExperimentSpec) -> Iterator[str]:
    yield from _net_departures(spec)
    yield from _training_departures(spec)
    yield from _kind_departures(spec)


def _net_departures(spec: ExperimentSpec) -> Iterator[str]:
    model = spec.model
    if isinstance(model, ReluNetSpec | ConvNetSpec):
        depths = _DEPTHS[model.name]
        if model.depth not in depths:
            yield f"depth {model.depth} instead of {depths[0]} or {depths[1]}"
    if isinstance(model, Vgg5Spec):
        # Figure 1 counts the parameters of another VGG-5 than Figure 13 draws.
        wanted = Vgg5Spec(second_kernel=3, batch_norm=True) if _is_figure_1(spec) else Vgg5Spec()
        if model.batch_norm != wanted.batch_norm:
            yield f"VGG-5 with{'' if model.batch_norm else 'out'} batch normalisation"
        if model.second_kernel != wanted.second_kernel:
            yield (
                f"VGG-5 with later kernels of size {model.second_kernel} instead of "
                f"{wanted.second_kernel}"
            )
    if getattr(spec.init, "gain", 1.0) != 1.0:
        yield f"initialisation scaled by {getattr(spec.init, 'gain', 1.0):g}"
    if isinstance(spec.init, DrawnSpec) and any(one != 1.0 for one in spec.init.layer_gains):
        yield f"layers initialised at {_list_numbers(spec.init.layer_gains)} of their scale"
    if spec.init.name in _OTHER_INITS:
        yield f"{_OTHER_INITS[spec.init.name]} initialisation instead of Xavier's"
    if spec.init.name == "checkpoint":
        yield "started from a checkpoint"
    if spec.init.name == "pretrained" and model.name != "vgg11":
        yield f"{model.name} from pretrained weights"


def _is_figure_1(spec: ExperimentSpec) -> bool:
    return spec.kind == "gradient_spectrum"


def _corruption_departures(corruption: CorruptionSpec) -> Iterator[str]:
    if corruption.label_noise:
        yield f"{100 * corruption.label_noise:g} % of the train labels drawn anew"
    if corruption.permuted_labels:
        yield "the train labels permuted"
    if corruption.shuffled_pixels:
        yield "the pixels shuffled"


def _training_departures(spec: ExperimentSpec) -> Iterator[str]:
    recipe = find_recipe(spec)
    yield from _corruption_departures(spec.data.corruption)
    if spec.data.augmentation != "none":
        yield "random crop and flip, of which the paper says nothing"
    if spec.optimizer != recipe.optimizer:
        yield _optimizer_departure(spec.optimizer, recipe.optimizer)
    if spec.schedule != recipe.schedule:
        ours, paper = _describe_schedule(spec.schedule), _describe_schedule(recipe.schedule)
        yield f"{ours} instead of {paper}"
    if spec.batch_size != PAPER_BATCH_SIZE:
        yield f"batches of {spec.batch_size} instead of {PAPER_BATCH_SIZE}"
    if isinstance(spec.loss, MseSpec):
        yield "mean squared error instead of cross-entropy"
    elif spec.loss != CrossEntropySpec():
        yield f"labels smoothed by {spec.loss.label_smoothing:g}"
    if spec.clip_norm is not None:
        yield f"gradients clipped at norm {spec.clip_norm:g}"
    if spec.output_scale is not None:
        centred = ", from its value at the start" if spec.output_scale.centred else ""
        yield f"the output scaled by {spec.output_scale.alpha:g}{centred}"
    if isinstance(spec.parametrization, NtkSpec):
        yield "the NTK parametrisation of the weights"
    if isinstance(spec.parametrization, MupSpec):
        base = spec.parametrization.base_width
        yield f"the maximal-update parametrisation of the weights, from width {base}"
    if spec.init_seed is not None:
        yield "all seeds start from the same weights"
    if spec.order_seed is not None:
        yield "all seeds see the batches in the same order"


def _kind_departures(spec: ExperimentSpec) -> Iterator[str]:
    """Of fields that some kinds have: the policy of layers, the shares of an activity map, which
    parameters are reset. What they are reset to is a reading."""
    policy: PolicySpec | None = getattr(spec, "policy", None)
    if isinstance(policy, FieldPolicy):
        yield f"the policy {policy.name}, which the paper does not have"
    elif policy is not None and getattr(policy, "draw_every", EACH_EPOCH) != EACH_EPOCH:
        yield f"layers drawn for other periods than an epoch: {title_of(policy)}"
    rho = getattr(policy, "rho", None)
    if rho is not None and rho not in _RHOS:
        yield f"rho = {rho:g}, which the paper does not draw"
    if isinstance(policy, RandomBetaPolicy) and (policy.alpha, policy.beta) != _BETA:
        yield f"Beta({policy.alpha:g}, {policy.beta:g}) instead of Beta({_list_numbers(_BETA)})"
    alphas = getattr(spec, "alphas_percent", _ALPHAS_PERCENT)
    if alphas != _ALPHAS_PERCENT:
        yield (f"alpha of {_list_numbers(alphas)} % instead of {_list_numbers(_ALPHAS_PERCENT)} %")
    criterion = getattr(spec, "criterion", "movement")
    if spec.kind == "reinit_sweep" and criterion != "movement":
        yield f"parameters ranked by {criterion} instead of by movement"
    scope = getattr(spec, "scope", "global")
    if scope == "per_layer":
        yield "the same share of each layer reset instead of the share of all parameters"
    elif scope != "global":
        yield f"only parameters of {', '.join(scope)} reset"
    if (reset_to := getattr(spec, "reset_to", None)) is not None and reset_to.name in _OTHER_RESETS:
        yield _OTHER_RESETS[reset_to.name]


def _list_numbers(numbers: Iterable[float]) -> str:
    return ", ".join(f"{one:g}" for one in numbers)


_WORDS: Mapping[str, str] = {
    "lr": "learning rate",
    "beta1": "beta1",
    "beta2": "beta2",
    "eps": "epsilon",
    "weight_decay": "weight decay",
    "decay": "decay of",
    "momentum": "momentum",
    "nesterov": "Nesterov momentum",
}


def _optimizer_departure(ours: OptimizerSpec, paper: OptimizerSpec) -> str:
    """Every field that differs; of another optimiser, its learning rate and what is not default."""
    if ours.name != paper.name:
        return f"{_describe_optimizer(ours)} instead of {_describe_optimizer(paper)}"
    changed = [
        f"{_describe_field(name, value)} instead of {_describe_value(getattr(paper, name))}"
        for name, value in _fields(ours).items()
        if value != getattr(paper, name)
    ]
    return f"{_optimizer_name(ours)} with {', '.join(changed)}"


def _describe_optimizer(optimizer: OptimizerSpec) -> str:
    default = type(optimizer)()
    shown = [
        _describe_field(name, value)
        for name, value in _fields(optimizer).items()
        if name == "lr" or value != getattr(default, name)
    ]
    return f"{_optimizer_name(optimizer)} with {', '.join(shown)}"


def _describe_field(name: str, value: Any) -> str:
    return f"{_WORDS[name]} {_describe_value(value)}"


def _describe_value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else f"{value:g}"


def _fields(optimizer: OptimizerSpec) -> Mapping[str, Any]:
    return optimizer.model_dump(mode="python", exclude={"name"})


def _optimizer_name(optimizer: OptimizerSpec) -> str:
    return {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}[optimizer.name]


def _describe_schedule(schedule: ScheduleSpec) -> str:
    match schedule:
        case ConstantSpec():
            told = "a constant learning rate"
        case StepSpec(factor=factor, every_epochs=every):
            told = f"a learning rate times {factor:g} every {every} epochs"
        case CosineSpec(final=final):
            told = f"a learning rate that falls by a cosine to {final:g} of itself"
    return told if schedule.warmup is None else f"{told}, {_describe_warmup(schedule.warmup)}"


def _describe_warmup(warmup: Span) -> str:
    if isinstance(warmup, StepSpan):
        return f"after a warm-up of {warmup.steps:,} steps"
    return f"after a warm-up of {warmup.epochs:,} epochs"
