"""The command `richregime doctor`: its output and its exit code."""

from __future__ import annotations

from typer.testing import CliRunner

from ops.doctor.deployment import examine
from ops.doctor.findings import worst_level
from richregime.cli import app
from runtime.settings import Settings


def test_the_worst_finding_is_the_exit_code(healthy: Settings) -> None:
    runner = CliRunner()
    environment = {"RICHREGIME_BROKER_URL": healthy.broker_url, "RICHREGIME_DATABASE_URL": None}
    done = runner.invoke(app, ["doctor", "--json", "--home", str(healthy.home)], env=environment)
    assert '"subject": "broker"' in done.stdout
    assert done.exit_code == worst_level(examine(healthy)), done.output
    environment["RICHREGIME_BROKER_URL"] = "redis://127.0.0.1:1"
    done = runner.invoke(app, ["doctor", "--home", str(healthy.home)], env=environment)
    assert done.exit_code == 2
    assert "error    broker" in done.stdout
    assert "→ start it, or correct the address" in done.stdout
