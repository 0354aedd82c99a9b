"""Nets of three kinds: residual with batch normalisation and dropout, transformer, linear."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


def residual(shape, num_classes, *, channels: int = 4, dropout: float = 0.2):
    """A small residual net."""
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 4, stride=4),
        Residual(channels),
        nn.Dropout(dropout),
        Residual(channels),
        nn.Flatten(),
        nn.Linear(channels * (shape[1] // 4) * (shape[2] // 4), num_classes),
    )


class Moved(nn.Module):
    """A linear map over the channels, which come last meanwhile, as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        y += x  # keeps the layout of y
        return y


def moved(shape, num_classes, *, channels: int = 64):
    """Blocks whose output lies in memory with the channels last, and convolutions over it."""
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 1),
        Moved(channels),
        nn.Conv2d(channels, channels, 2, stride=2),
        Moved(channels),
        nn.Conv2d(channels, channels, 2, stride=2),
        nn.Flatten(),
        nn.Linear(channels * 49, num_classes),
    )


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.feed(self.norm2(x))


class Transformer(nn.Module):
    def __init__(self, shape: tuple[int, int, int], num_classes: int, width: int, depth: int):
        super().__init__()
        self.stem = nn.Conv2d(shape[0], width, 7, stride=7)
        self.first = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm, self.top = nn.LayerNorm(width), nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.first.expand(x.shape[0], -1, -1), h], dim=1)
        return self.top(self.norm(self.blocks(h))[:, 0])


def transformer(shape, num_classes, *, width: Annotated[int, Ge(2), Le(64)] = 8, depth: int = 2):
    """A small vision transformer."""
    return Transformer(shape, num_classes, width, depth)


def linear(
    shape,
    num_classes,
    *,
    widths: list[int] = (16,),
    activation: Literal["relu", "tanh"] = "relu",
    bias: bool | None = None,
):
    """Fully connected layers."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = prod(shape)
    for width in widths:
        layers += [nn.Linear(size, width), nn.ReLU() if activation == "relu" else nn.Tanh()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, num_classes, bias=bias is not False))


MODELS = {"moved": moved, "residual": residual, "transformer": transformer, "linear": linear}
