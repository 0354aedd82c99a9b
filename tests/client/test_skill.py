"""The steps of the skill file run as written, against a whole service."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from richregime import Client

pytestmark = [
    pytest.mark.xdist_group("whole_service"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

SKILL = Path(__file__).parents[2] / "docs" / "how-to" / "skill.md"
STEP = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
ONE_LINE = re.compile(r"`(curl [^`]*/presets/[^`]*)`")


def run(session: str, service_url: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", session],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "RICHREGIME_URL": service_url},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_steps_lead_to_a_verdict(service_url: str, tmp_path: Path) -> None:
    steps = STEP.findall(SKILL.read_text(encoding="utf-8"))
    assert len(steps) == 7
    run("\n".join(steps), service_url, tmp_path)

    def read(name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((tmp_path / f"{name}.json").read_text())
        return found

    experiment = read("experiment")
    assert experiment["status"] == "succeeded", experiment["detail"]
    assert experiment["labels"] == {"asked_by": "agent"}
    assert {"seconds", "warnings", "departures", "reuses_experiment"} <= read("preview").keys()
    with Client(service_url) as client:
        result = client.result(str(experiment["id"])).model_dump(mode="json", exclude_unset=True)
        comparison = client.comparison(str(experiment["id"])).model_dump(mode="json")
    assert read("result")["points"] == result["points"]
    assert read("comparison") == comparison
    told = {"verdict", "sentence", "scale", "reading", "n", "departures"}
    assert comparison["verdicts"]
    assert all(told <= one.keys() for one in comparison["verdicts"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with zipfile.ZipFile(tmp_path / f"{experiment['id']}.zip") as bundle:
        assert bundle.testzip() is None


def test_one_line_submits_a_preset(service_url: str, tmp_path: Path) -> None:
    line = " ".join(ONE_LINE.findall(SKILL.read_text(encoding="utf-8"))[0].split())
    made = json.loads(run(line, service_url, tmp_path))
    with Client(service_url) as client:
        assert client.cancel(made["id"]).spec["kind"] == "reinit_sweep"
