"""The public names of the client, its errors, and its independence of the service."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

import richregime
from richregime import AsyncClient, Client, ClientError, errors

PACKAGE = Path(richregime.__file__).parent
CLIENTS = {"AsyncClient", "Client"}
ERRORS = {
    "BadDownload",
    "ClientError",
    "ExportFailed",
    "ExtraMissing",
    "InvalidArgument",
    "InvalidConnection",
    "ProblemError",
    "ServiceUnreachable",
    "UnexpectedResponse",
    "WaitTimeout",
}
RESULTS = {
    "ActivityMapPointResult",
    "ActivityMapResult",
    "ConnectivityPointResult",
    "ConnectivityResult",
    "GradientSpectrumResult",
    "LotteryPointResult",
    "LotteryResult",
    "LwsPointResult",
    "LwsResult",
    "PointResult",
    "ReinitPointResult",
    "ReinitSweepResult",
    "Result",
    "SparseTrainPointResult",
    "SparseTrainResult",
    "SpectrumPointResult",
    "Statistic",
    "TrainPointResult",
    "TrainResult",
}
RESPONSES = {
    "ActionReport",
    "AggregatedMetrics",
    "Artifact",
    "AuditEntry",
    "Checkpoint",
    "ClaimCheck",
    "Comparison",
    "CountedPage",
    "Dataset",
    "DatasetPreview",
    "Deletion",
    "Event",
    "Execution",
    "Experiment",
    "ExperimentComparison",
    "FileDeletion",
    "KindResource",
    "Limits",
    "Metrics",
    "ModelResource",
    "Page",
    "Plot",
    "PluginResource",
    "PointDifference",
    "PresetResource",
    "Preview",
    "Problem",
    "QueueState",
    "ReadingResource",
    "Run",
    "Storage",
    "Weights",
    "Worker",
}


def test_the_public_names_are_pinned() -> None:
    assert set(richregime.__all__) == CLIENTS | ERRORS | RESULTS | RESPONSES | {"__version__"}
    assert sorted(richregime.__all__, key=lambda name: (name.startswith("_"), name)) == (
        richregime.__all__
    )
    assert dir(richregime) == sorted(richregime.__all__)


def test_every_public_name_can_be_imported() -> None:
    for name in richregime.__all__:
        assert getattr(richregime, name) is not None, name
    with pytest.raises(AttributeError):
        richregime.nothing  # noqa: B018


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_error_is_in_the_drawn_tree() -> None:
    defined = {
        name
        for name, member in vars(errors).items()
        if inspect.isclass(member) and issubclass(member, ClientError)
    }
    assert defined == ERRORS
    drawn = {line.split()[-1] for line in _tree_lines(errors.__doc__ or "")}
    assert drawn == ERRORS


def _tree_lines(text: str) -> list[str]:
    """The part of each line of the tree up to the name of the error."""
    lines = [line.replace("├──", "").replace("└──", "") for line in text.splitlines()]
    names = [line.split()[0] for line in lines if line.split()]
    return [name for name in names if name in ERRORS]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_response_of_a_client_is_public(client: type) -> None:
    for name, method in inspect.getmembers(client, inspect.isfunction):
        if name.startswith("_") or name in ("send", "send_all"):
            continue
        returned = typing.get_type_hints(method, vars(inspect.getmodule(method))).get("return")
        for model in _models_in(returned):
            origin = model.__pydantic_generic_metadata__["origin"] or model
            assert origin.__name__ in richregime.__all__, f"{name} returns {model.__name__}"


def _models_in(annotation: object) -> list[type[BaseModel]]:
    own = [annotation] if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else []
    return own + [one for inner in typing.get_args(annotation) for one in _models_in(inner)]


def test_the_command_line_starts_without_what_commands_need() -> None:
    """The service is installed here, so that its commands are listed too."""
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from richregime.cli import app\n"
        "shown = CliRunner().invoke(app, ['--help']).stdout\n"
        "assert 'submit' in shown and 'doctor' in shown, shown\n"
        "slow = {'httpx', 'pydantic', 'sqlalchemy', 'fastapi'}\n"
        "slow |= {'runtime', 'storage', 'api', 'engine'}\n"
        "print(*sorted(slow & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == []
