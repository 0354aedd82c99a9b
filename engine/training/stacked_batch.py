"""The memory of stacked nets for one batch size, and the products that each step computes in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.training.products import Product, plan_products

ROW_MULTIPLE = 16
"""A seed's part of a batch is padded to a multiple of this many rows, so that every seed's part
starts at a multiple of 64 bytes for any width. A kernel's order of summation can depend on the
alignment of its operands."""


class StackedBatch:
    """Activations and their gradients for `count` examples per seed, padded to `num_rows` rows.

    Rows beyond `count` are computed but never used in a result. weights, biases, and their
    gradients: [K, out, in] and [K, out] of each layer, bottom first. A seed's products have the
    same bits for any K.
    """

    def __init__(
        self,
        count: int,
        num_inputs: int,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        weight_gradients: Sequence[Tensor],
        bias_gradients: Sequence[Tensor],
    ) -> None:
        self.count = count
        self.num_rows = -(-count // ROW_MULTIPLE) * ROW_MULTIPLE
        num_seeds, num_classes = biases[-1].shape
        rows, zeros = (num_seeds, self.num_rows), weights[0].new_zeros
        hidden = [bias.shape[1] for bias in biases[:-1]]
        self.indices = zeros(num_seeds * self.num_rows, dtype=torch.int64)
        self.labels = zeros(num_seeds, 1, self.num_rows, dtype=torch.int64)
        """Of the current step"""
        self.inputs = zeros(*rows, num_inputs)
        self.activations = [zeros(*rows, width) for width in hidden]
        """[K, num_rows, width] of each hidden layer, after its ReLU"""
        self.deltas = [zeros(*rows, width) for width in hidden]
        """[K, num_rows, width]: gradient of the loss at each hidden layer before its ReLU"""
        by_class = (num_seeds, num_classes, self.num_rows)
        self.logits, self.logit_deltas = zeros(by_class), zeros(by_class)
        """[K, classes, num_rows]: softmax over the innermost dimension is many times slower"""
        self.log_probabilities, self.one_hot = zeros(by_class), zeros(by_class)
        self.loss_sums = zeros(by_class)
        """Sums over the steps of the epoch so far, separate for each place in the batch"""
        self.best_values, self.best = zeros(rows), zeros(rows, dtype=torch.int64)
        self.hits = zeros(rows, dtype=torch.int64)
        self.forward_products = self._plan_forward(weights, biases)
        """Of each layer"""
        self.gradient_products = self._plan_gradients(weight_gradients)
        self.delta_products = self._plan_deltas(weights)
        """Of each layer above the first: gradient at its input"""
        self.bias_sums = [
            *(
                (delta[:, :count], 1, out)
                for delta, out in zip(self.deltas, bias_gradients, strict=False)
            ),
            (self.logit_deltas[:, :, :count], 2, bias_gradients[-1]),
        ]
        """(values, dimension to sum over, output) of each layer"""

    def capture(self) -> dict[str, Tensor]:
        """The sums that the epoch has accumulated so far."""
        return {f"loss_sums.{self.count}": self.loss_sums, f"hits.{self.count}": self.hits}

    def _plan_forward(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor]
    ) -> list[list[Product]]:
        """Products of the forward pass, without the top bias, as logits are transposed."""
        *below, inputs = [x[:, : self.count] for x in (self.inputs, *self.activations)]
        layers = zip(below, weights[:-1], self.activations, biases[:-1], strict=True)
        products = [plan_products(x, w, y[:, : self.count], b) for x, w, y, b in layers]
        return [*products, plan_products(weights[-1], inputs, self.logits[:, :, : self.count])]

    def _plan_gradients(self, weight_gradients: Sequence[Tensor]) -> list[list[Product]]:
        inputs = [x[:, : self.count].transpose(1, 2) for x in (self.inputs, *self.activations)]
        layers = zip(self._deltas_by_output(), inputs, weight_gradients, strict=True)
        return [plan_products(delta, x, out) for delta, x, out in layers]

    def _plan_deltas(self, weights: Sequence[Tensor]) -> list[list[Product]]:
        layers = zip(self._deltas_by_output()[1:], weights[1:], self.deltas, strict=True)
        return [
            plan_products(delta.transpose(1, 2), w.transpose(1, 2), out[:, : self.count])
            for delta, w, out in layers
        ]

    def _deltas_by_output(self) -> list[Tensor]:
        """Views [K, out, count] of each layer's gradient."""
        hidden = [delta[:, : self.count].transpose(1, 2) for delta in self.deltas]
        return [*hidden, self.logit_deltas[:, :, : self.count]]
