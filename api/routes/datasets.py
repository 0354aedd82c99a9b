"""Data sets: list built-in and registered ones, register one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Query, Response

from api.dependencies import StateDep
from api.files.content import Expected
from api.files.datasets import register
from api.files.deletion import remove_dataset
from api.http.problems import ProblemRaised
from api.http.request_bodies import DATASET_BODY
from api.http.request_work import Router
from api.http.uploads import upload
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from schemas.base import Page
from schemas.problems import ProblemCode
from schemas.resources import Dataset, FileDeletion
from storage.errors import InvalidTransition
from storage.files.datasets import get_dataset, list_datasets, to_resource

router = Router(tags=["catalog"])

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"

UploadDep = Annotated[Path, upload(Expected.DATASET, lambda settings: settings.max_dataset_bytes)]


@router.get("/datasets")
def list_all_datasets(state: StateDep) -> Page[Dataset]:
    """List the built-in and the registered data sets."""
    with state.db.read() as session:
        registered = [to_resource(row) for row in list_datasets(session)]
    return Page[Dataset](items=[*map(_describe, BUILTIN_DATASETS.values()), *registered])


@router.get("/datasets/{name}")
def get_one_dataset(name: str, state: StateDep) -> Dataset:
    """One data set."""
    if name in BUILTIN_DATASETS:
        return _describe(BUILTIN_DATASETS[name])
    with state.db.read() as session:
        row = get_dataset(session, name)
        if row is None:
            raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"there is no data set {name[:80]!r}")
        return to_resource(row)


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
    upload: UploadDep,
    state: StateDep,
    response: Response,
    name: Annotated[str, Query(pattern=NAME_PATTERN, description="The value for `data.name`.")],
    title: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Dataset:
    """Register a data set. The body is an `.npz` file.

    Its arrays: `x_train` and `x_test`, uint8 images of shape [n, height, width] or with 1 or 3
    channels as a last axis; `y_train` and `y_test`, integer labels from 0.
    """
    state.quotas.require_storage(state.owner, upload.stat().st_size)
    found, is_new = register(
        state.db, state.blobs, upload, name, title, state.settings.max_dataset_bytes
    )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/datasets/{name}"
    return found


@router.delete("/datasets/{name}")
def delete_registered_dataset(name: str, state: StateDep, dry_run: bool = False) -> FileDeletion:
    """Delete a registered data set; `dry_run` only counts the bytes.

    409 while queued or running runs need it. Results that used it stay. Its name can be registered
    again.
    """
    if name in BUILTIN_DATASETS:
        raise InvalidTransition(f"the data set {name!r} is built in and cannot be deleted")
    return remove_dataset(state, name, dry_run=dry_run)


def _describe(info: DatasetInfo) -> Dataset:
    return Dataset(
        name=info.name,
        title=info.title,
        shape=info.shape,
        num_classes=info.num_classes,
        train_size=info.train_size,
        test_size=info.test_size,
        source=info.source,
        available=True if info.source in ("embedded", "generated") else None,
    )
