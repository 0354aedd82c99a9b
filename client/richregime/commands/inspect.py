"""list, show, result, comparison, compare, plot: experiments and their results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from richregime.commands.shared import (
    PROGRAM,
    AsJson,
    Url,
    expand_user,
    open_client,
    print_hint,
    print_json,
)
from richregime.enums import ExperimentStatus

app = typer.Typer()
PIPE_WIDTH = 400
"""The width of output that is not a terminal, so that names are not cut and can be searched."""


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    status: Annotated[ExperimentStatus | None, typer.Option(help="Only this status.")] = None,
    label: Annotated[
        str | None,
        typer.Option(help=r"Only with this label: key or key:value; a colon in the key is `\:`."),
    ] = None,
    containing: Annotated[
        str | None, typer.Option("--search", help="Text in the name or the id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List experiments, newest first."""
    with open_client(url) as client:
        page = client.list(
            kind=kind, status=status, label=label, containing=containing, limit=limit
        )
    if as_json:
        print_json(page)
        return
    from rich.console import Console

    from richregime.tables import experiments_table

    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    console.print(experiments_table(page.items, console.width))
    if not page.items:
        print_hint(f"no experiments; `{PROGRAM} submit --preset demo --watch` submits a first one")


@app.command()
def show(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """Show one experiment: its settings, its progress, its runs."""
    with open_client(url) as client:
        experiment = client.get(experiment_id)
        runs = [*client.runs(experiment_id)]
        address = f"{client.url}/view/{experiment_id}"
    if as_json:
        print_json(
            {
                **experiment.model_dump(mode="json"),
                "runs": [run.model_dump(mode="json") for run in runs],
            }
        )
        return
    from rich.console import Console

    from richregime.tables import experiment_table

    Console().print(experiment_table(experiment, runs, address))


@app.command()
def result(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """Show the result: each quantity at each point as mean ± standard error."""
    with open_client(url) as client:
        found = client.result(experiment_id)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from richregime.tables import result_table

    console = Console()
    console.print(result_table(found, f"{found.kind} {experiment_id}", console))


@app.command()
def comparison(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """Compare an experiment with the paper: a verdict per claim, and the printed numbers."""
    with open_client(url) as client:
        found = client.comparison(experiment_id)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from richregime.tables import published_table, verdicts_table

    console = Console()
    if found.verdicts:
        console.print(verdicts_table(found))
    if found.published:
        console.print(published_table(found))
    for departure in found.departures:
        console.print(f"departs from the paper: {departure}", markup=False, highlight=False)
    for choice in found.choices:
        console.print(f"the paper is silent: {choice}", markup=False, highlight=False)
    console.print(found.note, markup=False, highlight=False)


@app.command()
def compare(
    experiment_ids: Annotated[list[str], typer.Argument(help="At least two experiments.")],
    quantity: Annotated[
        str | None, typer.Option(help="Only this statistic of the results.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Compare experiments: fields that differ, and differences of results with 95 % intervals."""
    if len(experiment_ids) < 2:
        raise typer.BadParameter(
            f"give at least two ids; to compare with the paper: `{PROGRAM} comparison ID`"
        )
    with open_client(url) as client:
        found = client.compare(experiment_ids, quantity=quantity)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from richregime.tables import differences_table, spec_differences_table

    console = Console()
    console.print(spec_differences_table(found))
    for one in found.results:
        console.print(differences_table(found, one))


@app.command()
def plot(
    experiment_id: str,
    names: Annotated[
        list[str] | None, typer.Argument(help="The plots; all plots of its kind by default.")
    ] = None,
    image_format: Annotated[Literal["png", "svg", "pdf", "json"], typer.Option("--format")] = "png",
    out: Annotated[
        Path, typer.Option(help="The folder for the files.", callback=expand_user)
    ] = Path(),
    width: Annotated[
        str | None,
        typer.Option(help="column (3.25 in), text (6.75 in), slide, or inches; else for a page."),
    ] = None,
    height: Annotated[float | None, typer.Option(help="Inches.")] = None,
    dpi: Annotated[int | None, typer.Option(min=50, max=400)] = None,
    title: Annotated[
        Literal["shown", "none"], typer.Option(help="none leaves the name to the caption.")
    ] = "shown",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Draw plots into files, also before the end. `--format json` writes the numbers drawn."""
    chosen_options = {"width": width, "height": height, "dpi": dpi}
    options: dict[str, Any] = {name: value for name, value in chosen_options.items() if value}
    options |= {"title": title} if title != "shown" else {}
    written = []
    with open_client(url) as client:
        chosen = names or [one.name for one in client.plots(experiment_id)]
        out.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            data = client.plot(experiment_id, name, image_format, **options)
            path = out / f"{experiment_id}-{name}.{image_format}"
            path.write_bytes(data)
            written.append(str(path))
            if not as_json:
                print(path)
    if as_json:
        print_json(written)
