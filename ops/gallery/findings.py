"""The findings of the verdict that answers a claim, as a table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ops.gallery.texts import MARKS, Record, escape_cell, link, value_of

ROLES = {"part": "part", "guard": "can only refute", "beside": "beside"}
MOST_BESIDE = 6
"""More rows beside the parts are folded."""
_BOUND = re.compile(r"(?:above|below|at least|at most) [^\s,]+|between [^\s,]+ and [^\s,]+")
HEAD = ("| role | finding | bound | found | value, interval | n |", "|---|---|---|---|---|---:|")


def tell_findings(record: Record, verdict: Record, others: Sequence[tuple[Record, Record]]) -> str:
    """The parts of a claim and what stands beside them.

    others: further verdicts on the claim. What those of the same figure and reading measure in
    addition, as of other widths, stands beside too.
    """
    own = verdict["findings"]
    if not own:
        return ""
    parts = [_row(one, _role_of(one)) for one in own if _role_of(one) != "beside"]
    beside = [_row(one, "beside") for one in own if _role_of(one) == "beside"]
    told = {one["statement"] for one in own}
    for other, its in others:
        if (other["preset"], its.get("reading")) == (record["preset"], verdict.get("reading")):
            added = [one for one in its["findings"] if one["statement"] not in told]
            beside += [_row(one, "beside", link(other)) for one in added if _is_measured(one)]
            told |= {one["statement"] for one in added}
    if len(beside) <= MOST_BESIDE:
        return "\n".join([*HEAD, *parts, *beside, ""])
    count = f"<summary>{len(beside)} findings beside the parts</summary>"
    folded = ["<details>", count, "", *HEAD, *beside, "", "</details>"]
    return "\n".join([*HEAD, *parts, "", *folded, ""])


def tell_other_parts(verdict: Record) -> str:
    """How the parts that do not decide came out, e.g. `Other parts: ✔ 3.`; else empty."""
    others = [
        one
        for one in verdict["findings"]
        if _role_of(one) == "part" and f"{one['statement']}: {one['reason']}" != verdict["reason"]
    ]
    if verdict["verdict"] == "reproduced" or not others:
        return ""
    return f" Other parts: {', '.join(_count(others))}."


def _count(findings: Sequence[Record]) -> Iterator[str]:
    """How many have each verdict, and how many were not measured."""
    found = [one["verdict"] for one in findings if _is_measured(one)]
    for name, mark in MARKS.items():
        if name in found:
            yield f"{mark[0]} {found.count(name)}"
    if len(found) < len(findings):
        yield f"not measured {len(findings) - len(found)}"


def _row(finding: Record, role: str, source: str = "") -> str:
    is_measured = _is_measured(finding)
    bounds = _BOUND.findall(finding["reason"]) if is_measured else []
    cells = (
        ", ".join(filter(None, (ROLES[role], source))),
        escape_cell(finding["statement"]),
        bounds[-1] if bounds else "",
        MARKS[finding["verdict"]][0] if is_measured else "not measured",
        value_of(finding) if finding["value"] is not None else escape_cell(finding["reason"]),
        str(finding["n"] or ""),
    )
    return f"| {' | '.join(cells)} |"


def _is_measured(finding: Record) -> bool:
    return finding["value"] is not None or finding.get("decided_by") == "theory"


def _role_of(finding: Record) -> str:
    """Records of older versions have parts only."""
    return str(finding.get("role", "part"))
