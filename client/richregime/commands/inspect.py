"""list, show, result, comparison, check, compare, plot: experiments and their results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from richregime.commands.bodies import SCHEMA_PATH, body_of
from richregime.commands.shared import (
    PIPE_WIDTH,
    PROGRAM,
    AsJson,
    ExitCode,
    OnlyKind,
    OnlyLabel,
    OnlyStatus,
    Search,
    Timeout,
    Url,
    expand_user,
    label_filter,
    open_client,
    print_hint,
    print_json,
)
from richregime.text_formats import TextFormat

if TYPE_CHECKING:
    from richregime.checks import ClaimCheck

app = typer.Typer()
CHECKED: Mapping[str, ExitCode] = {
    "reproduced": ExitCode.SUCCEEDED,
    "not reproduced": ExitCode.FAILED,
}
"""The exit code of `check`, by its verdict"""
AsText = Annotated[
    TextFormat | None,
    typer.Option("--format", help="Write the table as csv, latex or markdown."),
]


@app.command(name="list")
def list_(
    kind: OnlyKind = None,
    status: OnlyStatus = None,
    label: OnlyLabel = None,
    containing: Search = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="A column, such as epochs, optimizer.lr or result.test_accuracy; "
            "with a minus before it for descending: --sort=-result.test_accuracy."
        ),
    ] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="Show this column too. Repeatable.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="The key of a label: equal values stand together.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """List experiments, newest first or sorted by a column over all that match."""
    columns = [*([f"label.{group}"] if group else []), *(fields or ())]
    with open_client(url) as client:
        page = client.list(
            kind=kind,
            status=status,
            label=label_filter(label),
            containing=containing,
            limit=limit,
            sort=sort,
            fields=columns or None,
            group=group,
        )
    if as_json:
        print_json(page)
        return
    from rich.console import Console

    from richregime.tables import experiments_table

    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    console.print(experiments_table(page.items, console.width, columns), highlight=False)
    if page.total > len(page.items):
        print_hint(f"{len(page.items)} of {page.total:,}; --limit shows more, up to 200")
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

    console = Console()
    console.print(experiment_table(experiment, runs, address, console.width))


@app.command()
def spec(
    experiment_id: str,
    body_format: Annotated[
        Literal["yaml", "json"], typer.Option("--format", help="The format of the body.")
    ] = "yaml",
    url: Url = None,
) -> None:
    """Print the body of an experiment, to change and `submit` as a file.

    Submitted unchanged, it finds the same experiment. An editor completes and checks it by the
    schema that `schema` prints.
    """
    with open_client(url) as client:
        body = body_of(client.get(experiment_id))
        address = f"{client.url}{SCHEMA_PATH}"
        if body_format == "json":
            print_json({"$schema": address, **body})
            return
        from richregime.yaml_bodies import write_yaml

        print(f"# yaml-language-server: $schema={address}")
        print(write_yaml(body), end="")


@app.command()
def schema(url: Url = None) -> None:
    """Print the JSON Schema of a body, with which editors complete and check files.

    An editor cannot send an API key: where the service needs one, name a saved file instead of the
    address in `$schema`.
    """
    with open_client(url) as client:
        print_json(client.schema())


@app.command()
def result(
    experiment_id: str,
    text_format: AsText = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="Metrics at an epoch: best (of the test accuracy, so optimistic), last, a number."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Show the result: each quantity at each point as mean ± standard error.

    `--format` and `--at` write what answers the kind's question, also before the end.
    """
    with open_client(url) as client:
        if text_format is not None or at is not None:
            print(client.result_text(experiment_id, text_format or "markdown", at=at), end="")
            return
        found = client.result(experiment_id)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from richregime.tables import result_table

    console = Console()
    console.print(result_table(found, f"{found.kind} {experiment_id}", console))


