"""Checks a spec against its data set: all that can be known before anything is read or computed."""

from __future__ import annotations

from engine.data.spec import DatasetInfo, validate_data
from engine.errors import FieldError
from engine.models.spec import validate_model
from engine.spec import ExperimentSpec


def check_spec(spec: ExperimentSpec, info: DatasetInfo) -> list[FieldError]:
    """Every error of the spec on this data set, built in or registered."""
    return [
        *validate_data(spec.data, info),
        *validate_model(spec.model, spec.init, info),
        *spec.check_data(info),
    ]
