"""What the commands print, and their exit codes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from richregime import Client
from richregime.tables import experiments_table, result_table
from richregime.types import Result
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint, make_npz

pytestmark = pytest.mark.xdist_group("client")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Invoke = Callable[..., Any]
BODY = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}


def test_a_file_is_submitted_and_its_id_printed(
    command: Command, live_url: str, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({**BODY, "name": "from a file"}))
    done = command("submit", str(file), "--url", live_url)
    assert done.returncode == 0, done.stderr
    assert client.get(done.stdout.strip()).name == "from a file"


def test_standard_input_is_submitted(command: Command, live_url: str) -> None:
    done = command("submit", "-", "--url", live_url, stdin=json.dumps(BODY))
    listed = command("list", "--json", "--url", live_url)
    assert done.stdout.strip() in {one["id"] for one in json.loads(listed.stdout)["items"]}


def test_watching_a_cancelled_experiment_returns_3(
    command: Command, live_url: str, client: Client
) -> None:
    experiment_id = client.submit(BODY).id
    assert command("cancel", experiment_id, "--url", live_url).returncode == 0
    assert command("watch", experiment_id, "--url", live_url).returncode == 3


def test_an_invalid_body_returns_4_and_names_the_field(command: Command, live_url: str) -> None:
    done = command(
        "submit", "-", "--url", live_url, stdin='{"spec": {"kind": "train", "epochs": -1}}'
    )
    assert done.returncode == 4
    assert "#/spec/epochs" in done.stderr
    assert "Traceback" not in done.stderr


def test_hints_contain_the_name_of_the_program(
    command: Command, live_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for called, shown in ((None, "richregime list"), ("./run", "./run list")):
        monkeypatch.setenv("RICHREGIME_PROGRAM", called) if called else monkeypatch.delenv(
            "RICHREGIME_PROGRAM", raising=False
        )
        assert f"`{shown}`" in command("show", "exp_none", "--url", live_url).stderr


def test_watching_ends_with_a_line_feed(command: Command, live_url: str, client: Client) -> None:
    experiment_id = client.submit(BODY).id
    client.cancel(experiment_id)
    assert command("watch", experiment_id, "--url", live_url).stderr.endswith("\n")


def test_a_webhook_is_part_of_the_submission(invoke: Invoke, live_url: str) -> None:
    done = invoke("submit", "--kind", "train", "--webhook", "http://10.0.0.1/x", "--url", live_url)
    assert done.exit_code == 4
    assert "#/webhook/url" in done.stderr
    assert "RICHREGIME_WEBHOOK_SECRET" in done.stderr


def test_a_timeout_returns_6(command: Command, live_url: str, client: Client) -> None:
    experiment_id = client.submit(BODY).id
    assert command("watch", experiment_id, "--timeout", "0.1", "--url", live_url).returncode == 6


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("submit",), 2),
        (("submit", "no-such-file.json"), 2),
        (("submit", "-"), 2),
        (("no-such-command",), 2),
        (("list", "--url", "http://127.0.0.1:9"), 5),
        (("--help",), 0),
    ],
)
def test_usage_errors_and_a_missing_service_have_exit_codes(
    command: Command, arguments: tuple[str, ...], code: int
) -> None:
    assert command(*arguments).returncode == code


def test_a_preset_is_printed_as_a_body(command: Command, live_url: str) -> None:
    done = command("preset", "show", "demo", "--url", live_url)
    assert json.loads(done.stdout)["spec"]["kind"] == "train"
    assert "demo" in command("preset", "list", "--url", live_url).stdout


def test_options_submit_and_a_dry_run_starts_nothing(
    invoke: Invoke, live_url: str, client: Client
) -> None:
    options = (
        "--kind",
        "train",
        "--set",
        "epochs=2",
        "--sweep",
        "model.width=3,4",
        "--seeds",
        "0-1",
        "--url",
        live_url,
    )
    preview = invoke("submit", *options, "--dry-run", "--json")
    assert json.loads(preview.stdout)["num_runs"] == 2
    assert "nothing started" in invoke("submit", *options, "--dry-run").stdout
    made = invoke(
        "submit", *options, "--name", "by options", "--label", "a=b", "--no-reuse", "--json"
    )
    experiment = client.get(json.loads(made.stdout)["id"])
    assert (experiment.name, experiment.labels, experiment.seeds) == (
        "by options",
        {"a": "b"},
        [0, 1],
    )
    assert experiment.sweep == {"model.width": [3, 4]}
    assert f"richregime watch {experiment.id}" in made.stderr
    shown = invoke("show", experiment.id, "--url", live_url)
    assert "by options" in shown.stdout
    assert (
        len(json.loads(invoke("show", experiment.id, "--json", "--url", live_url).stdout)["runs"])
        == 2
    )


def test_a_plan_of_seeds_is_previewed_submitted_and_shown(
    invoke: Invoke, live_url: str, client: Client
) -> None:
    arguments = ("submit", "--kind", "train", "--seeds", "decided:3,2,8", "--url", live_url)
    told = " ".join(invoke(*arguments, "--dry-run").output.split())
    assert "at most 8 seeds in 4 runs" in told
    assert "with 4 looks at the verdicts" in told
    experiment = client.get(invoke(*arguments, "--no-reuse").stdout.strip())
    assert experiment.seed_plan is not None
    assert (experiment.seeds, experiment.seed_plan.at_most) == ([0, 1, 2], 8)
    shown = " ".join(invoke("show", experiment.id, "--url", live_url).output.split())
    assert "2 at a time until the verdicts are decided, to 8" in shown


def test_an_error_is_followed_by_the_next_step(
    invoke: Invoke, live_url: str, client: Client
) -> None:
    waiting = client.submit(BODY).id
    assert "richregime watch" in invoke("result", waiting, "--url", live_url).stderr
    assert "richregime list" in invoke("show", "exp_none", "--url", live_url).stderr
    assert "richregime kinds" in invoke("submit", "--kind", "nothing", "--url", live_url).stderr


def test_lists_are_printed_as_json(invoke: Invoke, live_url: str) -> None:
    for arguments in (
        ("kinds",),
        ("kinds", "train"),
        ("workers",),
        ("queue",),
        ("dataset", "list"),
        ("checkpoints", "list"),
        ("preset", "list"),
    ):
        assert json.loads(invoke(*arguments, "--json", "--url", live_url).stdout) is not None, (
            arguments
        )


def test_uploads_are_listed_and_deleted(invoke: Invoke, live_url: str, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(make_npz())
    (tmp_path / "half.safetensors").write_bytes(make_checkpoint(CHECKPOINT_SHAPES, "F16"))
    url = ("--url", live_url)
    invoke("dataset", "register", "by-command", str(tmp_path / "mine.npz"), *url)
    uploaded = invoke("checkpoint", str(tmp_path / "half.safetensors"), *url)
    assert "4 of 4 tensors are float16" in uploaded.stderr
    checkpoint = uploaded.stdout.strip()
    assert checkpoint in invoke("checkpoints", "list", *url).stdout
    for group, name in (("dataset", "by-command"), ("checkpoints", checkpoint)):
        done = invoke(group, "delete", name, "--dry-run", *url)
        assert (done.exit_code, "would be deleted" in done.stdout) == (0, True)
        done = invoke(group, "delete", name, *url)
        assert (done.exit_code, done.stdout.startswith(f"{name}: ")) == (0, True)
        assert invoke(group, "delete", name, *url).exit_code == 4
    assert checkpoint not in invoke("checkpoints", "list", *url).stdout


@pytest.mark.parametrize("width", [80, 200])
def test_a_list_cuts_nothing(client: Client, width: int) -> None:
    name = "a long name, as of a figure: ReLU-Nets with one hidden layer on Fashion-MNIST"
    experiment = client.submit({"kind": "train", "epochs": 3}, name=name, reuse=False)
    written = StringIO()
    Console(width=width, file=written, color_system=None).print(
        experiments_table([experiment], width)
    )
    text = written.getvalue()
    assert experiment.id in text
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert "Fashion-MNIST" in text
    assert "1 × 1" in text


@pytest.mark.parametrize(("width", "num_rows"), [(50, 18), (80, 18), (320, 2)])
def test_no_number_of_a_result_is_cut(width: int, num_rows: int) -> None:
    names = [f"quantity_number_{index}" for index in range(8)]
    points = [
        {
            "point": {"policy": {"name": policy, "k": 1}},
            "outcome": "trained",
            "seeds": [0, 1],
            **{
                name: {"mean": base + index, "standard_error": 0.0012, "ci95": None, "n": 2}
                for index, name in enumerate(["test_accuracy", *names])
            },
        }
        for policy, base in (("top_k", 0.1234), ("lisa", 20.1234))
    ]
    result = Result.model_validate(
        {"kind": "lws", "points": points, "seeds": 2, "reused": []}, strict=False
    )
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(result_table(result, "a result", console))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    for base in (0.1234, 20.1234):
        assert all(f"{base + index:.4f} ± 0.0012" in text for index in range(9))
    assert "top_k" in text
    assert "k=1" in text
    assert sum("0.0012" in line for line in text.splitlines()) == num_rows


def test_the_hint_after_a_problem_is_about_it(
    invoke: Invoke, live_url: str, tmp_path: Path
) -> None:
    (tmp_path / "wrong.csv").write_text("a,label\n1,x\n2,\n3,y\n")
    for arguments, hint in (
        (("show", "exp_nope"), "list` lists the experiments"),
        (("models", "nope"), "plugins` tells what workers have read"),
        (("submit", "--kind", "train", "--set", "epochs=-1"), "kinds NAME` shows the spec"),
        (("dataset", "import", str(tmp_path / "wrong.csv"), "--name", "wrong"), None),
    ):
        done = invoke(*arguments, "--url", live_url)
        assert done.exit_code == 4
        hints = [line for line in done.stderr.splitlines() if line.startswith("→")]
        assert len(hints) == (hint is not None)
        assert hint is None or hint in hints[0]


def test_a_list_in_a_pipe_has_one_line_per_experiment(
    command: Command, live_url: str, client: Client
) -> None:
    name = "another long name, for which eighty characters would not hold all columns"
    experiment = client.submit({"kind": "train", "epochs": 4}, name=name, reuse=False)
    (line,) = (
        one
        for one in command("list", "--url", live_url).stdout.splitlines()
        if experiment.id in one
    )
    assert name in line


def test_the_audit_trail_has_one_line_per_entry(
    invoke: Invoke, live_url: str, client: Client
) -> None:
    experiment_id = client.submit(BODY).id
    client.cancel(experiment_id)
    lines = invoke("audit", "--target", experiment_id, "--url", live_url).stdout.splitlines()
    assert [line.split()[4] for line in lines] == ["cancelled", "submitted"]
    found = json.loads(invoke("audit", "--limit", "1", "--json", "--url", live_url).stdout)
    assert (found[0]["action"], found[0]["target"]) == ("cancelled", experiment_id)


def test_the_limits_and_their_use_are_printed(invoke: Invoke, live_url: str) -> None:
    shown = invoke("limits", "--url", live_url).stdout
    assert "limit_queued_per_owner" in shown
    assert "used: " in shown
    assert "scopes of the key: read" in shown
    assert "max_points" in json.loads(invoke("limits", "--json", "--url", live_url).stdout)


@pytest.mark.parametrize(
    "words", [["export", "{id}"], ["export", "{id}", "--format", "csv"], ["plot", "{id}"]]
)
def test_output_that_cannot_be_written_is_one_line(
    words: list[str], command: Command, live_url: str, client: Client
) -> None:
    experiment_id = client.submit(BODY).id
    filled = [word.format(id=experiment_id) for word in words]
    done = command(*filled, "--url", live_url, "--out", "/proc/none/out")
    assert done.returncode == 1
    assert done.stderr == "[Errno 2] No such file or directory: '/proc/none'\n"


def test_commands_act_on_many_experiments_and_tell_first_what_they_do(
    invoke: Invoke, live_url: str, client: Client
) -> None:
    url = ("--url", live_url)
    ids = [
        client.submit({"kind": "train"}, reuse=False, name=name, labels={"paper": "many"}).id
        for name in ("first", "second")
    ]
    planned = invoke("cancel", "--label", "paper=many", "--dry-run", *url)
    assert f"{ids[0]}  would be cancelled: first; 1 queued run" in planned.stdout
    assert planned.stdout.endswith("2 would be cancelled\n")
    assert client.get(ids[0]).status == "queued"
    labelled = invoke("label", *ids, "--set", "x=y", "--remove", "paper", *url)
    assert (labelled.exit_code, client.get(ids[1]).labels) == (0, {"x": "y"})
    assert "2 labelled" in labelled.stdout
    listed = invoke("list", "--label", "x=y", "--sort=-name", "--field", "epochs", *url).stdout
    assert listed.index(ids[1]) < listed.index(ids[0])
    assert "epochs" in listed
    assert invoke("delete", *ids, *url).exit_code == 4, "they have not ended"
    assert "2 cancelled" in invoke("cancel", "--label", "x:y", *url).stdout
    assert "2 unchanged" in invoke("cancel", *ids, *url).stdout
    deleted = invoke("delete", "--search", "first", "--json", *url)
    assert [one["id"] for one in json.loads(deleted.stdout)] == [ids[0]]
    assert "no experiment matches" in invoke("delete", "--search", "first", *url).stderr
    for arguments in (("cancel",), ("cancel", ids[1], "--kind", "lws"), ("label", ids[1])):
        assert invoke(*arguments, *url).exit_code == 2
