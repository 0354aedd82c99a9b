"""Claims of a submission: checks, identity, verdicts, extension, export and import."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest

from engine.sweep import expand
from tests.api.api_server import ApiServer
from workers.looks import look_at_all

WIDER = {
    "name": "wider is better",
    "quantity": "test_accuracy",
    "point": 1,
    "versus": 0,
    "at_least": 0.0,
}
GOOD = {"name": "good", "quantity": "test_accuracy", "at_least": 0.885}


def body_of(number: int, *claims: Any, **changed: Any) -> dict[str, Any]:
    """Two points and three seeds, that equal no other test's. number: no other test uses it."""
    return {
        "spec": {"kind": "train", "epochs": 500 + number},
        "sweep": {"model.width": [10, 20]},
        "seeds": [0, 1, 2],
        "claims": list(claims),
        **changed,
    }


def errors_of(api_server: ApiServer, body: dict[str, Any], path: str = "") -> dict[str, str]:
    response = api_server.http.post(f"/experiments{path}", json=body)
    assert response.status_code == 422, response.text
    return {error["pointer"]: error["code"] for error in response.json()["errors"]}


@pytest.mark.parametrize("path", ["", "/preview"])
def test_every_error_of_claims_is_told_with_all_others(api_server: ApiServer, path: str) -> None:
    body = body_of(
        0,
        {**GOOD, "quantity": "test_acuracy"},
        {**GOOD, "at_most": 1.0},
        {"name": "no bound", "quantity": "test_accuracy"},
        {**WIDER, "point": 2, "versus": 3},
        {**WIDER, "name": "same", "point": 1, "versus": 1},
        {"name": "empty", "quantity": "test_accuracy", "within": [0.5, 0.5]},
        {"name": "typed", "quantity": "test_accuracy", "at_least": "a lot", "colour": "red"},
        priority=11,
    )
    assert errors_of(api_server, body, path) == {
        "#/priority": "less_than_equal",
        "#/claims/0/quantity": "unknown-quantity",
        "#/claims/1": "one-bound",
        "#/claims/1/name": "repeated-name",
        "#/claims/2": "one-bound",
        "#/claims/3/point": "no-such-point",
        "#/claims/3/versus": "no-such-point",
        "#/claims/4/versus": "equal-points",
        "#/claims/5/within": "not-ascending",
        "#/claims/6/at_least": "float_type",
        "#/claims/6/colour": "extra_forbidden",
    }


def test_errors_of_claims_say_what_to_do(api_server: ApiServer) -> None:
    body = body_of(0, {**GOOD, "quantity": "test_acuracy"}, {**WIDER, "point": 7})
    response = api_server.http.post("/experiments", json=body)
    assert [error["detail"] for error in response.json()["errors"]] == [
        "unknown quantity 'test_acuracy'; did you mean `test_accuracy`? (point 0)",
        "the experiment has 2 points, counted from 0; there is no point 7",
    ]


def test_claims_are_checked_beside_errors_of_the_spec(api_server: ApiServer) -> None:
    body = body_of(0, {**GOOD, "at_most": 1.0, "quantity": "nothing"})
    body["spec"]["epochs"] = -1
    assert errors_of(api_server, body) == {
        "#/spec/epochs": "greater_than_equal",
        "#/claims/0": "one-bound",
    }


def test_numbers_that_are_not_finite_and_too_many_claims_are_refused(
    api_server: ApiServer,
) -> None:
    content = '{"spec": {"kind": "train"}, "claims": [{"name": "a", "quantity": "test_accuracy",'
    content += ' "at_least": 1e999}]}'
    response = api_server.http.post(
        "/experiments", content=content, headers={"Content-Type": "application/json"}
    )
    assert response.status_code in (400, 422), response.text
    many = [{**GOOD, "name": str(number)} for number in range(21)]
    assert errors_of(api_server, body_of(0, *many)) == {"#/claims": "too_long"}


def test_a_quantity_is_one_of_its_own_point(api_server: ApiServer) -> None:
    """A net of depth 1 has layers 0 and 1, one of depth 2 has a layer 2 as well."""
    body = {
        "spec": {"kind": "activity_map", "model": {"width": 10}},
        "sweep": {"model.depth": [1, 2]},
        "claims": [
            {
                "name": str(point),
                "quantity": "share_of_layers.2_at_alpha_1",
                "point": point,
                "at_least": 0.1,
            }
            for point in (0, 1)
        ],
    }
    assert errors_of(api_server, body) == {"#/claims/0/quantity": "unknown-quantity"}


