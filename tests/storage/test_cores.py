"""The number of workers follows the cores that the process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import cores
from runtime.cores import count_cores
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("1600000 100000\n", 8),
        ("100000 0\n", 8),
        ("", 8),
    ],
)
def test_a_quota_of_version_2_limits_the_affinity(
    tmp_path: Path, content: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert count_cores(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", 8), ("300000\n", 3)])
def test_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert count_cores(tmp_path) == expected


def test_no_control_group(tmp_path: Path) -> None:
    assert count_cores(tmp_path) == 8


def test_the_setting_follows_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "_read_quota", lambda group: 2.0)
    assert Settings(home=tmp_path).cpu_workers == 2
