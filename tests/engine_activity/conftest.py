"""A runner and small specs of the kind `activity_map`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.experiments.activity_map.spec import ActivityMapSpec
from tests.engine_activity.runner import Runner, SpecMaker


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def make_spec() -> SpecMaker:
    """A small spec; keyword arguments replace its parts."""

    def make(**parts: Any) -> ActivityMapSpec:
        return ActivityMapSpec.model_validate(
            {
                "data": {"name": "digits", "train_size": 300, "test_size": 100},
                "model": {"name": "relu_net", "width": 16, "depth": 2},
                "batch_size": 64,
                "epochs": 3,
                **parts,
            }
        )

    return make
