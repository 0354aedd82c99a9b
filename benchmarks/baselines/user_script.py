"""A typical torch script for a ReLU-Net on MNIST: DataLoader and a plain training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from engine.data.torchvision_import import import_torchvision

transforms = import_torchvision("transforms")

BATCH_SIZE = 128
TEST_BATCH_SIZE = 1_000


@dataclass(frozen=True)
class Images:
    """Images uint8 [n, height, width] and labels [n]."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Like torchvision's MNIST: transforms one PIL image at a time."""

    def __init__(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], mean: float, std: float
    ) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((mean,), (std,))]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class ResidentLoader:
    """The same batches from tensors in memory, for users who find the DataLoader slow."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        mean: float,
        std: float,
        batch_size: int,
        shuffle: bool,
    ) -> None:
        self.x = torch.from_numpy(images).float().div(255).sub(mean).div(std)
        self.y = torch.from_numpy(labels)
        self.batch_size, self.shuffle = batch_size, shuffle

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.y)) if self.shuffle else torch.arange(len(self.y))
        for indices in order.split(self.batch_size):
            yield self.x[indices], self.y[indices]


Loader = Iterable[tuple[Tensor, Tensor]]


def make_loaders(images: Images, *, resident: bool, num_workers: int = 0) -> tuple[Loader, Loader]:
    """Returns (train, test)."""
    mean, std = float(images.x_train.mean() / 255), float(images.x_train.std() / 255)
    if resident:
        return (
            ResidentLoader(images.x_train, images.y_train, mean, std, BATCH_SIZE, True),
            ResidentLoader(images.x_test, images.y_test, mean, std, TEST_BATCH_SIZE, False),
        )
    train = ImageDataset(images.x_train, images.y_train, mean, std)
    test = ImageDataset(images.x_test, images.y_test, mean, std)
    keep = num_workers > 0
    return (
        DataLoader(
            train, BATCH_SIZE, shuffle=True, num_workers=num_workers, persistent_workers=keep
        ),
        DataLoader(test, TEST_BATCH_SIZE, num_workers=num_workers, persistent_workers=keep),
    )


def make_net(width: int, depth: int) -> nn.Sequential:
    sizes = [784] + [width] * depth
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, 10))


@cache
def _compiled_net(width: int, depth: int) -> nn.Sequential:
    net = make_net(width, depth)
    net.compile()
    return net


def train(
    loaders: tuple[Loader, Loader],
    width: int,
    depth: int,
    epochs: int,
    seed: int = 0,
    *,
    compiled: bool = False,
) -> float:
    """Train with Adam, test after every epoch; returns the last test accuracy.

    compiled: a net by `torch.compile`, kept for the next call.
    """
    train_loader, test_loader = loaders
    torch.manual_seed(seed)
    net = _compiled_net(width, depth) if compiled else make_net(width, depth)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    accuracy = 0.0
    for _ in range(epochs):
        net.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
        accuracy = test(net, test_loader)
    return accuracy


@torch.no_grad()
def test(net: nn.Module, loader: Loader) -> float:
    net.eval()
    correct = total = 0
    for x, y in loader:
        correct += int((net(x).argmax(dim=1) == y).sum())
        total += len(y)
    return correct / total
