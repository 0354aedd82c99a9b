"""All checks of schemathesis on the real process, on both databases, with a key and without."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.database.engine import Database
from tests.api.keys import make_key
from tests.faults.api_process import ApiProcess
from tests.faults.soak import Soak, soak_settings
from tests.postgres import new_database
from tests.workers.worker_harness import ROOT

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(7200)]

EXAMPLES = os.environ.get("RICHREGIME_HOSTILE_EXAMPLES", "5")
"""Requests of each operation, in addition to those for its limits"""
SECONDS = int(os.environ.get("RICHREGIME_HOSTILE_SECONDS", "90"))
"""Duration of the faults"""
RATES = {f"max_{name}_per_minute": 1_000_000 for name in ("failed_keys", "reads", "writes")}
"""So high that no request is refused for its rate"""
CONFIG = """
# The response time on a busy machine is not part of the contract.
[checks]
max_response_time = 600

# The service also refuses values that fit the schema: unknown cursors, bytes that are not a file of
# the expected type, axes and names that an experiment does not have.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "4xx", "5xx"]

[checks.not_a_server_error]
expected-statuses = {fine}

[[operations]]
include-path = "/readyz"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "503"]
"""


@contextmanager
def serving(home: Path, url: str, with_key: bool) -> Iterator[tuple[ApiProcess, list[str]]]:
    """A service with a few experiments, and the headers of its requests."""
    db = Database(url)
    headers = {"Authorization": f"Bearer {make_key(db)}"} if with_key else {}
    db.dispose()
    service = ApiProcess(home, database_url=url, **RATES)
    try:
        service.http.headers.update(headers)
        for seed in range(3):
            assert service.submit(seeds=[seed], sweep={"model.width": [10, 20]}).status_code == 201
        yield (
            service,
            [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")],
        )
    finally:
        service.close()


def search(
    service: ApiProcess, headers: list[str], folder: Path, fine: list[str], *more: str
) -> str:
    """The output of schemathesis. Raises AssertionError for any finding, or if the service died."""
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(fine=fine))
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "schemathesis.cli",
                "--config-file",
                str(config),
                "run",
                "openapi.yaml",
            ),
            *("--url", service.url, "--checks", "all", "--max-examples", EXAMPLES, "--no-color"),
            *(
                "--exclude-path-regex",
                "/events$",
                "--continue-on-failure",
                "--request-timeout",
                "600",
            ),
            *("--suppress-health-check", "all", "--generation-database", "none", *headers, *more),
        ],
        cwd=ROOT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.hostile.sending", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = done.stdout
    print(output[-6_000:] if done.returncode else output.partition("= SUMMARY =")[2])
    assert service.process.poll() is None
    assert done.returncode == 0
    assert "Rate limited:" not in output
    return output


@pytest.mark.parametrize("with_key", [False, True], ids=["open", "key"])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_request_breaks_the_contract(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sqlite_template: Path,
    database: str,
    with_key: bool,
) -> None:
    fine = ["2xx", "3xx", "4xx"]
    if database == "sqlite":
        (tmp_path / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
        url = f"sqlite:///{tmp_path / 'richregime.sqlite3'}"
        with serving(tmp_path, url, with_key) as (service, headers):
            search(service, headers, tmp_path, fine)
        return
    server = request.getfixturevalue("postgres_server")
    with new_database(server) as url, serving(tmp_path, url, with_key) as (service, headers):
        search(service, headers, tmp_path, fine)


def test_no_request_breaks_the_contract_during_faults(
    tmp_path: Path, sqlite_template: Path
) -> None:
    home = tmp_path / "soak"
    home.mkdir()
    (home / "richregime.sqlite3").write_bytes(sqlite_template.read_bytes())
    soak = Soak(soak_settings(home), seed=0)
    try:
        with serving(home, soak.harness.settings.resolved_database_url, False) as (
            service,
            headers,
        ):
            striking = threading.Thread(target=soak.run, args=(float(SECONDS),))
            striking.start()
            try:
                search(
                    service,
                    headers,
                    tmp_path,
                    ["2xx", "3xx", "4xx", "503", "507"],
                    "--max-time",
                    str(SECONDS),
                )
                assert service.submit().status_code == 201
            finally:
                striking.join()  # else it would start workers after `close`
        print(f"{soak.num_faults} faults {dict(soak.injected)}")
        assert soak.num_faults > 0
    finally:
        soak.close()
