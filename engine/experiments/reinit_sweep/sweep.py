"""The sweep of one trained seed: which weights are reset to which, and the accuracies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from engine.analysis.fractions import Mode
from engine.analysis.mixture import Mixtures, Theta, flatten
from engine.analysis.reinit import layer_accuracies, sweep_accuracies
from engine.analysis.reset_order import (
    LayerSpan,
    ResetOrder,
    layer_spans,
    order_parameters,
)
from engine.context import RunContext
from engine.data.resident import ResidentData
from engine.experiments.reinit_sweep.result import SeedCurve, SeedLayer
from engine.experiments.reinit_sweep.spec import (
    EpochReset,
    FreshReset,
    InitReset,
    ReinitSweepSpec,
    StepReset,
    ZeroReset,
)
from engine.models.build import initialise
from engine.models.output_scale import scale_output
from engine.models.weights import load_tensors
from engine.nets import build_net
from engine.seeds import derive_seed
from engine.training.outcome import TrainedSeed

NOT_FINITE = (
    "theta_T holds NaN or infinity: such parameters rank as having moved most, "
    "and a net that holds any of them is evaluated as it is."
)


class Sweep:
    """One seed's trained net, the weights to reset to, and the order of reset."""

    def __init__(
        self, spec: ReinitSweepSpec, ctx: RunContext, data: ResidentData, trained: TrainedSeed
    ) -> None:
        self._spec, self._ctx, self._data, self._trained = spec, ctx, data, trained
        self._net = build_net(spec, data.info).to(data.x_test.device)
        self._net.load_state_dict(trained.theta_0)
        scale_output(self._net, spec.output_scale)
        self._layers = layer_spans(self._net)
        self.size = self._layers[-1].stop
        self._theta_R = self._find_reset()
        is_of_training = isinstance(spec.reset_to, InitReset | EpochReset | StepReset)
        self._reference = flatten(self._net, self._theta_R if is_of_training else trained.theta_0)
        self._theta_T = flatten(self._net, trained.theta_T)
        self._order = self._order_by(spec.criterion)

    def evaluate(
        self, report: Callable[[float], None]
    ) -> tuple[tuple[SeedCurve, ...], tuple[SeedLayer, ...]]:
        """The curve of each mode but `layer`, and that mode's accuracies.

        report: called between evaluations with the completed share, 0 to 1.
        """
        spec = self._spec
        curves: dict[str, tuple[ResetOrder, list[float]]] = {}
        parts = self._count_parts()
        done = 0.0

        def report_part(share: float) -> None:
            report((done + share * part) / sum(parts.values()))

        part = parts["order"]
        if spec.order_modes:
            found = self._curves(self._order, spec.order_modes, report_part)
            curves |= {str(mode): curve for mode, curve in found.items()}
        done, part = done + part, parts["random"]
        if "random" in spec.modes:
            curves["random"] = self._curves(self._order_by("random"), ("active",), report_part)[
                "active"
            ]
        done, part = done + part, parts["layer"]
        layers = self._reset_each_layer(report_part) if "layer" in spec.modes else ()
        order = [mode for mode in spec.modes if mode != "layer"]
        return tuple(self._as_curve(mode, *curves[mode]) for mode in order), layers

    def _count_parts(self) -> Mapping[str, float]:
        """Evaluations of the modes that follow the order, of the control, and of the layers."""
        curve = len(self._order.ranking.counts)
        return {
            "order": len(self._spec.order_modes) * curve,
            "random": ("random" in self._spec.modes) * curve,
            "layer": ("layer" in self._spec.modes) * len(self._layers),
        }

    def _curves(
        self, order: ResetOrder, modes: Sequence[Mode], report: Callable[[float], None]
    ) -> dict[Mode, tuple[ResetOrder, list[float]]]:
        mixtures = Mixtures(
            self._net, self._theta_R, self._trained.theta_T, order.ranking, order.in_scope
        )
        found = sweep_accuracies(
            mixtures,
            self._spec.model,
            self._data,
            modes,
            autocasts=self._spec.precision(self._ctx.execution) == "bf16",
            on_progress=report,
        )
        return {mode: (order, accuracies) for mode, accuracies in found.items()}

    def _as_curve(self, mode: Any, order: ResetOrder, accuracies: Sequence[float]) -> SeedCurve:
        places = [order.ranking.counts.index(count) for count in order.counts]
        return SeedCurve(
            mode=mode,
            fractions_percent=self._spec.fractions_percent,
            counts=order.counts,
            test_accuracy=tuple(accuracies[place] for place in places),
        )

    def _reset_each_layer(self, report: Callable[[float], None]) -> tuple[SeedLayer, ...]:
        chosen = [one for one in self._layers if self._is_in_scope(one)]
        accuracies = layer_accuracies(
            self._net,
            self._theta_R,
            self._trained.theta_T,
            [one.name for one in chosen],
            self._data,
            autocasts=self._spec.precision(self._ctx.execution) == "bf16",
            on_progress=report,
        )
        return tuple(
            SeedLayer(name=layer.name, num_parameters=layer.size, test_accuracy=accuracy)
            for layer, accuracy in zip(chosen, accuracies, strict=True)
        )

    def _is_in_scope(self, layer: LayerSpan) -> bool:
        return not self._spec.scope_layers or layer.name in self._spec.scope_layers

    def _find_reset(self) -> Theta:
        """theta_R: parameters and buffers."""
        match self._spec.reset_to:
            case InitReset():
                return self._trained.theta_0
            case EpochReset(epoch=epoch):
                return self._load(f"epoch_{epoch}")
            case StepReset(step=step):
                return self._load(f"step_{step}")
            case FreshReset():
                return self._draw()
            case ZeroReset():
                names = {name for name, _ in self._net.named_parameters()}
                return {
                    name: torch.zeros_like(tensor) if name in names else tensor
                    for name, tensor in self._trained.theta_T.items()
                }

    def _load(self, name: str) -> Theta:
        return load_tensors(self._ctx.load_checkpoint(name, self._trained.seed))

    def _draw(self) -> Theta:
        net = build_net(self._spec, self._data.info)
        initialise(
            net,
            self._spec.init,
            derive_seed(self._trained.seed, "fresh"),
            read_checkpoint=self._ctx.read_checkpoint,
            weights_dir=self._ctx.data_dir / "pretrained",
            allow_download=False,
        )
        return {name: tensor.detach() for name, tensor in net.state_dict().items()}

    def _order_by(self, criterion: Any) -> ResetOrder:
        return order_parameters(
            criterion,
            self._spec.scope,
            reference=self._reference,
            trained=self._theta_T,
            layers=self._layers,
            percents=self._spec.fractions_percent,
            seed=self._trained.seed,
        )

    def notes(self) -> tuple[str, ...]:
        """Remarks for the reader of the result."""
        return () if bool(torch.isfinite(self._theta_T).all()) else (NOT_FINITE,)

    def describe_order(self) -> dict[str, Any]:
        """The content of `movement.json`.

        By count k: the criterion of the k-th parameter of the order, by default |theta_T - theta_0|
        (null for k = 0, for NaN, and where layers or a draw give no single value), how many of the
        k were chosen by index among equals, and how many of the k are in each layer.
        """
        ranking = self._order.ranking
        thresholds = self._order.thresholds or (None,) * len(ranking.counts)
        return {
            "num_parameters": self.size,
            "counts": list(ranking.counts),
            "thresholds": [
                value if value is not None and isfinite(value) else None for value in thresholds
            ],
            "num_tied": list(ranking.num_tied),
            "layers": [self._describe_layer(layer) for layer in self._layers],
        }

    def _describe_layer(self, layer: LayerSpan) -> dict[str, Any]:
        ranking = self._order.ranking
        groups: Tensor = ranking.groups[layer.start : layer.stop]
        by_group = torch.bincount(groups, minlength=len(ranking.counts) + 1)
        first = by_group.cumsum(0)[: len(ranking.counts)]
        return {"name": layer.name, "num_parameters": layer.size, "counts": first.tolist()}
