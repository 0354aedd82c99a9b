"""preset, kinds, workers, queue, limits, audit, dataset: what can be asked, who answers, and who did what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from richregime.commands.shared import PROGRAM, AsJson, Scale, Url, print_json, say, talking_to
from schemas.audit import Action

app = typer.Typer()
presets = typer.Typer(
    no_args_is_help=True, help="Named experiments: the paper's figures and tables, and the demo."
)
datasets = typer.Typer(no_args_is_help=True, help="Data sets: built in and your own.")
app.add_typer(presets, name="preset")
app.add_typer(datasets, name="dataset")


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@presets.command(name="list")
def list_presets(as_json: AsJson = False, url: Url = None) -> None:
    """What can be submitted by name."""
    with talking_to(url) as client:
        found = [*client.presets()]
    if as_json:
        print_json(found)
        return
    columns = ("name", "scale", "kind", "title")
    _print_table(columns, [tuple(one[column] for column in columns) for one in found])
    say(f"{PROGRAM} submit --preset NAME --watch")


@presets.command(name="show")
def show_preset(
    name: str,
    scale: Annotated[Scale, typer.Option(help="Its size.")] = Scale.QUICK,
    url: Url = None,
) -> None:
    """A preset's body as JSON, ready to be changed and submitted."""
    with talking_to(url) as client:
        print_json(client.preset(name, scale=scale)["body"])


@app.command()
def kinds(
    name: Annotated[
        str | None, typer.Argument(help="Only this one, with its form and an example.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """The kinds of experiment, or one with its form, plots and example."""
    with talking_to(url) as client:
        found = [client.kind(name)] if name else [*client.kinds()]
    if as_json:
        print_json(found[0] if name else found)
        return
    if not name:
        _print_table(
            ("kind", "title", "what it asks"),
            [(one["name"], one["title"], one["description"]) for one in found],
        )
        return
    (kind,) = found
    fields = kind["spec_schema"]["properties"]
    rows = [
        (field, str(spec.get("default", "")), spec.get("description", ""))
        for field, spec in fields.items()
    ]
    print(f"{kind['title']}: {kind['description']}\nplots: {', '.join(kind['plots'])}")
    _print_table(("field", "default", "what it is"), rows)
    say(f"{PROGRAM} submit --kind {name} --set epochs=5 --dry-run")


@app.command()
def workers(as_json: AsJson = False, url: Url = None) -> None:
    """Who works on what device."""
    with talking_to(url) as client:
        found = [*client.workers()]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.host,
            one.device,
            one.device_class,
            f"{len(one.runs)}/{one.slots}",
            "listening" if one.listening else "gone",
        )
        for one in found
    ]
    _print_table(("host", "device", "class", "busy", "state"), rows)


@app.command()
def queue(as_json: AsJson = False, url: Url = None) -> None:
    """What waits, what runs, who listens."""
    with talking_to(url) as client:
        found = client.queue()
    if as_json:
        print_json(found)
        return
    print(
        f"{found.running} runs under way, {found.queued} waiting, {found.workers_listening} worker slots listening"
    )
    if not found.workers_listening:
        say(f"no worker listens: `./run` starts one, `{PROGRAM} worker` starts one more")


@app.command()
def limits(as_json: AsJson = False, url: Url = None) -> None:
    """The limits in force, and what of them you use."""
    with talking_to(url) as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    used = found.pop("used")
    _print_table(
        ("limit", "value"),
        [(name, "none" if value is None else f"{value:,}") for name, value in found.items()],
    )
    print(
        "used: " + ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in used.items())
    )


@app.command()
def audit(
    owner: Annotated[str | None, typer.Option(help="Only what this owner did.")] = None,
    action: Annotated[Action | None, typer.Option(help="Only this.")] = None,
    target: Annotated[str | None, typer.Option(help="Only what was done to this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many entries at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Who did which write, when and to what, newest first; for an admin's key."""
    with talking_to(url) as client:
        found = [*islice(client.audit(owner=owner, action=action, target=target), limit)]
    if as_json:
        print_json(found)
        return
    for one in found:
        facts = (
            one.owner or "-",
            one.key_id or "-",
            one.action,
            one.target or "-",
            one.request_id or "-",
        )
        print(
            f"{one.at:%Y-%m-%d %H:%M:%S}", *facts, *([one.detail] if one.detail else []), sep="  "
        )


@app.command()
def checkpoint(
    file: Annotated[Path, typer.Argument(help="A safetensors file, one tensor a parameter.")],
    title: Annotated[str | None, typer.Option(help="What lists show.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Bring your own weights to start from, and print their id."""
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    with talking_to(url) as client:
        found = client.upload_checkpoint(file, title=title)
    if as_json:
        print_json(found)
        return
    print(found.id)
    say(
        f"{PROGRAM} submit --kind train --set init.name=checkpoint --set init.checkpoint={found.id}"
    )


@datasets.command(name="list")
def list_datasets(as_json: AsJson = False, url: Url = None) -> None:
    """What `data.name` may say."""
    with talking_to(url) as client:
        found = [*client.datasets()]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.name,
            one.title,
            "×".join(map(str, one.shape)),
            f"{one.train_size:,}",
            f"{one.test_size:,}",
            one.source,
        )
        for one in found
    ]
    _print_table(("name", "title", "shape", "train", "test", "source"), rows)


@datasets.command(name="register")
def register_dataset(
    name: str,
    file: Annotated[Path, typer.Argument(help="An .npz with x_train, y_train, x_test, y_test.")],
    title: Annotated[str | None, typer.Option(help="What lists show.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Register your own images and labels under a name."""
    if not file.is_file():
        raise typer.BadParameter(f"there is no file {file}")
    with talking_to(url) as client:
        found = client.register_dataset(name, file, title=title)
    if as_json:
        print_json(found)
        return
    print(
        f"{found.name}: {found.train_size:,} to train, {found.test_size:,} to test, {found.num_classes} classes"
    )
    say(f"{PROGRAM} submit --kind train --set data.name={name} --watch")
