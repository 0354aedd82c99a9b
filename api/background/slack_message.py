"""A delivery as Slack and compatible receivers take it: `{"text": ...}` in their markup."""

from __future__ import annotations

import json
from datetime import datetime

from engine.durations import format_seconds
from schemas.status import RunStatus
from schemas.webhooks import EndedExperiment, WebhookPayload

MAX_DETAIL = 300
"""Characters of why an experiment failed"""


def slack_body(payload: WebhookPayload, public_url: str | None) -> str:
    """Name, status, durations, counts and link of the experiment that has ended, as JSON.

    public_url: where people reach the service; None leaves the link out, and the id remains.
    """
    return json.dumps({"text": _describe(payload.data, public_url)}, ensure_ascii=False)


def _describe(data: EndedExperiment, public_url: str | None) -> str:
    named = _escape(data.name) if data.name else f"{_escape(data.kind)} experiment"
    link = f"<{public_url}/view/{data.id}|{data.id}>" if public_url else data.id
    verb = "was" if data.status == "cancelled" else "has"
    text = f"{named} {verb} {data.status} {_describe_times(data)}, {_describe_counts(data)}: {link}"
    if data.reason is not None:
        detail = " ".join((data.detail or "").split())
        if len(detail) > MAX_DETAIL:
            detail = f"{detail[:MAX_DETAIL]}…"
        text += f"\n{data.reason}{': ' if detail else ''}{_escape(detail)}"
    return text


def _describe_times(data: EndedExperiment) -> str:
    if data.started_at is None:
        return f"after {_between(data.created_at, data.finished_at)}, before it started"
    waited = _between(data.created_at, data.started_at)
    return f"after {_between(data.started_at, data.finished_at)} (it had waited {waited})"


def _between(first: datetime, last: datetime) -> str:
    return format_seconds(max(0.0, (last - first).total_seconds()))


def _describe_counts(data: EndedExperiment) -> str:
    total = sum(data.counts.values())
    succeeded = data.counts.get(RunStatus.SUCCEEDED, 0)
    runs = f"{total:,} run{'' if total == 1 else 's'}"
    return runs if succeeded == total else f"{succeeded:,} of {runs} succeeded"


def _escape(text: str) -> str:
    """As Slack requires: these three characters begin links, mentions and entities there."""
    plain = " ".join(text.split())
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
