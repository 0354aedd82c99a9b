"""Errors along the straight line between two nets (arXiv 1912.05671)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from engine.analysis.net_counter import NetCounter
from engine.data.bounds import batch_bounds
from engine.data.resident import ResidentData
from engine.models.net import LayeredNet
from engine.training.module_learner import EVALUATION_BATCH

Theta = Mapping[str, Tensor]


def instability(errors: Sequence[float], ends: Sequence[float] = ()) -> float:
    """The highest error on a line less the mean error of its two ends (arXiv 1912.05671).

    errors: in [0, 1], along the line with its ends. ends: the two errors where they are other ones.
    """
    return max(errors) - fmean(ends or (errors[0], errors[-1]))


def interpolate(first: Theta, second: Theta, share: float, layer: str | None = None) -> Theta:
    """(1 - share) first + share second, of one layer or, with None, of all.

    The others stay at `first`, as do tensors of integers. A share of 0 or 1 gives the bits of the
    two nets.
    """
    return {
        name: torch.lerp(tensor, second[name], share)
        if tensor.is_floating_point() and (layer is None or name.startswith(f"{layer}."))
        else tensor
        for name, tensor in first.items()
    }


class Line:
    """Evaluates the nets on the line from one net to another.

    net: of the device that computes; its weights are replaced. first, second: parameters and
    buffers. Running statistics of batch normalisation are not interpolated: those of each net,
    the ends included, are the means over one pass through the train images.
    """

    def __init__(
        self, net: LayeredNet, first: Theta, second: Theta, data: ResidentData, autocasts: bool
    ) -> None:
        self._net, self._first, self._second, self._data = net, first, second, data
        self._test = NetCounter(net, data.x_test, data.y_test, autocasts)
        self._train = NetCounter(net, data.x_train, data.y_train, autocasts)
        self._has_norms = any(find_norms(net))

    def count_test(self, share: float, layer: str | None = None) -> int:
        """Test images that are classified correctly; see `interpolate`."""
        self._load(share, layer)
        return self._test.count_correct()

    def count_both(self, share: float) -> tuple[int, int]:
        """(test, train) images that are classified correctly."""
        return self.count_test(share), self._train.count_correct()

    def _load(self, share: float, layer: str | None) -> None:
        self._net.load_state_dict(dict(interpolate(self._first, self._second, share, layer)))
        if self._has_norms:
            measure_running_statistics(self._net, self._data)


def find_norms(net: LayeredNet) -> Iterator[nn.Module]:
    """The modules that keep running statistics of batches."""
    for module in net.modules():
        if getattr(module, "running_mean", None) is not None and hasattr(module, "momentum"):
            yield module


@torch.no_grad()
def measure_running_statistics(net: LayeredNet, data: ResidentData) -> None:
    """Set the running statistics to the means over the batches of one pass through the train set.

    As for averaged weights (arXiv 1803.05407). All else runs as in evaluation.
    """
    net.eval()
    norms = list(find_norms(net))
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    for start, stop in batch_bounds(len(data.y_train), EVALUATION_BATCH):
        net(data.x_train[start:stop])
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    net.eval()
