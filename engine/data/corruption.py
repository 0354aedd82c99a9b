"""Label noise, permuted labels and shuffled pixels (arXiv 1611.03530)."""

from __future__ import annotations

import numpy as np
import torch

from engine.data.npz import Array
from engine.data.spec import CorruptionSpec
from engine.determinism import make_generator


def corrupt_labels(labels: Array, num_classes: int, spec: CorruptionSpec) -> Array:
    """The train labels after permutation and noise; the argument is not changed.

    labels: int64 [n]. Exactly round(label_noise * n) labels are drawn anew. Permutation, choice and
    drawn labels have generators of their own, so that more noise changes more labels and keeps the
    choice of those of less.
    """
    count = len(labels)
    if spec.permuted_labels:
        order = torch.randperm(count, generator=make_generator(spec.seed, "permuted_labels"))
        labels = labels[order.numpy()]
    num_noisy = round(spec.label_noise * count)
    if num_noisy:
        chosen = torch.randperm(count, generator=make_generator(spec.seed, "label_noise"))
        generator = make_generator(spec.seed, "label_noise", "labels")
        drawn = torch.randint(num_classes, (count,), generator=generator)
        labels = labels.copy()
        labels[chosen[:num_noisy].numpy()] = drawn[:num_noisy].numpy()
    return labels


def shuffle_pixels(images: Array, spec: CorruptionSpec) -> Array:
    """The images [n, channels, height, width] with their pixels moved, where the spec says so."""
    if not spec.shuffled_pixels:
        return images
    count, channels, height, width = images.shape
    order = torch.randperm(height * width, generator=make_generator(spec.seed, "shuffled_pixels"))
    moved = images.reshape(count, channels, -1)[:, :, order.numpy()]
    return np.ascontiguousarray(moved.reshape(images.shape))
