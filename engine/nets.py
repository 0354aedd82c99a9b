"""The net of a spec, which computes by its parametrisation."""

from __future__ import annotations

from engine.data.spec import DatasetInfo
from engine.models.build import build_model
from engine.models.net import LayeredNet
from engine.spec import ExperimentSpec


def build_net(spec: ExperimentSpec, info: DatasetInfo) -> LayeredNet:
    """As `build_model`: on the CPU in fp32, its weights uninitialised. Raises ModelRejected."""
    return build_model(spec.model, info, spec.find_scales(info))