def test_a_ratio_to_another_point_takes_no_versus(api_server: ApiServer) -> None:
    claim = {"name": "same", "quantity": "difference", "at_least": -0.01, "point": 1}
    policies = [{"name": "full"}, {"name": "top_k_all_bottoms", "k": 1, "rho": 0.25}]
    body = {"spec": {"kind": "lws"}, "sweep": {"policy": policies}, "claims": [claim]}
    assert api_server.http.post("/experiments/preview", json=body).status_code == 200
    body["claims"] = [{**claim, "versus": 0}]
    assert api_server.http.post("/experiments/preview", json=body).status_code == 200
    body["claims"] = [{**claim, "versus": 0, "quantity": "backward_ratio"}]
    assert errors_of(api_server, body) == {"#/claims/0/quantity": "relative-quantity"}


def test_an_experiment_tells_its_claims(api_server: ApiServer) -> None:
    found = api_server.submit(body_of(1, GOOD, WIDER))
    absent = {"versus": None, "at_most": None, "within": None}
    assert found["claims"] == [{**absent, "point": 0, **GOOD}, {**absent, **WIDER}]
    assert api_server.get(f"/experiments/{found['id']}") == found


def test_claims_are_part_of_the_experiment_and_of_no_training(api_server: ApiServer) -> None:
    plain = api_server.submit(body_of(2))
    claimed = api_server.submit(body_of(2, GOOD))
    other = api_server.submit(body_of(2, WIDER))
    again = api_server.submit(body_of(2, {**GOOD, "versus": None, "point": 0}))
    assert len({plain["id"], claimed["id"], other["id"]}) == 3
    assert (again["id"], again["reused"]) == (claimed["id"], True)
    assert api_server.submit(body_of(2, claims=[]))["id"] == plain["id"]
    previews = [
        api_server.http.post("/experiments/preview", json=body_of(2, *claims)).json()
        for claims in ((), (GOOD,))
    ]
    digests = [[point["digest"] for point in found["points"]] for found in previews]
    assert digests[0] == digests[1]
    ids = [found["reuses_experiment"] for found in previews]
    assert ids == [plain["id"], claimed["id"]]


def test_trainings_have_the_digests_of_a_submission_without_claims(api_server: ApiServer) -> None:
    specs = [point.spec for point in expand(body_of(2)["spec"], {"model.width": [10, 20]})]
    with_claims = api_server.http.post("/experiments/preview", json=body_of(2, GOOD, WIDER)).json()
    assert [point["digest"] for point in with_claims["points"]] == [one.digest() for one in specs]


def test_an_idempotency_key_is_refused_with_other_claims(api_server: ApiServer) -> None:
    api_server.submit(body_of(3, GOOD), **{"Idempotency-Key": "claims"})
    response = api_server.http.post(
        "/experiments", json=body_of(3, WIDER), headers={"Idempotency-Key": "claims"}
    )
    assert response.json()["code"] == "idempotency-mismatch"


def test_a_comparison_has_a_verdict_on_each_claim(api_on_both_databases: ApiServer) -> None:
    """Each point's three seeds, in one run, have 0.90, 0.91 and 0.92: mean 0.91 ± 0.024841."""
    api_server = api_on_both_databases
    bad = {"name": "bad", "quantity": "test_accuracy", "point": 1, "at_least": 0.94}
    more = {**WIDER, "name": "more", "at_least": 0.01}
    found = api_server.submit(body_of(4, GOOD, bad, WIDER, more))
    path = f"/experiments/{found['id']}/comparison"
    assert api_server.http.get(path).json()["code"] == "not-ready"
    assert len(api_server.finish_all_runs(found["id"])) == 2
    comparison = api_server.get(path)
    verdicts = {one["name"]: one for one in comparison["own_verdicts"]}
    assert {name: one["verdict"] for name, one in verdicts.items()} == {
        "good": "reproduced",
        "bad": "not reproduced",
        "wider is better": "inconclusive",
        "more": "inconclusive",
    }
    assert verdicts["good"]["interval"] == pytest.approx([0.885159, 0.934841], abs=1e-6)
    assert verdicts["good"]["point"] == {"model.width": 10}
    assert verdicts["wider is better"]["versus"] == {"model.width": 10}
    assert verdicts["wider is better"]["reason"].startswith("no spread: all 3 values are equal")
    difference = api_server.get(f"/experiments/{found['id']}/difference", point=1)["difference"]
    assert verdicts["more"]["value"] == difference["test_accuracy"]["mean"]
    assert "the paper" not in " ".join(one["sentence"] for one in verdicts.values())


