"""A submission as one types it: its body, and the command or program that sends it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pprint import pformat
from typing import Any

LIST_OF_NUMBERS = re.compile(r"\[\s+([-+.\de,\s]+?)\s+\]")
WIDTH = 100
"""Characters of a line of a program"""


def write_body(body: Mapping[str, Any]) -> str:
    """The body as one would type it: a list of numbers stands on one line."""
    text = json.dumps(body, indent=2, ensure_ascii=False)
    return LIST_OF_NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def submissions_in_words(body: Mapping[str, Any], url: str) -> list[tuple[str, str, str]]:
    """(title, key, text) of each way to send the body to the service at `url`."""
    command = (
        f"curl -s {shlex.quote(f'{url}/experiments')} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(write_body(body))}"
    )
    program = (
        f"from richregime import Client\n\nbody = {pformat(dict(body), width=WIDTH, sort_dicts=False)}\n\n"
        f"with Client({url!r}) as client:\n"
        "    experiment = client.submit(body)\n"
        "    client.wait(experiment.id)\n"
        "    print(client.result(experiment.id))"
    )
    return [("curl", "as-curl", command), ("Python", "as-python", program)]
