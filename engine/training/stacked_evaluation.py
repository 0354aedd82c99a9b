"""Evaluate stacked nets on the test set: each block of examples is read once for all nets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import torch
from torch import Tensor

from engine.data.bounds import batch_bounds
from engine.data.streamed import Examples
from engine.training.learner import Evaluation
from engine.training.products import SharedProducts, multiply

ROW_MULTIPLE = 16
"""Rows of logits are padded to a multiple of this many: an incomplete vector rounds differently."""
TRIAL_ROWS = 1024


def evaluate_nets(
    x: Examples,
    labels: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    rows_at_once: int,
) -> list[Evaluation]:
    """Accuracy and mean loss of K nets; each has the same bits for any K.

    x: [n, inputs]. weights, biases: [K, out, in] and [K, out] of each layer, bottom first, at least
    two layers. Synchronises with the device.
    """
    num_nets, num_classes = biases[-1].shape
    count = len(labels)
    losses = torch.zeros(num_nets, dtype=torch.float64, device=labels.device)
    correct = torch.zeros(num_nets, dtype=torch.int64, device=labels.device)
    bottom = SharedProducts(weights[0], biases[0])
    upper = [
        list(zip(*layers, strict=True)) for layers in zip(weights[1:], biases[1:], strict=True)
    ]
    for start, stop in batch_bounds(count, rows_at_once):
        targets = labels[start:stop]
        rows = stop - start
        padded = -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE
        logits = losses.new_zeros((num_nets, num_classes, padded), dtype=torch.float32)
        for k, product in enumerate(bottom.multiply(x[start:stop])):
            top = list_activations(product.relu(), [layer[k] for layer in upper])[-1]
            logits[k, :, :rows] = top.t()
        log_probabilities = _log_softmax(logits)[:, :, :rows].transpose(1, 2)
        for k, one in enumerate(log_probabilities):
            losses[k] += torch.nn.functional.nll_loss(one, targets, reduction="sum")
        correct += (logits[:, :, :rows].max(dim=1).indices == targets).sum(dim=1)
    return [
        Evaluation(hits / count, loss / count)
        for hits, loss in zip(correct.tolist(), losses.tolist(), strict=True)
    ]


def list_activations(x: Tensor, layers: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Each layer's output [n, out], after its ReLU below the top; logits at the top.

    x: [n, in]. layers: weight [out, in] and bias [out] of each, bottom first.
    """
    outputs: list[Tensor] = []
    for weight, bias in layers:
        x = multiply(outputs[-1].relu_() if outputs else x, weight, bias)
        outputs.append(x)
    return outputs


def _log_softmax(logits: Tensor) -> Tensor:
    """Over the classes of [K, classes, rows], with the bits that a row of classes has by itself."""
    if logits.device.type == "cpu" and _rows_side_by_side_have_equal_bits(logits.shape[1]):
        return torch.log_softmax(logits, 1)
    return torch.log_softmax(logits.transpose(1, 2).contiguous(), 2).transpose(1, 2)


@cache
def _rows_side_by_side_have_equal_bits(num_classes: int) -> bool:
    """Whether the softmax over the outer dimension, many times faster, sums in the order of the
    inner one: a trial on random numbers. It does if a vector holds more than all classes."""
    rows = torch.randn(
        TRIAL_ROWS, num_classes, generator=torch.Generator().manual_seed(num_classes)
    )
    return torch.equal(torch.log_softmax(rows, 1), torch.log_softmax(rows.t().contiguous(), 0).t())
