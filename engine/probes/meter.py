"""Measures the nets of a group of seeds against their starts, beside the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite

from torch import Tensor

from engine.data.resident import ResidentData
from engine.errors import ModelRejected
from engine.models.layout import layout
from engine.models.traced.derivatives import lacks_rule
from engine.nets import build_net
from engine.probes.cost import rows_at_once
from engine.probes.features import measure_features
from engine.probes.linearised import measure_linearised
from engine.probes.movement import measure_movement
from engine.probes.net import ProbeNet, Theta, draw_batch
from engine.probes.tangent_kernel import measure_kernel, tangent_kernel
from engine.spec import ExperimentSpec

Values = dict[str, float | None]
"""By metric; None where it is not finite"""


class Meter:
    """Computes with a net of its own, in float32, and so changes nothing of the training.

    spec: with `probes`. starts: theta_0 of each seed, on the CPU. check: called often; it may raise
    to end the run.
    """

    def __init__(
        self,
        spec: ExperimentSpec,
        data: ResidentData,
        starts: Sequence[Theta],
        check: Callable[[], None],
    ) -> None:
        assert spec.probes is not None
        self._probes, self._starts, self._check = spec.probes, starts, check
        net = build_net(spec, data.info).to(data.x_train.device)
        self._net = ProbeNet(net, draw_batch(spec.probes, data, spec.data.seed), spec.output_scale)
        layers = layout(spec.model, data.info)
        self._rows_at_once = rows_at_once(
            spec.probes.count_rows(data.info.num_classes),
            sum(layer.num_parameters for layer in layers),
            sum(layer.saved_floats for layer in layers),
        )
        self._kernels: dict[int, Tensor] = {}
        """At the start, by index of the seed"""

    def measure(self, index: int, theta: Theta) -> Values:
        """The quantities of the seed at `index`; none where the weights are not finite.

        Raises ModelRejected for a net that does not allow the derivatives that a quantity needs.
        """
        if not all(tensor.isfinite().all() for tensor in theta.values()):
            return {}
        net, groups = self._net, self._probes.quantities
        start, now = net.place(self._starts[index]), net.place(theta)
        found: dict[str, float] = {}
        if "tangent_kernel" in groups:
            with _refusing("tangent_kernel"):
                if index not in self._kernels:
                    self._kernels[index] = self._compute_kernel(start)
                found |= measure_kernel(net, self._kernels[index], self._compute_kernel(now))
        for group, measure in _MEASURES.items():
            if group in groups:
                self._check()
                with _refusing(group):
                    found |= measure(net, start, now)
        return {name: value if isfinite(value) else None for name, value in found.items()}

    def _compute_kernel(self, theta: Theta) -> Tensor:
        return tangent_kernel(
            self._net,
            theta,
            full=self._probes.kernel == "full",
            at_once=self._rows_at_once,
            check=self._check,
        )


@contextmanager
def _refusing(group: str) -> Iterator[None]:
    """Tells which quantity to leave out where torch.func cannot transform the net."""
    try:
        yield
    except RuntimeError as error:  # also NotImplementedError
        if not lacks_rule(error):
            raise
        raise ModelRejected(
            f"the net does not allow the probe {group!r} ({str(error).splitlines()[0]}); leave it "
            "out of `probes`"
        ) from error


_MEASURES: dict[str, Callable[[ProbeNet, Theta, Theta], dict[str, float]]] = {
    "linearised": measure_linearised,
    "movement": measure_movement,
    "features": measure_features,
}
