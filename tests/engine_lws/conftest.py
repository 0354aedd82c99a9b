"""A runner and small specs of the kind `lws`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.experiments.lws.spec import LwsSpec
from tests.engine_lws.runner import Runner, SpecMaker


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def make_spec() -> SpecMaker:
    """A small spec; keyword arguments replace its parts."""

    def make(**parts: Any) -> LwsSpec:
        return LwsSpec.model_validate(
            {
                "data": {"name": "digits", "train_size": 300, "test_size": 100},
                "model": {"name": "conv_net", "width": 4, "depth": 2},
                "batch_size": 64,
                "epochs": 5,
                **parts,
            }
        )

    return make
