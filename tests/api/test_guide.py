"""The guide: pages, links, and working examples in the reference."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest

from api.web.guide import list_pages
from api.web.kind_pages import kind_markdown
from api.web.reference import list_calls
from engine.experiments.registry import kinds
from schemas.problems import ProblemCode
from schemas.status import FailureReason
from tests.api.announced_workers import announce_worker
from tests.api.api_server import ApiServer
from tests.api.sample_files import CHECKPOINT_SHAPES, make_checkpoint

LINK = re.compile(r'(?:href|src)="(/[^"#]*)')
ENDED = {"POST /experiments/{experiment_id}/cancel", "POST /experiments/{experiment_id}/retry"}
"""Operations that return 409 for a succeeded experiment, as in these examples."""
UNREADY = {"GET /readyz"}
"""Operations that return 503 without broker and workers, as here."""


def page(api_server: ApiServer, path: str) -> str:
    response = api_server.http.get(path, headers={"Accept": "text/html"}, follow_redirects=True)
    assert response.status_code == 200, path
    return response.text


def test_every_page_is_served_and_no_link_is_broken(api_server: ApiServer) -> None:
    led: set[str] = set()
    for one in list_pages():
        text = page(api_server, f"/guide/{one.slug}")
        assert one.title in text
        led |= set(LINK.findall(text))
    broken = [
        path
        for path in sorted(led)
        if api_server.http.get(path, follow_redirects=True).status_code != 200
    ]
    assert broken == []


MARKDOWN_LINK = re.compile(r"\]\((/[^)#]*)")


def test_programs_read_the_guide_as_markdown(api_server: ApiServer) -> None:
    """Every page once, in the list or as optional; no link of a page is broken."""
    listed = api_server.http.get("/llms.txt")
    assert listed.headers["content-type"] == "text/markdown; charset=utf-8"
    assert listed.text.startswith("# richregime\n\n> ")
    addresses = MARKDOWN_LINK.findall(listed.text)
    assert sorted(addresses) == sorted(f"/guide/{one.slug}.md" for one in list_pages())
    pages = {address: api_server.http.get(address).text for address in addresses}
    assert all(text.lstrip().startswith(("#", "---")) for text in pages.values())
    led = {link for text in pages.values() for link in MARKDOWN_LINK.findall(text)}
    assert {link for link in led if link.startswith("/guide/")} >= {"/guide/citing.md"}
    broken = [link for link in sorted(led) if api_server.http.get(link).status_code != 200]
    assert broken == []
    whole = api_server.http.get("/llms-full.txt").text
    main = listed.text.partition("## Optional")[0]
    assert all(pages[address] in whole for address in MARKDOWN_LINK.findall(main))
    assert api_server.http.get("/guide/nothing.md").status_code == 404


def test_a_skill_file_says_what_it_is_only_to_programs(api_server: ApiServer) -> None:
    assert api_server.http.get("/guide/skill.md").text.startswith("---\nname: richregime\n")
    assert "name: richregime" not in page(api_server, "/guide/skill")


def test_the_guide_starts_with_the_quick_start_and_has_no_other_pages(
    api_server: ApiServer,
) -> None:
    assert "Start the service" in page(api_server, "/guide")
    for path in (
        "/guide/nothing",
        "/guide/../README",
        "/guide/kinds/nothing",
        "/guide/images/none.png",
    ):
        assert api_server.http.get(path).status_code == 404, path


def test_the_sections_of_a_page_are_listed_and_linked(
    api_server: ApiServer,
) -> None:
    text = page(api_server, "/guide/paper-map")
    assert '<h2 id="claim-2">2. Wide nets' in text
    assert '<li><a href="#claim-2">2. Wide nets' in text
    assert "&lt;a" not in text


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_s_page_lists_its_spec_plots_and_presets(api_server: ApiServer, kind: str) -> None:
    text = page(api_server, f"/guide/kinds/{kind}")
    for name in kinds()[kind].spec.model_fields:
        assert f"<code>{name}</code>" in text
    for plot in kinds()[kind].plots:
        assert f"<code>{plot.name}</code>" in text
    for preset in kinds()[kind].presets():
        assert f"<code>{preset.name}</code>" in text


def test_every_code_and_reason_is_explained(api_server: ApiServer) -> None:
    text = page(api_server, "/guide/errors")
    for name in (*ProblemCode, *FailureReason):
        assert f"<code>{name}</code>" in text, name


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_example_of_the_reference_works_when_pasted(
    api_server: ApiServer, tmp_path: Path
) -> None:
    body = {
        "spec": {"kind": "train"},
        "sweep": {"model.width": [6, 7]},
        "seeds": [0, 1],
        "reuse": False,
    }
    experiment = api_server.submit({**body, "name": "of the reference"})["id"]
    api_server.finish_all_runs(experiment)
    run = api_server.get(f"/experiments/{experiment}/runs")["items"][0]["id"]
    (tmp_path / "theta.safetensors").write_bytes(make_checkpoint(CHECKPOINT_SHAPES))
    checkpoint = api_server.http.post(
        "/checkpoints", content=make_checkpoint(CHECKPOINT_SHAPES)
    ).json()["id"]
    announce_worker(api_server)
    images, labels = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2
    file = io.BytesIO()
    np.savez_compressed(file, x_train=images, y_train=labels, x_test=images, y_test=labels)
    (tmp_path / "mine.npz").write_bytes(file.getvalue())
    known = {
        "URL": str(api_server.http.base_url).rstrip("/"),
        "EXPERIMENT": experiment,
        "ANOTHER": experiment,
        "RUN": run,
        "ARTIFACT": api_server.get(f"/runs/{run}/checkpoints")["items"][0]["id"],
        "CHECKPOINT": checkpoint,
        "WORKER": api_server.get("/workers")["items"][0]["id"],
    }
    # Extending reopens the experiment, and the other calls need it finished.
    calls = sorted(
        list_calls(api_server.get("/openapi.json")), key=lambda call: call.path.endswith("/extend")
    )
    assert len(calls) > 35
    script = "\n".join(f"{call.curl} -w '\\n@%{{http_code}}\\n'" for call in calls)
    text = page(api_server, "/guide/reference")
    for call in calls:
        assert f"{call.method} {call.path}" in text
    done = subprocess.run(
        ["sh", "-u", "-c", script],
        cwd=tmp_path,
        env={**known, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        errors="replace",
    )
    statuses = [int(line[1:]) for line in done.stdout.splitlines() if re.fullmatch(r"@\d{3}", line)]
    assert len(statuses) == len(calls), done.stderr
    for call, status in zip(calls, statuses, strict=True):
        expected = {409} if call.key in ENDED else {200, 503} if call.key in UNREADY else {200, 201}
        assert status in expected, (call.curl, status)
    assert httpx.codes.OK in statuses


@pytest.mark.parametrize("kind", list(kinds()))
def test_the_page_of_a_kind_has_a_table_of_every_part_and_variant(kind: str) -> None:
    """Each field of each variant has a row below the part's heading."""
    schema = kinds()[kind].spec.model_json_schema()
    page = kind_markdown(kinds()[kind])
    num_variants = 0
    for name, field in schema["properties"].items():
        references = [one["$ref"] for one in field.get("oneOf", [field]) if "$ref" in one]
        if references:
            section = page.split(f"### `{name}`\n")[1].split("\n### ")[0]
        for reference in references:
            variant = schema["$defs"][reference.rpartition("/")[2]]
            tag = variant["properties"].get("name", {}).get("const")
            assert tag is None or f"**`{tag}`**" in section
            for inner, one in variant["properties"].items():
                assert "const" in one or f"\n| `{inner}` |" in section, (name, tag, inner)
            num_variants += 1
    assert num_variants >= 20
