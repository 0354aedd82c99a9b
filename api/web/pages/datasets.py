"""The pages `/data` and `/data/{name}`: the data sets, an upload, and one data set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dependencies import State, StateDep
from api.files.facts import read_dataset_info
from api.http.problems import ProblemRaised
from api.http.request_work import Router
from api.routes.datasets import describe_built_in, list_built_in
from api.web.templating import render
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from schemas.problems import ProblemCode
from schemas.resources import Dataset
from storage.database.engine import Session
from storage.database.tables import DatasetRow
from storage.errors import StorageError
from storage.files import datasets
from storage.files.in_use import DatasetUser, list_users

router = Router(include_in_schema=False)

MAX_USERS = 20
MAX_FEATURES = 50
KEPT_PICTURES = 16


@router.get("/data")
def show_datasets(request: Request, state: StateDep) -> Response:
    """All data sets that the owner may use, and the form that uploads one."""
    with state.db.read() as session:
        registered = [datasets.to_resource(row) for row in datasets.list_datasets(session)]
    return render(
        request,
        "datasets.html",
        registered=registered,
        built_in=list_built_in(state.settings.resolved_data_dir),
        max_bytes=state.settings.max_dataset_bytes,
    )


@router.get("/data/{name}")
def show_dataset(request: Request, state: StateDep, name: str) -> Response:
    """Shape, classes with their counts, a preview, and the experiments that use it."""
    if name in BUILTIN_DATASETS:
        return _render(
            request, describe_built_in(BUILTIN_DATASETS[name], state.settings.resolved_data_dir)
        )
    with state.db.read() as session:
        row = _find(session, name)
        users, has_more = list_users(session, row, limit=MAX_USERS)
        rows, has_picture = _preview(state, row)
        return _render(request, datasets.to_resource(row), users, has_more, rows, has_picture)


def _render(
    request: Request,
    dataset: Dataset,
    users: Sequence[DatasetUser] = (),
    has_more_users: bool = False,
    rows: Any = None,
    has_picture: bool = False,
) -> Response:
    return render(
        request,
        "dataset.html",
        dataset=dataset,
        classes=_list_classes(dataset),
        users=users,
        has_more_users=has_more_users,
        rows=rows,
        has_picture=has_picture,
        max_features=MAX_FEATURES,
    )


@router.get("/data/{name}/preview.png")
def read_picture(name: str, state: StateDep) -> Response:
    """Some train images of each class."""
    with state.db.read() as session:
        row = _find(session, name)
        info = read_dataset_info(state.blobs, row)
        path = state.blobs.path(row.sha256)
    if not info.has_images or not _can_preview(path, info):
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"{name!r} has no preview of images")
    return Response(_draw(path, info), media_type="image/png")


def _find(session: Session, name: str) -> DatasetRow:
    row = datasets.get_dataset(session, name)
    if row is None:
        raise ProblemRaised(404, ProblemCode.NOT_FOUND, f"there is no data set {name[:80]!r}")
    return row


def _preview(state: State, row: DatasetRow) -> tuple[Any, bool]:
    """(first rows of a table or None, whether there is a picture); neither where it is damaged."""
    from engine.data.preview import read_rows
    from engine.errors import InvalidSpec

    try:
        info = read_dataset_info(state.blobs, row)
    except (InvalidSpec, StorageError):
        return None, False
    path = state.blobs.path(row.sha256)
    if not _can_preview(path, info):
        return None, False
    return (None, True) if info.has_images else (read_rows(path, info), False)


def _can_preview(path: Path, info: DatasetInfo) -> bool:
    from engine.data.preview import can_preview

    return can_preview(path, info)


@lru_cache(KEPT_PICTURES)
def _draw(path: Path, info: DatasetInfo) -> bytes:
    """Stored files never change, so pictures are kept."""
    from engine.data.preview import draw_images

    return draw_images(path, info)


def _list_classes(dataset: Dataset) -> list[tuple[str, int | None, int | None]]:
    """(name, train examples, test examples) of each class; None where that is not known."""
    counts = dataset.class_counts or {}
    unknown = [None] * dataset.num_classes
    names = dataset.class_names or [str(label) for label in range(dataset.num_classes)]
    train, test = counts.get("train", unknown), counts.get("test", unknown)
    return list(zip(names, train, test, strict=True))
