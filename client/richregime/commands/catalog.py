"""preset, kinds, dataset, checkpoint(s), queue, limits, audit: what the service has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from richregime.commands.bodies import read_assignments
from richregime.commands.shared import (
    PIPE_WIDTH,
    PROGRAM,
    AsJson,
    PresetReading,
    Scale,
    Url,
    expand_user,
    open_client,
    print_hint,
    print_json,
)
from richregime.enums import Action

if TYPE_CHECKING:
    from richregime.importing import ImportChoices
    from richregime.types import Dataset, DatasetPreview, FileDeletion

app = typer.Typer()
presets = typer.Typer(
    no_args_is_help=True, help="Named experiments: the paper's figures and tables, and the demo."
)
datasets = typer.Typer(no_args_is_help=True, help="Data sets: built-in and your own.")
checkpoints = typer.Typer(no_args_is_help=True, help="Uploaded checkpoints.")
app.add_typer(presets, name="preset")
app.add_typer(datasets, name="dataset")
app.add_typer(checkpoints, name="checkpoints")
SHOWN_CLASSES = 20


class Colour(StrEnum):
    """Channels of imported images."""

    AUTO = "auto"
    GREY = "grey"
    COLOUR = "colour"


DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the number of bytes.")]


def print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@presets.command(name="list")
def list_presets(as_json: AsJson = False, url: Url = None) -> None:
    """List the presets: experiments that can be submitted by name."""
    with open_client(url) as client:
        found = [*client.presets()]
    if as_json:
        print_json(found)
        return
    rows = [(one.name, one.scale, one.kind, one.title) for one in found]
    print_table(("name", "scale", "kind", "title"), rows)
    print_hint(f"{PROGRAM} submit --preset NAME --watch")


@presets.command(name="show")
def show_preset(
    name: str,
    scale: Annotated[Scale, typer.Option(help="The scale of the preset.")] = Scale.QUICK,
    reading: PresetReading = None,
    url: Url = None,
) -> None:
    """Print the body of a preset as JSON, ready to change and submit."""
    with open_client(url) as client:
        print_json(client.preset(name, scale=scale, reading=reading).body)


@presets.command(name="readings")
def list_readings(as_json: AsJson = False, url: Url = None) -> None:
    """List the readings of the paper: what each takes its open choices to be."""
    with open_client(url) as client:
        found = [*client.readings()]
    if as_json:
        print_json(found)
        return
    rows = []
    for one in found:
        fields = [f"{path} = {value}" for path, value in one.fields.items()]
        rows.append((one.name, one.sentence, "\n".join(fields)))
    print_table(("reading", "why", "fields"), rows)
    print_hint(f"{PROGRAM} submit --preset fig2 --reading first_epoch --watch")


@app.command()
def kinds(
    name: Annotated[
        str | None, typer.Argument(help="Only this kind, with the fields of its spec.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the kinds of experiment, or show one with its plots and the fields of its spec."""
    with open_client(url) as client:
        found = [client.kind(name)] if name else [*client.kinds()]
    if as_json:
        print_json(found[0] if name else found)
        return
    if not name:
        print_table(
            ("kind", "title", "question"),
            [(one.name, one.title, one.description) for one in found],
        )
        return
    (kind,) = found
    fields = kind.spec_schema["properties"]
    rows = [
        (field, str(spec.get("default", "")), spec.get("description", ""))
        for field, spec in fields.items()
    ]
    print(f"{kind.title}: {kind.description}\nplots: {', '.join(kind.plots)}")
    print_table(("field", "default", "meaning"), rows)
    print_hint(f"{PROGRAM} submit --kind {name} --set epochs=5 --dry-run")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Only this model, with its layers.")] = None,
    dataset: Annotated[str, typer.Option(help="The data set that it takes.")] = "digits",
    fields: Annotated[
        list[str],
        typer.Option("--set", help="A field of the model, such as `architecture=resnet50`."),
    ] = [],  # noqa: B006 - typer reads it
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List the models, or show one with its layers on a data set."""
    with open_client(url) as client:
        if name is None:
            found = [*client.models()]
        else:
            found = [client.model(name, dataset, **read_assignments(fields))]
    if as_json:
        print_json(found if name is None else found[0])
        return
    if name is None:
        print_table(
            ("model", "title", "parameters"),
            [
                (one.name, one.title, "" if one.parameters is None else f"{one.parameters:,}")
                for one in found
            ],
        )
        print_hint(f"{PROGRAM} models torchvision --set architecture=resnet50 --set stem=small")
        return
    (model,) = found
    print(f"{model.name} on {model.dataset}: {model.parameters or 0:,} parameters")
    print_table(
        ("layer", "kind", "parameters", "output", "first tensor"),
        [
            (
                layer.name,
                layer.kind,
                f"{layer.parameters:,}",
                " x ".join(map(str, layer.output_shape)),
                layer.tensors[0] if layer.tensors else "",
            )
            for layer in model.layers or ()
        ],
    )


@app.command()
def plugins(as_json: AsJson = False, url: Url = None) -> None:
    """List the plug-ins that workers have read, and what is wrong with them."""
    with open_client(url) as client:
        found = [*client.plugins()]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.origin,
            ", ".join(one.models),
            "\n".join(
                problem.message if problem.model is None else f"{problem.model}: {problem.message}"
                for problem in one.problems
            ),
        )
        for one in found
    ]
    print_table(("plug-in", "nets", "problems"), rows)
    if not found:
        print_hint(
            "put a Python file with MODELS into `plugins/` of the home folder; workers read a new "
            "file in seconds, on a busy machine in half a minute"
        )


@app.command()
def queue(as_json: AsJson = False, url: Url = None) -> None:
    """Show how many runs are queued and running, which experiments wait, and when they start."""
    with open_client(url) as client:
        found = client.queue()
    if as_json:
        print_json(found)
        return
    print(
        f"{found.running} runs running, {found.queued} queued, "
        f"{found.workers_listening} worker slots listening"
    )
    if found.reason:
        print(f"waiting: {found.reason}")
    if found.waiting:
        from rich.console import Console

        from richregime.tables import queue_table

        console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
        console.print(queue_table(found.waiting, console.width), highlight=False)
    if not found.workers_listening:
        print_hint("no worker is listening: `./run` starts the service with workers")


@app.command()
def limits(as_json: AsJson = False, url: Url = None) -> None:
    """Show the limits in force, and how much of them you use."""
    with open_client(url) as client:
        found = client.limits()
    if as_json:
        print_json(found)
        return
    values = [(name, value) for name, value in found if name not in ("used", "scopes")]
    print_table(
        ("limit", "value"),
        [(name, "none" if value is None else f"{value:,}") for name, value in values],
    )
    used = ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in found.used)
    print(f"used: {used}")
    if found.scopes is not None:
        print(f"scopes of the key: {', '.join(map(str, found.scopes))}")


@app.command()
def audit(
    owner: Annotated[str | None, typer.Option(help="Only this owner.")] = None,
    action: Annotated[Action | None, typer.Option(help="Only this action.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of entries.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List who wrote what and when, newest first. Needs a key with the scope `admin`."""
    with open_client(url) as client:
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
    file: Annotated[
        Path,
        typer.Argument(
            help="A safetensors file with one tensor per parameter.", callback=expand_user
        ),
    ],
    title: Annotated[str | None, typer.Option(help="A title for lists.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Upload weights to start training from, and print their id."""
    if not file.is_file():
        raise typer.BadParameter(f"the file {file} does not exist")
    with open_client(url) as client:
        found = client.upload_checkpoint(file, title=title)
    if as_json:
        print_json(found)
        return
    print(found.id)
    for note in found.notes:
        print_hint(note)
    print_hint(
        f"{PROGRAM} submit --kind train --set init.name=checkpoint --set init.checkpoint={found.id}"
    )


@datasets.command(name="list")
def list_datasets(as_json: AsJson = False, url: Url = None) -> None:
    """List the data sets: the possible values of `data.name`."""
    with open_client(url) as client:
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
    print_table(("name", "title", "shape", "train", "test", "source"), rows)


@datasets.command(name="register")
def register_dataset(
    name: str,
    file: Annotated[
        Path,
        typer.Argument(help="An .npz with x_train, y_train, x_test, y_test.", callback=expand_user),
    ],
    title: Annotated[str | None, typer.Option(help="A title for lists.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Upload your own images and labels under a name."""
    if not file.is_file():
        raise typer.BadParameter(f"the file {file} does not exist")
    with open_client(url) as client:
        found = client.register_dataset(name, file, title=title)
    if as_json:
        print_json(found)
        return
    print(
        f"{found.name}: {found.train_size:,} training images, {found.test_size:,} test images, "
        f"{found.num_classes} classes"
    )
    print_hint(f"{PROGRAM} submit --kind train --set data.name={name} --watch")


@datasets.command(name="import")
def import_dataset(
    path: Annotated[
        Path,
        typer.Argument(
            help="A CSV, Parquet or .npz file, a folder or zip archive of images, the name of a "
            "set of torchvision, such as cifar100, or hf:OWNER/NAME of the Hugging Face hub.",
            callback=expand_user,
        ),
    ],
    name: Annotated[str, typer.Option(help="The value for data.name.")],
    title: Annotated[str | None, typer.Option(help="A title for lists.")] = None,
    label: Annotated[
        str | None, typer.Option(help="A table's column of labels; else the last.")
    ] = None,
    test_share: Annotated[
        float | None, typer.Option(help="Share of each class to test on, where PATH has none: 0.2.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws the test set.")] = None,
    side: Annotated[
        int | None, typer.Option(help="Scale images to this side and cut the central square.")
    ] = None,
    colour: Annotated[
        Colour | None, typer.Option(help="Channels of images; auto: grey if all are.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Make a new version of the data set of this name.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of the files of a set of torchvision or of the hub.",
            callback=expand_user,
        ),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download the files of a set that are missing.")
    ] = False,
    image: Annotated[
        str | None, typer.Option(help="hf: column of images; else the one that it names.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="hf: config, where the set has several.")
    ] = None,
    split_train: Annotated[
        str | None, typer.Option(help="hf: split to train on; else `train`.")
    ] = None,
    split_test: Annotated[
        str | None, typer.Option(help="hf: split to test on; else `test` or `validation`.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be stored; store nothing.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Import a table, a folder of images or arrays as a data set. The service converts it."""
    choices: ImportChoices = {
        "title": title,
        "label": label,
        "test_share": test_share,
        "seed": seed,
        "side": side,
        "colour": None if colour is None else colour.value,
        "replace": replace,
        "image": image,
        "config": config,
        "split_train": split_train,
        "split_test": split_test,
        "folder": folder,
        "download": download,
    }
    with open_client(url) as client:
        if dry_run:
            _print_preview(client.preview_dataset(name, path, **choices), as_json)
            return
        found = client.import_dataset(name, path, **choices)
    if as_json:
        print_json(found)
        return
    _print_dataset(found)
    print_hint(f"{PROGRAM} submit --kind train --set data.name={name} --watch")


def _print_preview(preview: DatasetPreview, as_json: bool) -> None:
    if as_json:
        print_json(preview)
        return
    _print_dataset(preview.dataset)
    if preview.conflict is not None:
        print(f"conflict: {preview.conflict}")
    print_hint("nothing was stored; without --dry-run it is")


def _print_dataset(dataset: Dataset) -> None:
    version = f" (version {dataset.version})" if dataset.version > 1 else ""
    print(f"{dataset.name}{version}: {_describe_examples(dataset)}, {dataset.num_classes} classes")
    print(f"{dataset.train_size:,} to train, {dataset.test_size:,} to test")
    counts = (dataset.class_counts or {}).get("train", [])
    names = dataset.class_names or [str(label) for label in range(dataset.num_classes)]
    for class_name, count in list(zip(names, counts, strict=False))[:SHOWN_CLASSES]:
        print(f"  {class_name}: {count:,} to train")
    if len(counts) > SHOWN_CLASSES:
        print(f"  and {len(counts) - SHOWN_CLASSES:,} more classes")
    for note in dataset.notes or []:
        print(f"note: {note}")


def _describe_examples(dataset: Dataset) -> str:
    size = "×".join(map(str, dataset.shape))
    return f"{size} features" if len(dataset.shape) == 1 else f"images of {size}"


@datasets.command(name="delete")
def delete_dataset(
    name: str, dry_run: DryRun = False, as_json: AsJson = False, url: Url = None
) -> None:
    """Delete a data set of yours that no queued or running run needs."""
    with open_client(url) as client:
        _print_deletion(client.delete_dataset(name, dry_run=dry_run), as_json)


@checkpoints.command(name="list")
def list_checkpoints(as_json: AsJson = False, url: Url = None) -> None:
    """List the uploaded checkpoints: possible values of `init.checkpoint`."""
    with open_client(url) as client:
        found = [*client.uploaded_checkpoints()]
    if as_json:
        print_json(found)
        return
    for one in found:
        facts = (f"{one.parameters:,} parameters", f"{one.bytes:,} bytes", one.title or "-")
        print(one.id, f"{one.created_at:%Y-%m-%d %H:%M}", *facts, sep="  ")


@checkpoints.command(name="delete")
def delete_checkpoint(
    checkpoint_id: str, dry_run: DryRun = False, as_json: AsJson = False, url: Url = None
) -> None:
    """Delete an uploaded checkpoint that no queued or running run needs."""
    with open_client(url) as client:
        _print_deletion(client.delete_checkpoint(checkpoint_id, dry_run=dry_run), as_json)


def _print_deletion(deletion: FileDeletion, as_json: bool) -> None:
    if as_json:
        print_json(deletion)
    else:
        would = "would be " if deletion.dry_run else ""
        print(f"{deletion.id}: {deletion.bytes:,} bytes {would}deleted")
