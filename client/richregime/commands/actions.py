"""cancel, retry, delete, label: actions on one experiment, some, or all that filters find."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from richregime.commands.shared import (
    PROGRAM,
    AsJson,
    ExitCode,
    OnlyKind,
    OnlyLabel,
    OnlyStatus,
    Search,
    Url,
    label_filter,
    open_client,
    print_hint,
    print_json,
)
from richregime.enums import ActionOutcome, ExperimentStatus

if TYPE_CHECKING:
    from richregime.client import Client
    from richregime.types import ActedExperiment, ActionReport

app = typer.Typer()
MAX_ACTED = 200
"""Experiments of one request; more are sent in several"""
Act = Callable[["Client", Sequence[str]], "ActionReport"]
Ids = Annotated[
    list[str] | None, typer.Argument(help="The experiments; or choose them by the options.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")]


@app.command()
def cancel(
    experiment_ids: Ids = None,
    kind: OnlyKind = None,
    status: OnlyStatus = None,
    label: OnlyLabel = None,
    containing: Search = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Cancel experiments. What they have logged is kept."""
    found = _filters(experiment_ids, kind, status, label, containing)
    with open_client(url) as client:
        if experiment_ids and len(experiment_ids) == 1 and not dry_run:
            experiment = client.cancel(experiment_ids[0])
            print_json(experiment) if as_json else print(f"{experiment.id} {experiment.status}")
            return
        _act(
            client,
            experiment_ids,
            found,
            lambda client, ids: client.cancel_all(ids, dry_run=dry_run),
            ("would be cancelled" if dry_run else "cancelled"),
            as_json,
        )


@app.command()
def retry(
    experiment_ids: Ids = None,
    kind: OnlyKind = None,
    status: OnlyStatus = None,
    label: OnlyLabel = None,
    containing: Search = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Run the failed runs of experiments again. They resume from their last checkpoint."""
    found = _filters(experiment_ids, kind, status, label, containing)
    with open_client(url) as client:
        if experiment_ids and len(experiment_ids) == 1 and not dry_run:
            experiment = client.retry(experiment_ids[0])
            print_json(experiment) if as_json else print(f"{experiment.id} {experiment.status}")
            print_hint(f"{PROGRAM} watch {experiment.id}")
            return
        _act(
            client,
            experiment_ids,
            found,
            lambda client, ids: client.retry_all(ids, dry_run=dry_run),
            ("would be retried" if dry_run else "retried"),
            as_json,
        )


@app.command()
def delete(
    experiment_ids: Ids = None,
    kind: OnlyKind = None,
    status: OnlyStatus = None,
    label: OnlyLabel = None,
    containing: Search = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Delete experiments that have ended, with their files."""
    found = _filters(experiment_ids, kind, status, label, containing)
    with open_client(url) as client:
        if experiment_ids and len(experiment_ids) == 1:
            deletion = client.delete(experiment_ids[0], dry_run=dry_run)
            would = "would be " if dry_run else ""
            told = f"{deletion.id}: {deletion.runs} runs, {deletion.bytes:,} bytes {would}deleted"
            print_json(deletion) if as_json else print(told)
            return
        _act(
            client,
            experiment_ids,
            found,
            lambda client, ids: client.delete_all(ids, dry_run=dry_run),
            ("would be deleted" if dry_run else "deleted"),
            as_json,
        )


@app.command()
def label(
    experiment_ids: Ids = None,
    labels: Annotated[
        list[str] | None, typer.Option("--set", help="key=value. Repeatable.")
    ] = None,
    removed: Annotated[
        list[str] | None, typer.Option("--remove", help="The key of a label. Repeatable.")
    ] = None,
    kind: OnlyKind = None,
    status: OnlyStatus = None,
    only_label: OnlyLabel = None,
    containing: Search = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Set and remove labels of experiments; their other labels stay."""
    changed: dict[str, str | None] = dict.fromkeys(removed or ())
    for text in labels or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not key=value, such as --set paper=fig4")
        changed[key] = value
    if not changed:
        raise typer.BadParameter("give --set, --remove or both")
    found = _filters(experiment_ids, kind, status, only_label, containing)
    with open_client(url) as client:
        _act(
            client,
            experiment_ids,
            found,
            lambda client, ids: client.label_all(changed, ids, dry_run=dry_run),
            ("would be labelled" if dry_run else "labelled"),
            as_json,
        )


def _filters(
    ids: Sequence[str] | None,
    kind: str | None,
    status: ExperimentStatus | None,
    label: str | None,
    containing: str | None,
) -> dict[str, Any]:
    """The filters that are given. Raises BadParameter unless there are either ids or filters."""
    given = {
        "kind": kind,
        "status": status,
        "label": label_filter(label),
        "containing": containing,
    }
    found = {name: value for name, value in given.items() if value is not None}
    if bool(ids) == bool(found):
        raise typer.BadParameter(
            "give ids, or one of --kind, --status, --label and --search"
            + ("; not both" if ids else "")
        )
    return found


def _act(
    client: Client,
    ids: Sequence[str] | None,
    filters: dict[str, Any],
    act: Act,
    what: str,
    as_json: bool,
) -> None:
    """Act on the ids, or on those that the filters find now, and print what became of each."""
    chosen = list(ids or (one.id for one in client.iterate(**filters)))
    starts = range(0, len(chosen), MAX_ACTED)
    reports = [act(client, chosen[start : start + MAX_ACTED]) for start in starts]
    items = [item for report in reports for item in report.items]
    if as_json:
        print_json(items)
    else:
        _print_report(items, what)
    if ids and any(item.outcome == ActionOutcome.REFUSED for item in items):
        raise typer.Exit(ExitCode.REFUSED)


def _print_report(items: Sequence[ActedExperiment], what: str) -> None:
    if not items:
        print("no experiment matches", file=sys.stderr)
        print_hint(f"`{PROGRAM} list` has the same filters")
        return
    for item in items:
        outcome = what if item.outcome == ActionOutcome.DONE else item.outcome
        print(f"{item.id}  {outcome}: {item.title or '-'}; {item.detail}")
    counts = Counter(item.outcome for item in items)
    told = [f"{counts[ActionOutcome.DONE]} {what}"]
    told += [
        f"{counts[outcome]} {outcome}"
        for outcome in (ActionOutcome.UNCHANGED, ActionOutcome.REFUSED)
        if counts[outcome]
    ]
    num_bytes = sum(item.bytes for item in items)
    print(", ".join(told) + (f"; {num_bytes:,} bytes of files" if num_bytes else ""))