def test_an_extension_keeps_the_points_that_claims_name(api_server: ApiServer) -> None:
    sweep = {"model.width": [10, 20], "epochs": [601, 602]}
    found = api_server.submit(body_of(5, WIDER, sweep=sweep))
    path = f"/experiments/{found['id']}/extend"
    refused = api_server.http.post(path, json={"sweep": {"epochs": [603]}})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/sweep/epochs", "claims-by-index")
    extended = api_server.http.post(path, json={"sweep": {"model.width": [30]}, "seeds": [3]})
    assert extended.status_code == 200, extended.text
    assert (extended.json()["num_points"], extended.json()["claims"]) == (6, found["claims"])
    longer = {**sweep, "model.width": [10, 20, 30]}
    again = api_server.submit(body_of(5, WIDER, sweep=longer, seeds=[0, 1, 2, 3]))
    assert (again["id"], again["reused"]) == (found["id"], True)
    without = api_server.submit(body_of(6, sweep={**sweep, "epochs": [701, 702]}))
    allowed = api_server.http.post(
        f"/experiments/{without['id']}/extend", json={"sweep": {"epochs": [703]}}
    )
    assert allowed.status_code == 200, "without claims every field takes more values"


def test_an_export_holds_the_claims_and_an_import_judges_them(api_server: ApiServer) -> None:
    found = api_server.submit(body_of(7, GOOD, WIDER))
    api_server.finish_all_runs(found["id"])
    archive = api_server.http.get(f"/experiments/{found['id']}/export").content
    response = api_server.http.post(
        "/import", content=archive, headers={"Content-Type": "application/zip"}
    )
    assert response.status_code in (200, 201), response.text
    imported = response.json()
    assert imported["claims"] == found["claims"]
    verdicts = [
        api_server.get(f"/experiments/{one['id']}/comparison")["own_verdicts"]
        for one in (found, imported)
    ]
    assert verdicts[0] == verdicts[1] != []


def test_verdicts_are_in_tables_exports_and_reports(api_server: ApiServer) -> None:
    found = api_server.submit(body_of(10, GOOD, {**WIDER, "name": 'a, "b" <c>'}))
    api_server.finish_all_runs(found["id"])
    base = f"/experiments/{found['id']}"
    written = api_server.http.get(f"{base}/comparison.csv", params={"table": "own_claims"}).text
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [(row["claim"], row["verdict"], row["n"]) for row in rows] == [
        ("good", "reproduced", "3"),
        ('a, "b" <c>', "inconclusive", "3"),
    ]
    assert float(rows[0]["interval_low"]) == pytest.approx(0.885159, abs=1e-6)
    with zipfile.ZipFile(io.BytesIO(api_server.http.get(f"{base}/export").content)) as archive:
        assert archive.read("own_claims.csv").decode() == written
        assert "own_claims.md" in archive.namelist()
    sentence = "is 91.00 % (95 % interval 88.52 to 93.48, n = 3), as claimed: at least 88.5 %."
    page = api_server.http.get(f"{base}/report.html").text
    assert "Claims of the submission" in page
    assert sentence in page
    assert "a, &#34;b&#34; &lt;c&gt;" in page
    assert sentence in api_server.http.get(f"{base}/report.md").text.replace("\\", "")
    assert api_server.http.get(f"{base}/report.pdf").content.startswith(b"%PDF")


def test_without_claims_nothing_is_said_of_them(api_server: ApiServer) -> None:
    found = api_server.submit(body_of(11))
    api_server.finish_all_runs(found["id"])
    base = f"/experiments/{found['id']}"
    assert api_server.get(f"{base}/comparison")["own_verdicts"] == []
    assert "Claims of the submission" not in api_server.http.get(f"{base}/report.md").text
    with zipfile.ZipFile(io.BytesIO(api_server.http.get(f"{base}/export").content)) as archive:
        assert "own_claims.csv" not in archive.namelist()


def test_own_claims_decide_when_no_more_seeds_are_needed(api_server: ApiServer) -> None:
    """Each look pays: with two looks the interval of three seeds is of 97.5 %, mean ± 0.0358."""
    plan = {"until": "decided", "first": 3, "step": 3, "at_most": 6}
    one_point = {"sweep": {}, "seeds": plan}
    decided = api_server.submit(body_of(8, {**GOOD, "at_least": 0.87}, **one_point))
    open_ = api_server.submit(body_of(9, {**GOOD, "at_least": 0.88}, **one_point))
    for found in (decided, open_):
        api_server.finish_all_runs(found["id"])
        look_at_all(api_server.db, api_server.blobs, api_server.settings)
    first, second = (api_server.get(f"/experiments/{one['id']}") for one in (decided, open_))
    assert (first["seed_plan"]["ended"], first["seeds"]) == ("decided", [0, 1, 2])
    assert (second["seed_plan"]["ended"], second["seeds"]) == (None, [0, 1, 2, 3, 4, 5])
    verdict = api_server.get(f"/experiments/{decided['id']}/comparison")["own_verdicts"][0]
    assert verdict["confidence"] == 0.975
    assert verdict["interval"][0] == pytest.approx(0.91 - 6.205347 * 0.01 / 3**0.5, abs=1e-6)
