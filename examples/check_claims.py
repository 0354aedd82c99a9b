"""Check claims of the paper in a build: submit a body, wait, and exit with 1 if a claim fails.

    python examples/check_claims.py examples/lws_policies.json --claims 6,7

A claim fails if it is not reproduced, or, without --allow-inconclusive, if it is inconclusive.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from richregime import Client


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("body", type=Path, help="a JSON file with a body or a spec")
    parser.add_argument("--claims", help="numbers of the claims to check, e.g. 6,7; default: all")
    parser.add_argument("--allow-inconclusive", action="store_true")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds to wait")
    chosen = parser.parse_args()
    wanted = {int(number) for number in chosen.claims.split(",")} if chosen.claims else None
    with Client() as client:
        experiment = client.submit(json.loads(chosen.body.read_text(encoding="utf-8")))
        experiment = client.wait(experiment.id, timeout=chosen.timeout)
        if experiment.status != "succeeded":
            reason = f"{experiment.reason} {experiment.detail or ''}"
            print(f"{experiment.id} {experiment.status}: {reason}")
            return 1
        verdicts = client.comparison(experiment.id).verdicts
    checked = [one for one in verdicts if wanted is None or one.claim in wanted]
    for one in checked:
        print(f"claim {one.claim} ({one.title}): {one.verdict}. {one.reason}")
    missing = (wanted or set()) - {one.claim for one in checked}
    for number in sorted(missing):
        print(f"claim {number}: not measured by this experiment")
    accepted = {"reproduced", "inconclusive"} if chosen.allow_inconclusive else {"reproduced"}
    return 0 if not missing and all(one.verdict in accepted for one in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
