"""list, show, result, comparison, compare, plot: what is there and what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from api.web.side_by_side import diff_results, diff_specs, quantities_of
from richregime.commands.shared import PROGRAM, AsJson, Url, print_json, say, talking_to
from richregime.tables import (
    differences_table,
    experiment_table,
    experiments_table,
    published_table,
    result_table,
    spec_differences_table,
    verdicts_table,
)
from schemas.status import ExperimentStatus

app = typer.Typer()
PIPE_WIDTH = 400
"""Where no terminal sets one: names are whole, so that lines can be searched."""


@app.command(name="list")
def list_(
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    status: Annotated[ExperimentStatus | None, typer.Option(help="Only in this state.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Only with this label: key or key:value.")
    ] = None,
    containing: Annotated[
        str | None, typer.Option("--search", help="Text in the name or id.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """The newest experiments."""
    with talking_to(url) as client:
        page = client.list(
            kind=kind, status=status, label=label, containing=containing, limit=limit
        )
    if as_json:
        print_json(page)
        return
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    console.print(experiments_table(page.items, console.width))
    if not page.items:
        say(
            f"nothing is there; `{PROGRAM} submit --preset demo --watch` submits a first experiment"
        )


@app.command()
def show(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """One experiment: what was asked, how far it is, its runs."""
    with talking_to(url) as client:
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
    Console().print(experiment_table(experiment, runs, address))


@app.command()
def result(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """An experiment's result: mean ± standard error of each quantity at each point."""
    with talking_to(url) as client:
        found = client.result(experiment_id)
    if as_json:
        print_json(found)
    else:
        Console().print(result_table(found, f"{found['kind']} {experiment_id}"))


@app.command()
def comparison(experiment_id: str, as_json: AsJson = False, url: Url = None) -> None:
    """An experiment beside the paper: a verdict on each claim it can speak to, and the printed numbers next to ours."""
    with talking_to(url) as client:
        found = client.comparison(experiment_id)
    if as_json:
        print_json(found)
        return
    console = Console()
    if found["verdicts"]:
        console.print(verdicts_table(found))
    if found["published"]:
        console.print(published_table(found))
    for deviation in found["deviations"]:
        console.print(f"departs from the paper: {deviation}", markup=False, highlight=False)
    console.print(found["note"], markup=False, highlight=False)


@app.command()
def compare(
    experiment_ids: Annotated[list[str], typer.Argument(help="Two experiments or more.")],
    quantity: Annotated[str | None, typer.Option(help="Only this statistic of the result.")] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Experiments side by side: what was asked differently, and differences of results with 95 % intervals."""
    if len(experiment_ids) < 2:
        raise typer.BadParameter(
            f"give at least two ids; beside the paper: `{PROGRAM} comparison ID`"
        )
    with talking_to(url) as client:
        experiments = [client.get(one) for one in experiment_ids]
        results = [client.result(one) for one in experiment_ids]
    asked = diff_specs(experiments)
    known = quantities_of(results)
    if quantity is not None and quantity not in known:
        raise typer.BadParameter(f"the results hold no {quantity}; they hold {', '.join(known)}")
    came = {name: diff_results(results, name) for name in ([quantity] if quantity else known)}
    if as_json:
        print_json(
            {
                "experiments": experiment_ids,
                "spec": {row.path: list(row.values) for row in asked},
                "results": {
                    name: {
                        row.point: [
                            {
                                "value": cell.value,
                                "difference": cell.difference,
                                "is_apart": cell.is_apart,
                            }
                            for cell in row.cells
                        ]
                        for row in rows
                    }
                    for name, rows in came.items()
                },
            }
        )
        return
    console = Console()
    names = [one.name or one.id for one in experiments]
    console.print(spec_differences_table(names, asked))
    for name, rows in came.items():
        console.print(differences_table(names, name, rows))


@app.command()
def plot(
    experiment_id: str,
    names: Annotated[
        list[str] | None, typer.Argument(help="The plots; all of its kind by default.")
    ] = None,
    image_format: Annotated[Literal["png", "svg", "pdf", "json"], typer.Option("--format")] = "png",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    width: Annotated[float | None, typer.Option(help="Inches.")] = None,
    height: Annotated[float | None, typer.Option(help="Inches.")] = None,
    dpi: Annotated[int | None, typer.Option(min=50, max=400)] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Draw an experiment's plots into files, also while it is under way; `--format json`: the numbers drawn."""
    options = {
        name: value for name, value in (("width", width), ("height", height), ("dpi", dpi)) if value
    }
    with talking_to(url) as client:
        chosen = names or [one["name"] for one in client.plots(experiment_id)]
        out.mkdir(parents=True, exist_ok=True)
        written = []
        for name in chosen:
            data = client.plot(experiment_id, name, image_format, **options)
            path = out / f"{experiment_id}-{name}.{image_format}"
            path.write_bytes(data)
            written.append(str(path))
            if not as_json:
                print(path)
    if as_json:
        print_json(written)
