"""Small nets of our own, and what tracing finds of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.models.traced.describe import describe_layers, find_input_changes
from engine.models.traced.layer import TracedLayer, build_layers
from engine.models.traced.plan import Groups, plan_layers


class Residual(nn.Module):
    """relu(norm(conv(x)) + x)"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + x)


class Block(nn.Module):
    """A transformer block: attention and a feed-forward part, each with a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        return x + self.feed(self.norm2(x))


class Tokens(nn.Module):
    """Images [n, c, h, w] as tokens [n, 1 + h * w, c], the first of them a parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        x = x.reshape(count, channels, height * width).permute(0, 2, 1)
        return torch.cat([self.first.expand(count, -1, -1), x], dim=1)


class Top(nn.Module):
    """The first token's scores; it uses the number of examples of the images."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[:, 0])


def small_residual_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(4),
        Residual(4),
        nn.Dropout(0.5),
        Residual(4),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    )


def small_transformer() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 2, stride=2), Tokens(8), Block(8), Block(8), nn.LayerNorm(8), Top(8, 3)
    )


def find_layers(
    module: nn.Module, shape: Sequence[int] = (1, 6, 6), groups: Groups | None = None
) -> list[TracedLayer]:
    plans = plan_layers(module, shape, groups)
    unchanged = build_layers(module, plans, [False] * len(plans))
    return build_layers(module, plans, find_input_changes(unchanged, shape))


def names(layers: Sequence[TracedLayer]) -> list[list[str]]:
    """The parameters of each layer."""
    return [[name for name, _ in layer.named_parameters()] for layer in layers]


__all__ = ["describe_layers", "find_layers", "names"]
