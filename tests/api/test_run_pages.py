"""The page of one run: how it is found, and what it tells of the run."""

from __future__ import annotations

import pytest

from storage.runs.lease_expiry import expire_worker
from storage.runs.transitions import release_run
from tests.api.api_server import ApiServer

HTML = {"Accept": "text/html"}
BODY = {
    "spec": {"kind": "train", "epochs": 6},
    "sweep": {"model.width": [10, 20]},
    "seeds": [0, 1],
    "name": "two <b> widths",
}


def read(api_server: ApiServer, path: str) -> str:
    response = api_server.http.get(path, headers=HTML, follow_redirects=True)
    assert response.status_code == 200, path
    return response.text


@pytest.fixture(scope="module")
def experiment_id(api_server: ApiServer) -> str:
    return str(api_server.submit(BODY)["id"])


@pytest.fixture(scope="module")
def run_ids(api_server: ApiServer, experiment_id: str) -> list[str]:
    """Both runs; the first has lost its worker once, was interrupted once and has succeeded."""
    items = api_server.get(f"/experiments/{experiment_id}/runs")["items"]
    claimed = api_server.claim_run(experiment_id)
    assert claimed is not None
    assert expire_worker(api_server.db, api_server.get(f"/runs/{claimed.run_id}")["worker"], 9)
    claimed = api_server.claim_run(experiment_id)
    assert claimed is not None
    with api_server.db.write() as session:
        assert release_run(session, claimed.run_id, claimed.fence)
    api_server.finish_all_runs(experiment_id)
    return [str(one["id"]) for one in items]


def test_a_run_s_page_names_experiment_point_seeds_and_the_end_of_each_attempt(
    api_server: ApiServer, experiment_id: str, run_ids: list[str]
) -> None:
    page = read(api_server, f"/view/runs/{run_ids[0]}")
    assert "<h1>width 10, seeds 0, 1</h1>" in page
    assert f'href="/view/{experiment_id}">two &lt;b&gt; widths</a>' in page
    attempts = page.partition('id="attempt-list"')[2].partition("</table>")[0]
    ends = [row.partition("<")[0] for row in attempts.split('data-label="End">')[1:]]
    assert ends == [
        "its worker was lost; queued again",
        "its worker shut down; queued again",
        "succeeded",
    ]
    for artifact in api_server.get(f"/runs/{run_ids[0]}/checkpoints")["items"]:
        assert f'href="/artifacts/{artifact["id"]}" download=' in page
    other = read(api_server, f"/view/runs/{run_ids[1]}")
    assert "<h1>width 20, seeds 0, 1</h1>" in other
    assert "run.lease_lost" in page
    assert "run.lease_lost" not in other, "only its own events"


def test_a_run_s_page_is_found_from_the_experiment_and_by_the_search_for_its_id(
    api_server: ApiServer, experiment_id: str, run_ids: list[str]
) -> None:
    page = read(api_server, f"/view/{experiment_id}")
    runs, events = page.partition('id="run-list"')[2], page.partition('id="event-list"')[2]
    for run_id in run_ids:
        assert f'href="/view/runs/{run_id}"' in runs
        assert f'href="/view/runs/{run_id}"' in events
    found = api_server.http.get("/", params={"q": f" {run_ids[1]} "}, headers=HTML)
    assert (found.status_code, found.headers["location"]) == (303, f"/view/runs/{run_ids[1]}")


def test_the_queue_links_to_the_pages_of_its_runs(api_server: ApiServer) -> None:
    queued = api_server.submit({"spec": {"kind": "train", "epochs": 7}})["id"]
    (run,) = api_server.get(f"/experiments/{queued}/runs")["items"]
    assert f'href="/view/runs/{run["id"]}"' in read(api_server, "/machines")
    page = read(api_server, f"/view/runs/{run['id']}")
    assert 'data-terminal="false"' in page
    assert "No worker has started it." in page
