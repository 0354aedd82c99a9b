"""The body of a submission as readable JSON, and code that submits it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any

LIST_OF_NUMBERS = re.compile(r"\[\s+([-+.\de,\s]+?)\s+\]")
WIDTH = 100
"""Longest line of a program, in characters"""


def format_body(body: Mapping[str, Any]) -> str:
    """The body as indented JSON, with each list of numbers on one line."""
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return LIST_OF_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def submission_snippets(body: Mapping[str, Any], url: str) -> list[tuple[str, str, str]]:
    """(title, element id, code) of each way to submit the body to the service at `url`."""
    command = (
        f"curl -s {shlex.quote(f'{url}/experiments')} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(format_body(body))}"
    )
    program = (
        "from richregime import Client\n\n"
        f"body = {pformat(dict(body), width=WIDTH, sort_dicts=False)}\n\n"
        f"with Client({url!r}) as client:\n"
        "    experiment = client.submit(body)\n"
        "    client.wait(experiment.id)\n"
        "    print(client.result(experiment.id))"
    )
    return [("curl", "as-curl", command), ("Python", "as-python", program)]
