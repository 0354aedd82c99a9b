"""`richregime keys`: API keys and the owners of work, directly in the database of the service."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.failures import failing_in_one_line
from schemas.access import OWNER_PATTERN, Scope

if TYPE_CHECKING:
    from schemas.keys import Key
    from storage.database.engine import Database

app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke API keys on the service's host."
)

Home = Annotated[
    Path | None, typer.Option(help="Home folder of the service; ~/.richregime by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
FIRST_SCOPES = (Scope.ADMIN,)
"""Scopes of the first key: somebody must see everything"""
DEFAULT_SCOPES = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
"""Scopes of later keys"""
OWNER_RULE = "an owner has 1 to 64 letters, digits and . _ @ -"


@app.command()
def create(
    owner: Annotated[
        str, typer.Option(help="Owner of the key: keys of one owner see the same experiments.")
    ],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(
            help="Scope of the key; may be repeated. Default: admin for the first key of a "
            "service, then read, submit and cancel."
        ),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until the key expires; never by default.")
    ] = None,
    adopt: Annotated[
        bool | None,
        typer.Option(
            help="Whether all work without an owner, from before the first key, becomes the "
            "owner's; asked for the first key."
        ),
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Create a key and print it once. After the first key exists, the service requires a key."""
    from schemas.audit import Action
    from storage.access.audit import record
    from storage.access.hand_over import hand_over
    from storage.access.keys import create_key, has_keys, to_resource
    from storage.access.ownership import NOBODY

    _require_owner(owner)
    lifetime = timedelta(days=days) if days is not None else None
    with _database(home) as db:
        if adopt is None:
            adopt = _ask_to_adopt(db, owner)
        with db.write() as session:
            scopes = scope or (DEFAULT_SCOPES if has_keys(session) else FIRST_SCOPES)
            row, key = create_key(session, owner=owner, scopes=scopes, lifetime=lifetime)
            made = to_resource(row)
            record(session, Action.KEY_MADE, row.id, f"for {owner}: {row.scopes}")
            adopted = hand_over(session, NOBODY, owner) if adopt else {}
    if adopt:
        print(f"→ {owner} now owns {_describe_counts(adopted)}", file=sys.stderr)
    if as_json:
        print(json.dumps({**made.model_dump(mode="json"), "key": key}, indent=2))
        return
    print(key)
    print(f"→ {_describe(made)}", file=sys.stderr)
    print(
        "→ the key is shown only once; `export RICHREGIME_KEY=...` sets it for the client",
        file=sys.stderr,
    )


@app.command(name="list")
def list_(as_json: AsJson = False, home: Home = None) -> None:
    """List every key that was created, oldest first; the keys themselves are not shown."""
    from storage.access.keys import list_keys, to_resource

    with _database(home) as db, db.read() as session:
        found = [to_resource(row) for row in list_keys(session)]
    if as_json:
        print(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    for one in found:
        print(_describe(one))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key.")], home: Home = None
) -> None:
    """Revoke a key: the service refuses it from now on."""
    from schemas.audit import Action
    from storage.access.audit import record
    from storage.access.keys import revoke_key, to_resource

    with _database(home) as db, db.write() as session:
        revoked = to_resource(revoke_key(session, key_id))
        record(session, Action.KEY_REVOKED, key_id)
    print(_describe(revoked))


@app.command(name="hand-over")
def hand_over_work(
    to: Annotated[str, typer.Option(help="Owner who receives the work.")],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Owner whose work is handed over. Left out: the work without an owner, from "
            "before the first key.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the work.")] = False,
    home: Home = None,
) -> None:
    """Hand all work of one owner over to another: experiments, data sets, checkpoints.

    Keys stay with their owner. Experiments that are being imported or deleted are left out.
    """
    from storage.access.hand_over import count_work, hand_over, require_free_names
    from storage.access.ownership import NOBODY

    for owner in (to, from_):
        if owner is not None:
            _require_owner(owner)
    if to == from_:
        raise typer.BadParameter(f"--from and --to are the same owner, {to}")
    source = NOBODY if from_ is None else from_
    with _database(home) as db:
        if dry_run:
            with db.read() as session:
                counts = count_work(session, source)
                require_free_names(session, source, to)
        else:
            with db.write() as session:
                counts = hand_over(session, source, to)
    print(f"{_describe_counts(counts)} {'would be' if dry_run else 'were'} handed over to {to}")


def _require_owner(owner: str) -> None:
    if re.fullmatch(OWNER_PATTERN, owner) is None:
        raise typer.BadParameter(OWNER_RULE)


def _ask_to_adopt(db: Database, owner: str) -> bool:
    """Ask what happens to the work without an owner, which only an admin sees after the first key.

    Not asked where there is no such work, or where a key exists: it was asked then.
    """
    from storage.access.hand_over import count_work
    from storage.access.keys import has_keys
    from storage.access.ownership import NOBODY

    with db.read() as session:
        counts = {} if has_keys(session) else count_work(session, NOBODY)
    if not counts:
        return False
    work = f"this service has {_describe_counts(counts)} without an owner"
    if not _is_terminal():
        raise typer.BadParameter(
            f"{work}; pass --adopt to make them {owner}'s, or --no-adopt so that only keys with "
            "the scope admin see them (`richregime keys hand-over` can move them later)"
        )
    print(f"→ {work}; after this key, only keys with the scope admin see them", file=sys.stderr)
    return typer.confirm(f"Make them {owner}'s?", err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _describe_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "nothing"


def _describe(key: Key) -> str:
    state = "never expires"
    if key.revoked_at is not None:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC"
    elif key.expires_at is not None:
        state = f"expires {key.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"{key.id}  {key.owner}  {','.join(key.scopes)}  {state}"


@contextmanager
def _database(home: Path | None) -> Iterator[Database]:
    """The service's database; failures end the command with code 1."""
    from runtime.settings import settings_of_command
    from storage.database.engine import Database

    settings = settings_of_command(home, needs_home=False)
    with failing_in_one_line():
        db = Database(settings.resolved_database_url)
        try:
            db.require_schema()
            yield db
        finally:
            db.dispose()
