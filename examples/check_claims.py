"""For a build machine: submit a body, and fail where one of the paper's claims does not hold any more.

    python examples/check_claims.py examples/lws_policies.json --claims 6,7

Ends with 1 where a claim is not reproduced, or (without --allow-inconclusive) where the statistics do not decide it.
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
    parser.add_argument("--claims", help="numbers of the claims to hold, e.g. 6,7; all by default")
    parser.add_argument("--allow-inconclusive", action="store_true")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds to wait")
    chosen = parser.parse_args()
    wanted = {int(number) for number in chosen.claims.split(",")} if chosen.claims else None
    with Client() as client:
        experiment = client.submit(json.loads(chosen.body.read_text(encoding="utf-8")))
        experiment = client.wait(experiment.id, timeout=chosen.timeout)
        if experiment.status != "succeeded":
            print(
                f"{experiment.id} {experiment.status}: {experiment.reason} {experiment.detail or ''}"
            )
            return 1
        verdicts = client.comparison(experiment.id)["verdicts"]
    judged = [one for one in verdicts if wanted is None or one["claim"] in wanted]
    for one in judged:
        print(f"claim {one['claim']} ({one['title']}): {one['verdict']}. {one['reason']}")
    missing = (wanted or set()) - {one["claim"] for one in judged}
    for number in sorted(missing):
        print(f"claim {number}: this experiment does not speak to it")
    accepted = {"reproduced", "inconclusive"} if chosen.allow_inconclusive else {"reproduced"}
    return 0 if not missing and all(one["verdict"] in accepted for one in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
