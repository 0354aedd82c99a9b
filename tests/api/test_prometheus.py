"""What Prometheus is told, what it costs, and that dashboard and alerts name nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from api.background.prometheus import PrometheusCollector
from storage.runs.claim import claim_next
from storage.runs.lease_expiry import expire_worker
from storage.runs.reconcile import reconcile
from storage.runs.transitions import heartbeat
from tests.api.api_server import ApiServer

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
BODY = {"spec": {"kind": "train", "epochs": 2}, "seeds": [0, 1], "execution": {"seeds_per_run": 1}}
NAME = re.compile(r"\brichregime_\w+")

Samples = dict[tuple[str, frozenset[str]], float]


def look(api_server: ApiServer) -> Samples:
    """Everything by (name, label values), as another process of the API would tell it now."""
    return read(
        PrometheusCollector(api_server.db, api_server.blobs, api_server.settings).render().decode()
    )


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(*labels: str) -> frozenset[str]:
    return frozenset(labels)


def told_names(api_server: ApiServer) -> set[str]:
    api_server.http.get("/healthz")  # so that there was a request
    return {name for name, _ in read(api_server.http.get("/metrics").text)}


def test_a_run_s_life_is_counted_whoever_counts_and_is_asked(
    api_on_both_databases: ApiServer,
) -> None:
    api_server = api_on_both_databases
    api_server.submit(
        {**BODY, "webhook": {"url": "https://example.org/", "secret": "whsec_" + "a" * 43 + "="}}
    )
    before = look(api_server)
    assert (
        before["richregime_runs", of("queued")] == before["richregime_queue_depth", of("any")] == 2
    )
    assert before["richregime_oldest_queued_seconds", of()] > 0
    assert before["richregime_broker_up", of()] == 0

    for owner in ("host:1:2", "host:1:3"):
        assert (
            claim_next(
                api_server.db, worker=owner, device_class="gpu", device="cuda", lease_seconds=0.0
            )
            is not None
        )
    assert expire_worker(api_server.db, "host:1:2", max_attempts=3)
    reconcile(api_server.db, api_server.blobs, api_server.settings, lambda runs: None)
    again = claim_next(
        api_server.db, worker="host:1:4", device_class="gpu", device="cuda", lease_seconds=60
    )
    assert again is not None
    heartbeat(api_server.db, again.run_id, again.fence, 60, (1, 2, "epochs"), step_seconds=0.02)
    api_server.finish_run(again)
    after = look(api_server)
    assert after["richregime_runs", of("succeeded")] == after["richregime_runs", of("queued")] == 1
    assert after["richregime_leases_lost_total", of("died")] == 1
    assert after["richregime_leases_lost_total", of("expired")] == 1
    assert after["richregime_claim_seconds_count", of("gpu")] == 2, (
        "a run that is claimed again has not waited"
    )
    assert after["richregime_claim_seconds_sum", of("gpu")] > 0
    assert after["richregime_step_seconds_sum", of("gpu")] == pytest.approx(0.02)
    steps = [
        after["richregime_step_seconds_bucket", of("gpu", bound)]
        for bound in ("0.01", "0.025", "+Inf")
    ]
    assert steps == [0, 1, 1]
    assert after["richregime_stored_bytes", of("checkpoint")] > 0


def test_counts_outlive_their_experiment(api_server: ApiServer) -> None:
    made = api_server.submit({**BODY, "reuse": False})
    api_server.finish_all_runs(made["id"])
    counted = look(api_server)["richregime_claim_seconds_count", of("cpu")]
    assert counted >= 2
    assert api_server.http.delete(f"/experiments/{made['id']}").is_success
    assert look(api_server)["richregime_claim_seconds_count", of("cpu")] == counted


def test_requests_are_told_by_the_template_of_their_route(api_server: ApiServer) -> None:
    for path in ("/experiments/exp_one", "/experiments/exp_two", "/nowhere/one", "/nowhere/two"):
        api_server.http.get(path)
    api_server.http.request("BREW", "/healthz")
    found = {
        labels: value
        for (name, labels), value in read(api_server.http.get("/metrics").text).items()
        if name == "richregime_request_seconds_count"
    }
    assert found[of("GET", "/experiments/{experiment_id}", "404")] >= 2
    assert found[of("GET", "other", "404")] >= 2
    assert not any(
        "exp_one" in value or "nowhere" in value or value == "BREW"
        for key in found
        for value in key
    )


@pytest.fixture
def statements(api_server: ApiServer) -> Iterator[list[str]]:
    """Those that the database is asked in the meantime."""
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    engine = api_server.db._reader
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def test_who_asks_often_asks_the_database_seldom(
    api_server: ApiServer, statements: list[str]
) -> None:
    watch = PrometheusCollector(api_server.db, api_server.blobs, api_server.settings)
    watch.render()
    asked = len([one for one in statements if " counter" in one])
    assert asked
    for _ in range(20):
        watch.render()
    assert len([one for one in statements if " counter" in one]) == asked


def test_counting_runs_reads_an_index_and_no_run(
    api_server: ApiServer, statements: list[str]
) -> None:
    PrometheusCollector(api_server.db, api_server.blobs, api_server.settings).render()
    of_runs = [one for one in statements if " run " in one.replace("\n", " ")]
    assert len(of_runs) >= 2
    with api_server.db._reader.connect() as connection:
        for statement in of_runs:
            inlined = statement.replace("?", "'queued'")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {inlined}").all()
            assert all("COVERING INDEX" in row[3] for row in plan if " run" in row[3]), plan


def test_the_dashboard_names_what_is_told(api_server: ApiServer) -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(shown) > 10
    assert set(NAME.findall(" ".join(shown))) <= told_names(api_server)


def test_the_alerts_name_what_is_told(api_server: ApiServer) -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert set(NAME.findall(" ".join(rule["expr"] for rule in rules))) <= told_names(api_server)


def test_everything_told_is_shown(api_server: ApiServer) -> None:
    """A name that nobody looks at is left out of `/metrics`, or finds its place on the dashboard."""
    shown = (MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8")
    bases = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in told_names(api_server)}
    unseen = {name for name in bases if name.startswith("richregime_") and name not in shown}
    assert unseen == set()
