"""Bodies in YAML: what they mean, what is refused, and the way from an experiment and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from richregime import Client
from richregime.yaml_bodies import read_yaml, write_yaml
from tests.client.conftest import Invoke

pytestmark = pytest.mark.usefixtures("denormals")

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_as_it_was(value: Any) -> None:
    assert read_yaml(write_yaml(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1.5E+3", -1500.0),
        ("010", 10),
        ("+3", 3),
        ("on", "on"),
        ("yes", "yes"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-31", "2026-01-31"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("~", None),
        ("", None),
        ("True", True),
        ("{<<: {a: 1}}", {"<<": {"a": 1}}),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = read_yaml(f"x: {text}")["x"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "line 2, column 1: the key 'a' stands twice"),
        ("a: &b 1\nc: *b", "line 1, column 4: anchors and aliases are not read"),
        ("a: *b", "line 1, column 4: anchors and aliases are not read"),
        ("a: !!python/object/apply:os.system [ls]", "is not read; leave it out"),
        ("a: !own 1", "the tag !own is not read"),
        ("1: 2", 'the key 1 is no text; write "1"'),
        ("true: 2", "the key True is no text"),
        ("? [a]\n: 2", "is no text"),
        ("a: [", "line 1, column 5: "),
        ("a: b: c", "line 1, column 5: "),
        ("a: 1\n---\na: 2", "another document"),
        ("[" * 5_000, "recursion"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_other_yaml_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="") as refused:
        read_yaml(text)
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)


BODIES: list[dict[str, Any]] = [
    {"spec": {"kind": "train", "epochs": 41}},
    {
        "spec": {"kind": "lws", "epochs": 3, "policy": {"name": "top_k", "k": 1}},
        "sweep": {"optimizer": [{"name": "sgd", "lr": 1e-3}, {"name": "adam"}]},
        "seeds": [3, 1],
        "name": "yes: 010",
        "labels": {"on": "1e-3", "day": "2026-01-31"},
        "priority": -2,
        "max_seconds": 500,
        "keep": "last",
        "execution": {"seeds_per_run": 1},
    },
    {
        "spec": {"kind": "reinit_sweep", "epochs": 2},
        "sweep": {"model.width": [5, 6]},
        "seeds": {"until": "decided", "first": 3, "step": 2, "at_most": 6},
    },
    {
        "spec": {"kind": "train", "epochs": 2},
        "sweep": {"model.width": [5, 6]},
        "claims": [
            {"name": "better: wider", "quantity": "test_accuracy", "point": 1, "at_least": 0.5},
            {"name": "alike", "quantity": "train_loss", "versus": 1, "within": [-0.1, 0.1]},
        ],
    },
]


@pytest.mark.parametrize("body_format", ["yaml", "json"])
@pytest.mark.parametrize("body", BODIES, ids=["train", "lws", "decided", "claims"])
def test_the_spec_of_an_experiment_submits_it_again(
    client: Client, invoke: Invoke, tmp_path: Path, body: dict[str, Any], body_format: str
) -> None:
    first = client.submit(body)
    printed = invoke("spec", first.id, "--format", body_format, "--url", client.url)
    assert printed.exit_code == 0, printed.output
    assert f"{client.url}/schemas/submission.json" in printed.stdout
    file = tmp_path / f"body.{body_format}"
    file.write_text(printed.stdout, encoding="utf-8")
    again = invoke("submit", str(file), "--json", "--url", client.url)
    found = json.loads(again.stdout)
    assert (found["id"], found["reused"]) == (first.id, True)
    fresh = invoke("submit", str(file), "--no-reuse", "--json", "--url", client.url)
    copy = json.loads(fresh.stdout)
    assert copy["id"] != first.id
    second = client.get(copy["id"])
    for name in (
        "spec",
        "sweep",
        "seeds",
        "execution",
        "name",
        "labels",
        "priority",
        "claims",
        "digest",
    ):
        assert getattr(second, name) == getattr(first, name), name
    assert (second.max_seconds, second.keep) == (first.max_seconds, first.keep)
    changed = invoke("submit", str(file), "--set", "epochs=1", "--dry-run", "--url", client.url)
    assert changed.exit_code == 0, changed.output


def test_a_body_by_hand_is_read_from_a_file_and_from_standard_input(
    client: Client, tmp_path: Path
) -> None:
    text = "spec:\n  kind: train\n  epochs: 43\n  optimizer: {name: sgd, lr: 1e-3}\nseeds: [0]\n"
    file = tmp_path / "body.yml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes(text.encode(encoding))
        ids = {
            subprocess.run(
                [sys.executable, "-m", "richregime", "submit", source, "--url", client.url],
                input=text.encode(),
                capture_output=True,
                timeout=60,
                check=True,
            ).stdout
            for source in (str(file), "-")
        }
        assert len(ids) == 1
    experiment = client.get(ids.pop().decode().strip())
    assert experiment.spec["optimizer"]["lr"] == 0.001


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1, column 5: "),
        ("- a", "a body must be an object with fields"),
        ("spec: {kind: train, epochs: 1, epochs: 2}", "the key 'epochs' stands twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(
    invoke: Invoke, client: Client, tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "body.yaml"
    file.write_text(text)
    done = invoke("submit", str(file), "--url", client.url)
    assert done.exit_code == 2
    shown = " ".join(done.output.replace("│", " ").split())
    assert problem in shown


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, live_url: str) -> None:
    file = tmp_path / "body.yaml"
    file.write_text("spec: {kind: train}\n")
    script = (
        "import sys; sys.modules['yaml'] = None\n"
        "from richregime.cli import main\n"
        f"sys.argv = ['richregime', 'submit', {str(file)!r}, '--url', {live_url!r}]\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "pyyaml is not installed: pip install 'richregime[yaml]'\n"


def test_pyyaml_alone_reads_what_is_written(client: Client) -> None:
    """The files are for other programs, too."""
    for body in BODIES:
        assert yaml.safe_load(write_yaml(body)) == body
