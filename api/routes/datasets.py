"""Data sets: list built-in and registered ones, preview and register one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import StringConstraints

from api.dependencies import StateDep
from api.files.content import Expected
from api.files.datasets import Choices, preview, register
from api.files.deletion import remove_dataset
from api.http.negotiation import VARY, wants_page
from api.http.problems import ProblemRaised
from api.http.request_bodies import DATASET_BODY
from api.http.request_work import Router
from api.http.uploads import upload
from engine.data.files import is_on_disk
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from schemas.base import Page
from schemas.problems import ProblemCode
from schemas.resources import Dataset, DatasetPreview, FileDeletion
from storage.errors import InvalidTransition
from storage.files.datasets import get_dataset, list_datasets, to_resource

router = Router(tags=["catalog"])

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"

UploadDep = Annotated[Path, upload(Expected.DATASET, lambda settings: settings.max_dataset_bytes)]


@router.get("/datasets", response_model=Page[Dataset])
def list_all_datasets(
    request: Request, response: Response, state: StateDep
) -> Page[Dataset] | Response:
    """List the built-in and the registered data sets. A browser is sent to the page of them."""
    response.headers.update(VARY)
    if wants_page(request.headers.get("accept")):
        return RedirectResponse("/data", 303, headers=VARY)
    with state.db.read() as session:
        registered = [to_resource(row) for row in list_datasets(session)]
    return Page[Dataset](items=[*list_built_in(state.settings.resolved_data_dir), *registered])


@router.get("/datasets/{name}", response_model=Dataset)
def get_one_dataset(
    name: str, request: Request, response: Response, state: StateDep
) -> Dataset | Response:
    """One data set. A browser is sent to its page."""
    response.headers.update(VARY)
    if wants_page(request.headers.get("accept")):
        return RedirectResponse(f"/data/{quote(name, safe='')}", 303, headers=VARY)
    if name in BUILTIN_DATASETS:
        return describe_built_in(BUILTIN_DATASETS[name], state.settings.resolved_data_dir)
    with state.db.read() as session:
        row = get_dataset(session, name)
        if row is None:
            raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"there is no data set {name[:80]!r}")
        return to_resource(row)


def read_choices(
    name: Annotated[str, Query(pattern=NAME_PATTERN, description="The value for `data.name`.")],
    title: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    file: Annotated[
        str, Query(max_length=200, description="Name of the file: a table's ends in `.csv`.")
    ] = "",
    label: Annotated[
        str | None,
        Query(
            min_length=1, max_length=200, description="A table's column of labels; else the last."
        ),
    ] = None,
    test_share: Annotated[
        float,
        Query(gt=0, lt=1, description="Share of each class to test on, where the file has none."),
    ] = 0.2,
    seed: Annotated[int, Query(ge=0, le=2**31 - 1, description="Draws the test set.")] = 0,
    side: Annotated[
        int | None,
        Query(ge=1, le=512, description="Scale images to this side and cut the central square."),
    ] = None,
    colour: Annotated[
        Literal["auto", "grey", "colour"],
        Query(description="Channels of images; `auto`: grey if all are."),
    ] = "auto",
    replace: Annotated[
        bool,
        Query(description="Replace the data set of this name by a new version; 409 in use."),
    ] = False,
    note: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=300)]],
        Query(max_length=20, description="What was left out or changed before the upload."),
    ] = [],  # noqa: B006 - FastAPI copies it
) -> Choices:
    """What the query says about the file."""
    return Choices(name, title, file, label, test_share, seed, side, colour, replace, tuple(note))


ChoicesDep = Annotated[Choices, Depends(read_choices)]


@router.post(
    "/datasets",
    status_code=201,
    openapi_extra=DATASET_BODY,
    responses={
        200: {
            "model": Dataset,
            "description": "The same file was registered under this name before",
        }
    },
)
def register_dataset(
    upload: UploadDep, state: StateDep, response: Response, choices: ChoicesDep
) -> Dataset:
    """Register a data set: `.npz`, CSV, Parquet, or a zip archive of a folder of images.

    Images: `train/CLASS/IMAGE` and `test/CLASS/IMAGE`, or `CLASS/IMAGE`. A table: one example a
    row, features that are numbers, one column of labels. Arrays: `x_train`, `y_train`, `x_test` and
    `y_test`, or `x` and `y`. Nothing is stored where any of it is wrong: a 422 tells file and line.
    """
    found, is_new = register(state, upload, choices)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{choices.name}"
    return found


@router.post("/datasets/preview", openapi_extra=DATASET_BODY)
def preview_dataset(upload: UploadDep, state: StateDep, choices: ChoicesDep) -> DatasetPreview:
    """Preview a data set: what `POST /datasets` would store, with some examples. Stores nothing.

    It takes the same file and parameters, and refuses the same. `conflict` tells where the name is
    taken.
    """
    return preview(state, upload, choices)


@router.delete("/datasets/{name}")
def delete_registered_dataset(name: str, state: StateDep, dry_run: bool = False) -> FileDeletion:
    """Delete a registered data set; `dry_run` only counts the bytes.

    409 while queued or running runs need it. Results that used it stay. Its name can be registered
    again.
    """
    if name in BUILTIN_DATASETS:
        raise InvalidTransition(f"the data set {name!r} is built in and cannot be deleted")
    return remove_dataset(state, name, dry_run=dry_run)


def list_built_in(data_dir: Path) -> list[Dataset]:
    """All built-in data sets."""
    return [describe_built_in(info, data_dir) for info in BUILTIN_DATASETS.values()]


def describe_built_in(info: DatasetInfo, data_dir: Path) -> Dataset:
    """A built-in data set."""
    return Dataset(
        name=info.name,
        title=info.title,
        shape=list(info.shape),
        dtype=info.dtype,
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        source=info.source,
        class_counts=_counts_of(info),
        notes=[],
        available=is_on_disk(info.name, data_dir) or None,
    )


def _counts_of(info: DatasetInfo) -> dict[str, list[int]] | None:
    if info.train_counts is None or info.test_counts is None:
        return None
    return {"train": list(info.train_counts), "test": list(info.test_counts)}
