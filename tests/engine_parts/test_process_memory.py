"""Freed memory: kept for the next tensors of a training, and returned after it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine.process_memory import LARGEST_KEPT, keep_freed_memory

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20
SIZE, BLOCKS = 30 * MEBIBYTE, 4
"""Blocks that every version keeps when asked to; together more than any keeps by itself"""
PROGRAM = """
import ctypes, json, resource, sys
from engine.process_memory import keep_freed_memory, return_freed_memory

library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def take_and_free(size, number):
    blocks = [library.malloc(size) for _ in range(number)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        library.free(block)

def used():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()

is_set = keep_freed_memory() if sys.argv[1] == "keep" else False
before = used()
for _ in range(3):
    take_and_free(int(sys.argv[2]), int(sys.argv[3]))
kept = used() - before
return_freed_memory()
print(json.dumps({"is_set": is_set, "kept": kept, "left": used() - before}))
"""
on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting"
)


def _measure(how: str, size: int, number: int) -> dict[str, int]:
    environment = {name: text for name, text in os.environ.items() if "MALLOC" not in name}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(size), str(number)],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, int] = json.loads(found.stdout)
    return measured


@on_glibc
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    plain, kept = _measure("plain", SIZE, BLOCKS), _measure("keep", SIZE, BLOCKS)
    assert plain["kept"] < 10 * MEBIBYTE
    assert kept["is_set"]
    assert kept["kept"] > (BLOCKS - 1) * SIZE
    assert kept["left"] < 10 * MEBIBYTE


@on_glibc
def test_the_memory_of_the_largest_tensors_is_returned_at_once() -> None:
    assert _measure("keep", LARGEST_KEPT + MEBIBYTE, 1)["kept"] < 10 * MEBIBYTE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072"),
    ],
)
def test_settings_of_the_user_stay(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert not keep_freed_memory()
