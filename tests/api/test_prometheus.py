"""The metrics for Prometheus, their cost, and the dashboard and alerts that use them."""

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
from storage.runs.heartbeats import Beat, send_heartbeat
from storage.runs.lease_expiry import expire_worker
from tests.api.api_server import ApiServer

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
BODY = {"spec": {"kind": "train", "epochs": 2}, "seeds": [0, 1], "execution": {"seeds_per_run": 1}}
NAME = re.compile(r"\brichregime_\w+")

Samples = dict[tuple[str, frozenset[str]], float]


def collect(api_server: ApiServer) -> Samples:
    """All samples by (name, label values), as another API process would export them."""
    return read(
        PrometheusCollector(api_server.db, api_server.blobs, api_server.settings)
        .render(with_files=True)
        .decode()
    )


def read(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(*values: str) -> frozenset[str]:
    return frozenset(values)


def exported_names(api_server: ApiServer) -> set[str]:
    api_server.http.get("/healthz")  # so that a request is counted
    return {name for name, _ in read(api_server.http.get("/metrics").text)}


def test_every_process_counts_the_same_transitions_of_a_run(
    api_on_both_databases: ApiServer,
) -> None:
    api_server = api_on_both_databases
    api_server.submit(
        {**BODY, "webhook": {"url": "https://example.org/", "secret": "whsec_" + "a" * 43 + "="}}
    )
    before = collect(api_server)
    assert (
        before["richregime_runs", labels("queued")]
        == before["richregime_queue_depth", labels("any")]
        == 2
    )
    assert before["richregime_oldest_queued_seconds", labels()] > 0
    assert before["richregime_broker_up", labels()] == 0

    for owner in ("host:1:2", "host:1:3"):
        assert (
            claim_next(
                api_server.db, worker=owner, device_class="gpu", device="cuda", lease_seconds=0.0
            )
            is not None
        )
    assert expire_worker(api_server.db, "host:1:2", max_attempts=3)
    api_server.reconcile()
    again = claim_next(
        api_server.db, worker="host:1:4", device_class="gpu", device="cuda", lease_seconds=60
    )
    assert again is not None
    send_heartbeat(
        api_server.db, Beat(again.run_id, again.fence, (1, 2, "epochs"), step_seconds=0.02), 60
    )
    api_server.finish_run(again)
    after = collect(api_server)
    assert (
        after["richregime_runs", labels("succeeded")]
        == after["richregime_runs", labels("queued")]
        == 1
    )
    assert after["richregime_leases_lost_total", labels("died")] == 1
    assert after["richregime_leases_lost_total", labels("expired")] == 1
    assert after["richregime_claim_seconds_count", labels("gpu")] == 2, (
        "a run that is claimed again has not waited"
    )
    assert after["richregime_claim_seconds_sum", labels("gpu")] > 0
    assert after["richregime_step_seconds_sum", labels("gpu")] == pytest.approx(0.02)
    steps = [
        after["richregime_step_seconds_bucket", labels("gpu", bound)]
        for bound in ("0.01", "0.025", "+Inf")
    ]
    assert steps == [0, 1, 1]
    assert after["richregime_stored_bytes", labels("checkpoint")] > 0


def test_counters_survive_the_deletion_of_an_experiment(api_server: ApiServer) -> None:
    made = api_server.submit({**BODY, "reuse": False})
    api_server.finish_all_runs(made["id"])
    counted = collect(api_server)["richregime_claim_seconds_count", labels("cpu")]
    assert counted >= 2
    assert api_server.http.delete(f"/experiments/{made['id']}").is_success
    assert collect(api_server)["richregime_claim_seconds_count", labels("cpu")] == counted


def test_requests_are_labelled_by_route_template(api_server: ApiServer) -> None:
    for path in ("/experiments/exp_one", "/experiments/exp_two", "/nowhere/one", "/nowhere/two"):
        api_server.http.get(path)
    api_server.http.request("BREW", "/healthz")
    found = {
        labels: value
        for (name, labels), value in read(api_server.http.get("/metrics").text).items()
        if name == "richregime_request_seconds_count"
    }
    assert found[labels("GET", "/experiments/{experiment_id}", "404")] >= 2
    assert found[labels("GET", "other", "404")] >= 2
    assert not any(
        "exp_one" in value or "nowhere" in value or value == "BREW"
        for key in found
        for value in key
    )


@pytest.fixture
def statements(api_server: ApiServer) -> Iterator[list[str]]:
    """The SQL statements that are executed during the test."""
    executed: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    engine = api_server.db._reader
    event.listen(engine, "before_cursor_execute", note)
    yield executed
    event.remove(engine, "before_cursor_execute", note)


def test_frequent_scrapes_rarely_query_the_database(
    api_server: ApiServer, statements: list[str]
) -> None:
    watch = PrometheusCollector(api_server.db, api_server.blobs, api_server.settings)
    watch.render(with_files=True)
    num_queries = len([one for one in statements if " counter" in one])
    assert num_queries
    for _ in range(20):
        watch.render(with_files=True)
    assert len([one for one in statements if " counter" in one]) == num_queries


def test_counting_runs_reads_only_an_index(api_server: ApiServer, statements: list[str]) -> None:
    PrometheusCollector(api_server.db, api_server.blobs, api_server.settings).render(
        with_files=True
    )
    of_runs = [one for one in statements if " run " in one.replace("\n", " ")]
    assert len(of_runs) >= 2
    with api_server.db._reader.connect() as connection:
        for statement in of_runs:
            inlined = statement.replace("?", "'queued'")
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {inlined}").all()
            assert all("COVERING INDEX" in row[3] for row in plan if " run" in row[3]), plan


def test_the_dashboard_uses_exported_metrics(api_server: ApiServer) -> None:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(shown) > 10
    assert set(NAME.findall(" ".join(shown))) <= exported_names(api_server)


def test_the_alerts_use_exported_metrics(api_server: ApiServer) -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert set(NAME.findall(" ".join(rule["expr"] for rule in rules))) <= exported_names(api_server)


def test_every_exported_metric_is_on_the_dashboard(api_server: ApiServer) -> None:
    shown = (MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8")
    bases = {
        re.sub(r"_(bucket|count|sum|created)$", "", name) for name in exported_names(api_server)
    }
    unseen = {name for name in bases if name.startswith("richregime_") and name not in shown}
    assert unseen == set()
