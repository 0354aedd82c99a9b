"""The pieces of a layer as values: shapes, parameters and FLOPs by arithmetic. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]
"""Of one example: (channels, height, width) or (features,)."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A square convolution; it keeps the side at stride 1 (padding = kernel // 2)."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int = 3
    stride: int = 1
    bias: bool = True

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        weight = ("weight", (self.out_channels, self.in_channels, self.kernel, self.kernel))
        return (weight, ("bias", (self.out_channels,))) if self.bias else (weight,)

    def output_shape(self, shape: Shape) -> Shape:
        _, height, width = shape
        return (
            self.out_channels,
            (height - 1) // self.stride + 1,
            (width - 1) // self.stride + 1,
        )

    def forward_flops(self, shape: Shape) -> int:
        return 2 * self.in_channels * self.kernel**2 * prod(self.output_shape(shape))

    def saved_floats(self, shape: Shape) -> int:
        """Floats per example that autograd saves for the backward pass, the input excluded."""
        return prod(self.output_shape(shape))


@dataclass(frozen=True, slots=True)
class Linear:
    """A fully connected piece; images are flattened in (channel, row, column) order."""

    name: str
    in_features: int
    out_features: int

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        return (("weight", (self.out_features, self.in_features)), ("bias", (self.out_features,)))

    def output_shape(self, shape: Shape) -> Shape:
        assert prod(shape) == self.in_features, (
            f"{self.name} takes {self.in_features} features, got {shape}"
        )
        return (self.out_features,)

    def forward_flops(self, shape: Shape) -> int:
        return 2 * prod(shape) * self.out_features

    def saved_floats(self, shape: Shape) -> int:
        return self.out_features


class _KeepsShape:
    """A piece that changes the numbers, not their shape."""

    __slots__ = ()

    def output_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True, slots=True)
class _Normalisation(_KeepsShape):
    """With a scale and a shift for each channel or feature."""

    name: str
    channels: int

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        return (("weight", (self.channels,)), ("bias", (self.channels,)))

    def forward_flops(self, shape: Shape) -> int:
        return 4 * prod(shape)

    def saved_floats(self, shape: Shape) -> int:
        return prod(shape)


@dataclass(frozen=True, slots=True)
class Norm(_Normalisation):
    """Batch normalisation, over images or features."""

    def buffers(self) -> tuple[tuple[str, Shape, str], ...]:
        """Name, shape and torch's type of each."""
        return (
            ("running_mean", (self.channels,), "float32"),
            ("running_var", (self.channels,), "float32"),
            ("num_batches_tracked", (), "int64"),
        )


@dataclass(frozen=True, slots=True)
class LayerNorm(_Normalisation):
    """Normalisation of each example's features."""


class _Activation(_KeepsShape):
    """A function of each number; its output is the input of the next piece, which saves it."""

    __slots__ = ()

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        return ()

    def forward_flops(self, shape: Shape) -> int:
        return prod(shape)

    def saved_floats(self, shape: Shape) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Relu(_Activation):
    """max(x, 0), in place."""

    name: str = "relu"


@dataclass(frozen=True, slots=True)
class Gelu(_Activation):
    """x times the normal distribution function of x."""

    name: str = "gelu"

    def saved_floats(self, shape: Shape) -> int:
        """Its input is saved too."""
        return prod(shape)


@dataclass(frozen=True, slots=True)
class Tanh(_Activation):
    """The hyperbolic tangent."""

    name: str = "tanh"


@dataclass(frozen=True, slots=True)
class Pool:
    """A 2x2 max-pool with stride 2; an odd last row or column is dropped."""

    name: str = "pool"

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        return ()

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = shape
        return (channels, height // 2, width // 2)

    def forward_flops(self, shape: Shape) -> int:
        return prod(shape)

    def saved_floats(self, shape: Shape) -> int:
        # the output and its indices, which take 8 bytes each
        return 3 * prod(self.output_shape(shape))


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over the image: (channels, height, width) to (channels,)."""

    name: str = "mean"

    def parameters(self) -> tuple[tuple[str, Shape], ...]:
        return ()

    def output_shape(self, shape: Shape) -> Shape:
        return shape[:1]

    def forward_flops(self, shape: Shape) -> int:
        return prod(shape)

    def saved_floats(self, shape: Shape) -> int:
        return 0


Part = Conv | Linear | Norm | LayerNorm | Relu | Gelu | Tanh | Pool | Mean


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer of the paper: a sequence of pieces, in a residual block with a shortcut.

    With `shortcut` None the output is parts(x). Otherwise it is relu(parts(x) + shortcut(x)); an
    empty shortcut is the identity.
    """

    parts: tuple[Part, ...]
    shortcut: tuple[Part, ...] | None = None

    def all_parts(self) -> tuple[Part, ...]:
        """Parts and shortcut, in the order in which the built layer registers them."""
        return self.parts + (self.shortcut or ())