@app.command()
def comparison(
    experiment_id: str,
    text_format: AsText = None,
    table: Annotated[
        Literal["claims", "published", "own_claims"],
        typer.Option(help="Which table `--format` writes."),
    ] = "claims",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Compare an experiment with its own claims and with the paper.

    A verdict per claim, and the numbers that the paper prints.
    """
    with open_client(url) as client:
        if text_format is not None:
            print(client.comparison_text(experiment_id, text_format, table=table), end="")
            return
        found = client.comparison(experiment_id)
    if as_json:
        print_json(found)
        return
    from rich.console import Console

    from richregime.tables import own_verdicts_table, published_table, verdicts_table

    console = Console()
    if found.own_verdicts:
        console.print(own_verdicts_table(found))
    if found.verdicts:
        console.print(verdicts_table(found))
    if found.published:
        console.print(published_table(found))
    told = {departure for one in found.verdicts for departure in one.departures}
    for departure in found.departures:
        if departure not in told:
            console.print(f"departs from the paper: {departure}", markup=False, highlight=False)
    for choice in found.choices:
        console.print(f"the paper is silent: {choice}", markup=False, highlight=False)
    console.print(found.note, markup=False, highlight=False)


@app.command()
def check(
    experiment_id: str,
    paper: Annotated[
        bool, typer.Option("--paper", help="Check the claims of the paper too.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until the experiment has ended.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML to this file.", dir_okay=False)
    ] = None,
    timeout: Timeout = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Wait for an experiment, and check whether its own claims hold: a line for each.

    Exit codes: 0 all are reproduced, 1 one is not reproduced, 7 one is not decided or verdicts may
    still change, 6 the experiment did not end in time.
    """
    with open_client(url) as client:
        found = client.check(experiment_id, paper=paper, wait=not no_wait, timeout=timeout)
    file = expand_user(junit)
    if file is not None:
        file.write_text(found.to_junit(), encoding="utf-8")
    if as_json:
        print(json.dumps(_describe_check(found), indent=2))
    else:
        _print_check(found)
    raise typer.Exit(CHECKED.get(found.verdict, ExitCode.UNDECIDED))


def _describe_check(found: ClaimCheck) -> dict[str, Any]:
    claims = [asdict(claim) for claim in found.claims]
    return {"verdict": found.verdict, "complete": found.complete, "claims": claims}


def _print_check(found: ClaimCheck) -> None:
    from rich.console import Console

    console = Console()
    for claim in found.claims:
        console.print(
            f"{claim.verdict}: {claim.name}: {claim.sentence}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if not found.claims:
        print("there is no claim to check; --paper checks those of the paper", file=sys.stderr)
    if not found.complete:
        status = found.experiment.status
        print(f"the experiment is {status}; verdicts may still change", file=sys.stderr)


@app.command()
def compare(
    experiment_ids: Annotated[list[str], typer.Argument(help="At least two experiments.")],
    quantity: Annotated[
        str | None, typer.Option(help="Only this statistic of the results.")
    ] = None,
    text_format: AsText = None,
    table: Annotated[
        Literal["results", "spec"], typer.Option(help="Which table `--format` writes.")
    ] = "results",
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Compare experiments: fields that differ, and differences of results with 95 % intervals."""
    if len(experiment_ids) < 2:
        raise typer.BadParameter(
            f"give at least two ids; to compare with the paper: `{PROGRAM} comparison ID`"
        )
    with open_client(url) as client:
        if text_format is not None:
            written = client.compare_text(
                experiment_ids, text_format, quantity=quantity, table=table
            )
            print(written, end="")
            return
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
        list[str] | None, typer.Argument(help="The plots; all that apply to it by default.")
    ] = None,
    image_format: Annotated[
        Literal["png", "svg", "pdf", "json", "html", "csv", "tex", "md"], typer.Option("--format")
    ] = "png",
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
    quantity: Annotated[
        str | None,
        typer.Option(help="A number of the answer: what a plot of the sweep shows, or ranks by."),
    ] = None,
    points: Annotated[
        str | None,
        typer.Option(help="The points of curves: best, worst, spread, or indices such as 0,3,7."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Draw plots into files, also before the end. `--format json` writes the numbers.

    Without names it draws the plots that apply; with `--points`, those of chosen points. Plots that
    are tables are also written as html, csv, tex and md.
    """
    chosen_options = {
        "width": width,
        "height": height,
        "dpi": dpi,
        "quantity": quantity,
        "points": points,
    }
    options: dict[str, Any] = {name: value for name, value in chosen_options.items() if value}
    options |= {"title": title} if title != "shown" else {}
    written = []
    with open_client(url) as client:
        chosen = names or [
            one.name
            for one in client.plots(experiment_id)
            if one.applies and (points is None or one.shows == "points")
        ]
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
