"""Numbers that a worker would flush to zero are refused at submission, in every field."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json
from engine.errors import InvalidSpec
from engine.sweep import expand
spec = {"kind": "lws", "optimizer": {"name": "adam", "lr": 5e-324},
        "policy": {"name": "random_beta", "beta": 1e-310}}
try:
    expand(spec, {"init.gain": [1.0, 2e-308], "optimizer.eps": [2.3e-308]})
except InvalidSpec as invalid:
    print(json.dumps([[one.pointer, one.code] for one in invalid.errors]))
"""


def test_every_number_that_is_too_small_is_named() -> None:
    """In a process of its own, like the API's: one that computes cannot tell it from zero."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == [
        ["#/spec/optimizer/lr", "subnormal"],
        ["#/spec/policy/beta", "subnormal"],
        ["#/sweep/init.gain/1", "subnormal"],
    ]
