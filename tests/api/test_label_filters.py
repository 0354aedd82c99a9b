"""Every label that can be stored is found by the filter that names it, and by no other."""

from __future__ import annotations

import html
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest

from api.http.paging import format_label, parse_label
from schemas.actions import MAX_LABEL_FILTER
from schemas.submission import Label
from tests.api.api_server import ApiServer
from tests.api.page_reader import PageReader

BODY = {"spec": {"kind": "train"}, "reuse": False}
LABELS = [
    ("plain", "value"),
    ("a:b", "c"),
    ("a", "b:c"),
    ("a:b:c", "d:e"),
    (":", ":"),
    ("::", "x"),
    ("\\", "\\"),
    ("\\:", "x"),
    ("a\\", "b"),
    ("a\\:b", "c"),
    ("a\\\\:b", "c"),
    ('quo"te', 'quo"te'),
    ('"', "'"),
    ("$", "x"),
    ("$.a[0]", "x"),
    ("a.b", "x"),
    ("0", "x"),
    ("%", "_"),
    ("key ", " value"),
    ("naïve ∇", "𝜃"),
    ("\\u0041", "x"),
    ("line\nbreak", "tab\tvalue"),
    ("\x01\x7f", "x"),
    ("&amp;<b>", "#?&=+%20"),
    ("\\" * 100, ":" * 100),
    (":" * 100, "\\" * 100),
    ("∇" * 100, "𝜃" * 100),
]


@pytest.mark.parametrize(("key", "value"), LABELS, ids=map(str, range(len(LABELS))))
def test_a_filter_names_one_key_and_one_value(key: str, value: str) -> None:
    assert parse_label(format_label(key, value)) == (key, value)
    assert parse_label(format_label(key, "").removesuffix(":")) == (key, None)
    assert len(format_label(key, value)) <= MAX_LABEL_FILTER


def test_the_longest_label_has_a_filter() -> None:
    longest: int = get_args(Label)[1].max_length
    assert 3 * longest + 1 == MAX_LABEL_FILTER


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a", ("a", None)),
        ("a:", ("a", "")),
        ("a:b:c", ("a", "b:c")),
        (r"a\:b:c", ("a:b", "c")),
        (r"a\b:c", (r"a\b", "c")),
        (r"a\\:c", ("a\\", "c")),
        (r"a:b\:c", ("a", r"b\:c")),
        ("", ("", None)),
        ("\\", ("\\", None)),
    ],
)
def test_a_backslash_before_a_colon_keeps_it_in_the_key(
    text: str, found: tuple[str, str | None]
) -> None:
    assert parse_label(text) == found


def test_every_label_is_found_by_its_filter_alone(api_on_both_databases: ApiServer) -> None:
    api_server = api_on_both_databases
    made = {
        label: str(api_server.submit({**BODY, "labels": dict([label])})["id"]) for label in LABELS
    }
    for (key, value), experiment_id in made.items():
        for text in (format_label(key, value), format_label(key, "").removesuffix(":")):
            items = api_server.get("/experiments", label=text, limit=200)["items"]
            assert [one["id"] for one in items] == [experiment_id], (text, key, value)
        other = api_server.get("/experiments", label=format_label(key, f"{value[1:]}!"), limit=200)
        assert other["items"] == []
        for page in (
            api_server.http.get(f"/view/{experiment_id}"),
            api_server.http.get("/", params={"label": format_label(key, value)}),
        ):
            links = [one for one in PageReader(page.text).all("a") if one.get("class") == "label"]
            query = parse_qs(urlsplit(html.unescape(str(links[0]["href"]))).query)
            assert query["label"] == [format_label(key, value)], page.url


def test_the_command_line_finds_a_key_with_a_colon(api_server: ApiServer) -> None:
    made = str(api_server.submit({**BODY, "labels": {"a:b": "c:d"}})["id"])
    url = str(api_server.http.base_url)
    for text, is_found in ((r"a\:b:c:d", True), (r"a\:b", True), ("a:b:c:d", False)):
        done = subprocess.run(
            [sys.executable, "-m", "richregime", "list", "--label", text, "--url", url],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "client"},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert (made in done.stdout) is is_found
