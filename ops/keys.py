"""`richregime keys`: create, list and revoke API keys directly in the database of the service."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.access import OWNER_PATTERN, Scope

if TYPE_CHECKING:
    from schemas.keys import Key
    from storage.database.engine import Session

app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke API keys on the service's host."
)

Home = Annotated[
    Path | None, typer.Option(help="Home folder of the service; ~/.richregime by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DEFAULT_SCOPES = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)


@app.command()
def create(
    owner: Annotated[
        str, typer.Option(help="Owner of the key: keys of one owner see the same experiments.")
    ],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="Scope of the key; may be repeated. Default: read, submit and cancel."),
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0, help="Days until the key expires; never by default.")
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Create a key and print it once. After the first key exists, the service requires a key."""
    from schemas.audit import Action
    from storage.access.audit import record
    from storage.access.keys import create_key, to_resource

    if re.fullmatch(OWNER_PATTERN, owner) is None:
        raise typer.BadParameter("an owner has 1 to 64 letters, digits and . _ @ -")
    lifetime = timedelta(days=days) if days is not None else None
    with _database(home) as session:
        row, key = create_key(
            session, owner=owner, scopes=scope or DEFAULT_SCOPES, lifetime=lifetime
        )
        made = to_resource(row)
        record(session, Action.KEY_MADE, row.id, f"for {owner}: {row.scopes}")
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

    with _database(home) as session:
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

    with _database(home) as session:
        revoked = to_resource(revoke_key(session, key_id))
        record(session, Action.KEY_REVOKED, key_id)
    print(_describe(revoked))


def _describe(key: Key) -> str:
    state = "never expires"
    if key.revoked_at is not None:
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC"
    elif key.expires_at is not None:
        state = f"expires {key.expires_at:%Y-%m-%d %H:%M} UTC"
    return f"{key.id}  {key.owner}  {','.join(key.scopes)}  {state}"


@contextmanager
def _database(home: Path | None) -> Iterator[Session]:
    """A write transaction on the service's database; storage errors end the command with code 1."""
    from runtime.settings import Settings
    from storage.database.engine import Database
    from storage.errors import StorageError

    settings = Settings(home=home) if home is not None else Settings()
    db = Database(settings.resolved_database_url)
    try:
        db.require_schema()
        with db.write() as session:
            yield session
    except StorageError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        db.dispose()
