"""What an experiment chooses where the paper prints nothing.

`engine.paper.departures` lists where it departs from what the paper prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.models.spec import ConvNetSpec, PretrainedSpec, Vgg5Spec, XavierSpec
from engine.spec import ExperimentSpec
from engine.training.policies import RandomBetaPolicy, RandomUniformPolicy

_PIXELS = {
    "standardize": "pixels have mean 0 and standard deviation 1 over the train set, by channel",
    "unit": "pixels are in [0, 1]",
}


def list_choices(specs: Iterable[ExperimentSpec]) -> tuple[str, ...]:
    """What these points choose where the paper is silent, each choice once."""
    return tuple(dict.fromkeys(line for spec in specs for line in _choices_of(spec)))


def _choices_of(spec: ExperimentSpec) -> Iterator[str]:
    yield _PIXELS[spec.data.normalization]
    if isinstance(spec.init, XavierSpec | PretrainedSpec):
        yield "weights are drawn with variance 2 / (inputs + outputs); biases start at zero"
    if isinstance(spec.init, PretrainedSpec):
        yield "the linear layers are drawn, as their sizes differ from those of the ImageNet net"
    if spec.data.train_size is not None:
        yield "all seeds train on the same subset of images"
    if isinstance(spec.model, ConvNetSpec):
        yield "a 2 x 2 max-pool follows each convolution while the side is above 1"
    if isinstance(spec.model, Vgg5Spec):
        yield "a layer of VGG-5 is a block: four of convolutions, and the classifier"
        if spec.model.batch_norm:
            yield "VGG-5 has the batch normalisation that the parameter count of Figure 1 implies"
    yield from _policy_choices(spec)


def _policy_choices(spec: ExperimentSpec) -> Iterator[str]:
    """Of layer-wise sparse SGD."""
    policy = getattr(spec, "policy", None)
    if policy is None or policy.name == "full":
        return
    yield "the optimiser's buffers of a frozen layer wait unchanged, and it has no weight decay"
    if getattr(spec, "frozen_layers", "train") == "eval":
        yield "frozen layers use the running statistics of their batch normalisation"
    if hasattr(policy, "rho"):
        yield "a seed draws its epochs alike for every rho: those of a smaller rho are among them"
    if isinstance(policy, RandomUniformPolicy | RandomBetaPolicy):
        yield "k goes up to the number of layers, so that the whole net may train"
