"""The accuracy of every mixture of a sweep (paper, Section 4); equal counts are evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from engine.analysis.fractions import Mode
from engine.analysis.mixture import Mixtures, Theta
from engine.analysis.net_counter import NetCounter
from engine.analysis.reinit_relu import count_correct_relu
from engine.data.resident import ResidentData
from engine.models.net import LayeredNet
from engine.models.spec import ModelSpec, ReluNetSpec


def sweep_accuracies(
    mixtures: Mixtures,
    model: ModelSpec,
    data: ResidentData,
    modes: Sequence[Mode],
    *,
    autocasts: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
) -> dict[Mode, list[float]]:
    """Test accuracy of each mode at each count of the ranking.

    A ReLU-Net's first layer is linear in the parameters reset, so both modes share one product
    (`reinit_relu`). The two ends, all mixtures of other nets, of nets that are not finite, whose
    output is scaled or whose parameters have multipliers, and all in bf16, are evaluated as nets.
    autocasts: evaluate in bf16. on_progress: called between evaluations with the completed share, 0
    to 1.
    """
    evaluation = _Evaluation(mixtures, data, autocasts)
    counts = mixtures.ranking.counts
    positions = range(len(counts))
    inner = [position for position in positions if 0 < counts[position] < mixtures.num_in_scope]
    wanted = [(mode, position) for mode in modes for position in positions]
    correct: dict[tuple[Mode, int], int] = {}
    net = mixtures.net
    is_plain = net.output_scale is None and not net.scales
    is_plain = is_plain and bool(torch.isfinite(mixtures.flat_T).all())
    if isinstance(model, ReluNetSpec) and is_plain and not autocasts:
        shared = len(modes) * len(inner) / len(wanted)
        correct |= count_correct_relu(
            mixtures, data, modes, inner, lambda share: on_progress(shared * share)
        )
    for mode, position in wanted:
        if (mode, position) not in correct:
            on_progress(len(correct) / len(wanted))
            correct[mode, position] = evaluation.count_correct(mode, position)
    num_images = len(data.y_test)
    return {
        mode: [correct[mode, position] / num_images for position in positions] for mode in modes
    }


def layer_accuracies(
    net: LayeredNet,
    theta_R: Theta,
    theta_T: Theta,
    layers: Sequence[str],
    data: ResidentData,
    *,
    autocasts: bool = False,
    on_progress: Callable[[float], None] = lambda share: None,
) -> list[float]:
    """Test accuracy of theta_T with one layer's parameters from theta_R, for each of `layers`.

    Buffers stay at theta_T (arXiv 1902.01996). autocasts, on_progress: as in `sweep_accuracies`.
    """
    counter = NetCounter(net, data.x_test, data.y_test, autocasts)
    of_layer = [
        {name for name, _ in net.named_parameters() if name.startswith(f"{layer}.")}
        for layer in layers
    ]
    found = []
    for number, names in enumerate(of_layer):
        on_progress(number / len(layers))
        mixed = {
            name: theta_R[name] if name in names else tensor for name, tensor in theta_T.items()
        }
        net.load_state_dict(mixed)
        found.append(counter.count_correct() / len(data.y_test))
    return found


class _Evaluation:
    """Evaluates mixtures as nets; each of the two ends once."""

    def __init__(self, mixtures: Mixtures, data: ResidentData, autocasts: bool) -> None:
        self._mixtures = mixtures
        self._counter = NetCounter(mixtures.net, data.x_test, data.y_test, autocasts)
        self._ends: dict[int, int] = {}

    def count_correct(self, mode: Mode, position: int) -> int:
        """Number of test images that the mixture classifies correctly."""
        end = self._mixtures.end_of(mode, position)
        if end is not None and id(end) in self._ends:
            return self._ends[id(end)]
        self._mixtures.load(mode, position)
        correct = self._counter.count_correct()
        if end is not None:
            self._ends[id(end)] = correct
        return correct
