"""Plug-ins in the home of a running service: found, told, run, and refused when they changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack.process_tree import Tree
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("stack_plugins")

NET = """from math import prod
from torch import nn
def {0}(shape, num_classes, *, width: int = 8):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(prod(shape), width), nn.ReLU(), nn.Linear(width, num_classes)
    )
MODELS = {{"{0}": {0}}}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """With plug-ins that were there before the start: a good one and two that do harm."""
    home = tmp_path_factory.mktemp("stack") / "home"
    (home / "plugins").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    write(home, "early", NET.format("early"))
    write(home, "ends", "import os\nos._exit(3)\n")
    write(home, "loud", "import os\nos.write(1, b'x' * 10**7)\nprint('y' * 10**7)\nraise OSError\n")
    made = Tree(home)
    yield made
    made.close()


def write(home: Path, name: str, text: str) -> None:
    (home / "plugins" / f"{name}.py").write_text(text)


def read_plugins(tree: Tree) -> dict[str, tuple[list[str], list[str]]]:
    """(Nets, problems) by the name of the file."""
    items = httpx.get(f"{tree.url}/plugins", timeout=20).raise_for_status().json()["items"]
    return {
        Path(one["origin"]).stem: (one["models"], [told["message"] for told in one["problems"]])
        for one in items
    }


def submit(tree: Tree, **spec: Any) -> dict[str, Any]:
    """Submit, as a client that repeats the request while a worker describes the net."""

    def created() -> dict[str, Any] | None:
        given = {"kind": "lws", "epochs": 1, "data": {"name": "digits", "train_size": 100}}
        response = httpx.post(
            f"{tree.url}/experiments", json={"spec": {**given, **spec}}, timeout=60
        )
        if response.status_code == 503:
            return None
        found: dict[str, Any] = response.raise_for_status().json()
        return found

    found: dict[str, Any] = wait_until(created, 120)
    return found


def finish(tree: Tree, name: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = httpx.get(f"{tree.url}/experiments/{name}", timeout=20).json()
        return found if found["terminal"] else None

    found: dict[str, Any] = wait_until(ended, 120)
    return found


def test_plug_ins_that_were_there_are_offered_and_those_that_do_harm_told(tree: Tree) -> None:
    found = wait_until(lambda: read_plugins(tree), 120)
    assert found == {
        "early": (["early"], []),
        "ends": ([], ["reading it: its process ended with status 3"]),
        "loud": ([], ["line 4: OSError: "]),
    }
    assert "x" * 1_000 not in tree.log.read_text()


def test_an_experiment_on_a_plug_in_that_was_added_while_the_service_ran(tree: Tree) -> None:
    write(tree.home, "late", NET.format("late"))
    wait_until(lambda: "late" in read_plugins(tree), 90)
    created = submit(tree, model={"name": "late", "width": 5})
    assert finish(tree, created["id"])["status"] == "succeeded"


def test_changed_code_is_another_net_and_the_old_one_is_refused(tree: Tree) -> None:
    first = submit(tree, model={"name": "late", "width": 6})
    assert finish(tree, first["id"])["status"] == "succeeded"
    source = first["spec"]["model"]["source"]
    write(tree.home, "late", NET.format("late") + "# changed\n")

    def changed() -> bool:
        shown = httpx.get(f"{tree.url}/models/late", timeout=60)
        return shown.status_code == 200 and shown.json()["model"]["source"] != source

    wait_until(changed, 120)
    extended = httpx.post(
        f"{tree.url}/experiments/{first['id']}/extend", json={"seeds": [91]}, timeout=60
    )
    assert extended.status_code < 300, extended.text
    finish(tree, first["id"])
    runs = httpx.get(f"{tree.url}/experiments/{first['id']}/runs", timeout=20).json()["items"]
    assert sorted(run["status"] for run in runs) == ["failed", "succeeded"]
    (failed,) = [run for run in runs if run["status"] == "failed"]
    assert failed["reason"] == "model_rejected"
    assert "has changed since the submission or is gone" in failed["detail"]
    second = submit(tree, model={"name": "late", "width": 6})
    assert second["id"] != first["id"]
    assert second["digest"] != first["digest"]
    assert finish(tree, second["id"])["status"] == "succeeded"
