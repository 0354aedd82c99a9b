"""Notes of an experiment: changed, bounded, shown, exported and imported."""

from __future__ import annotations

from schemas.resources import MAX_NOTES
from tests.api.api_server import ApiServer

TEXT = "Stays at chance.\n<b>Next</b>: lr 0.01 & ∇"


def test_notes_are_kept_removed_and_carried_by_the_export(
    api_on_both_databases: ApiServer,
) -> None:
    api = api_on_both_databases
    made = api.submit({"spec": {"kind": "train"}})
    address = f"/experiments/{made['id']}"
    assert made["notes"] is None
    noted = api.http.patch(address, json={"notes": TEXT}).json()
    assert noted == api.get(address) == {**made, "notes": TEXT, "queue": noted["queue"]}
    renamed = api.http.patch(address, json={"name": "named"}).json()
    assert (renamed["notes"], renamed["digest"]) == (TEXT, made["digest"])

    again = api.submit({"spec": {"kind": "train"}})
    assert (again["reused"], again["id"]) == (True, made["id"]), "notes are not part of the digest"
    api.finish_all_runs(made["id"])
    archive = api.http.get(f"{address}/export").content
    imported = api.http.post(
        "/import", content=archive, headers={"Content-Type": "application/zip"}
    ).json()
    assert imported["notes"] == TEXT
    for nothing in (None, ""):
        api.http.patch(address, json={"notes": TEXT})
        assert api.http.patch(address, json={"notes": nothing}).json()["notes"] is None
    refused = api.http.patch(address, json={"notes": "x" * (MAX_NOTES + 1)}).json()
    assert [(error["pointer"], error["code"]) for error in refused["errors"]] == [
        ("#/notes", "string_too_long")
    ]
    assert f"{MAX_NOTES}" in refused["errors"][0]["detail"]
