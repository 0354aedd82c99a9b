"""Derived seeds, and the settings of a run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from engine.determinism import derive_seed, deterministic


def test_derived_seeds_are_fixed_and_distinct() -> None:
    assert derive_seed(0, "order", 1) == 1332101017241992705
    names = [(), ("a",), ("a", 1), ("a", "1"), ("a1",), (1, "a")]
    seeds = {derive_seed(seed, *name) for seed in range(50) for name in names}
    assert len(seeds) == 50 * len(names)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_settings_of_a_run_are_restored_even_after_an_error() -> None:
    def settings() -> tuple[object, ...]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
            torch.get_num_threads(),
        )

    before = settings()

    def fail() -> None:
        with deterministic(True, 1):
            assert settings() == (True, True, False, False, False, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert settings() == before
    with deterministic(False, 1, allow_tf32=True):
        assert settings() == (False, False, True, True, True, 1)
    assert settings() == before


@pytest.mark.parametrize("late", [False, True])
def test_denormals_are_flushed_on_every_thread_or_a_warning_is_issued(late: bool) -> None:
    """Each case needs a new process: threads inherit the setting when torch creates them."""
    script = f"""
import warnings, torch
from engine.determinism import deterministic
torch.set_num_threads(2)
if {late}:
    torch.ones(1 << 22).sum()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with deterministic(True, 2):
        left = int((torch.full((1 << 22,), 1e-30) * 1e-12 != 0).sum())
print(left > 0, len(caught))
"""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == (["True", "1"] if late else ["False", "0"])
