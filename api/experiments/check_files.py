"""Checks the points of a submission against their data sets and start checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from api.files.facts import CHECKPOINT_POINTER, DATA_POINTER, read_dataset_info, read_start_tensors
from api.http.request_work import require_caller
from engine.data.spec import BUILTIN_DATASETS, DatasetInfo
from engine.errors import FieldError, InvalidSpec
from engine.models.host import NetNotDescribed
from engine.models.spec import CheckpointSpec, DescribedSpec
from engine.models.start_weights import (
    describe_misfits,
    expected_tensors,
    list_casts,
    list_misfits,
)
from engine.models.weights_file import TensorInfo
from engine.spec import ExperimentSpec
from engine.spec_checks import check_spec
from engine.sweep import SweepPoint
from schemas.problems import ProblemCode
from storage.database.engine import Session
from storage.files.blobs import BlobStore
from storage.files.datasets import get_dataset, list_datasets
from storage.files.in_use import UsedFiles


class NetsNotDescribed(Exception):
    """No worker has described these nets yet."""

    def __init__(self, nets: Sequence[tuple[DescribedSpec, DatasetInfo]]) -> None:
        self.nets = tuple(nets)
        super().__init__(f"{len(self.nets)} nets are not described")


@dataclass(slots=True)
class CheckedFiles:
    """What the points of a submission use."""

    infos: dict[str, DatasetInfo] = field(default_factory=dict)
    """By name of the data set"""
    used: UsedFiles = field(default_factory=UsedFiles)
    notes: list[str] = field(default_factory=list)
    """What becomes of weights of other types than float32"""


def check_files(
    session: Session, blobs: BlobStore, points: Sequence[SweepPoint], max_errors: int
) -> tuple[CheckedFiles, list[FieldError]]:
    """What the points use, and their errors against it.

    Checking stops at so many errors, repeated ones included. Raises CallerGone, and
    NetsNotDescribed for nets without other errors.
    """
    checker = _Checker(session, blobs)
    errors: list[FieldError] = []
    unknown: dict[tuple[DescribedSpec, DatasetInfo], None] = {}
    for point in points:
        require_caller()
        try:
            errors += map(point.locate, checker.find_errors(point.spec))
        except NetNotDescribed as net:
            unknown[net.model, net.info] = None
        if len(errors) >= max_errors:
            break
    if unknown and not errors:
        raise NetsNotDescribed(list(unknown))
    return checker.found, errors


class _Checker:
    """Looks up each data set and each checkpoint once."""

    def __init__(self, session: Session, blobs: BlobStore) -> None:
        self._session, self._blobs = session, blobs
        self._refusals: dict[str, Sequence[FieldError]] = {}
        """By data set or checkpoint that cannot be used"""
        self._tensors: dict[str, Mapping[str, TensorInfo]] = {}
        self.found = CheckedFiles()

    def find_errors(self, spec: ExperimentSpec) -> list[FieldError]:
        """The errors of one point."""
        info = self._find_dataset(spec.data.name)
        errors = list(self._refusals[spec.data.name] if info is None else check_spec(spec, info))
        if isinstance(spec.init, CheckpointSpec):
            reference = spec.init.checkpoint
            tensors = self._find_tensors(reference)
            if tensors is None:
                errors += self._refusals[reference]
            elif info is not None:
                errors += _compare(tensors, spec, info)
        return errors

    def _find_dataset(self, name: str) -> DatasetInfo | None:
        if name in self.found.infos or name in self._refusals:
            return self.found.infos.get(name)
        if name in BUILTIN_DATASETS:
            self.found.infos[name] = BUILTIN_DATASETS[name]
        elif (row := get_dataset(self._session, name)) is None:
            self._refusals[name] = [self._describe_unknown(name)]
        else:
            try:
                self.found.infos[name] = read_dataset_info(self._blobs, row)
                self.found.used.datasets[name] = row.sha256
            except InvalidSpec as invalid:
                self._refusals[name] = invalid.errors
        return self.found.infos.get(name)

    def _describe_unknown(self, name: str) -> FieldError:
        registered = [row.name for row in list_datasets(self._session)]
        known = ", ".join([*BUILTIN_DATASETS, *registered])
        return FieldError(
            DATA_POINTER,
            ProblemCode.DATASET_UNAVAILABLE,
            f"there is no data set {name!r}; known: {known}; POST /datasets registers one",
        )

    def _find_tensors(self, reference: str) -> Mapping[str, TensorInfo] | None:
        if reference not in self._tensors and reference not in self._refusals:
            try:
                tensors = read_start_tensors(self._session, self._blobs, reference)
            except InvalidSpec as invalid:
                self._refusals[reference] = invalid.errors
            else:
                self._tensors[reference] = tensors
                self.found.used.checkpoints.add(reference)
                notes = (f"checkpoint {reference}: {note}" for note in list_casts(tensors))
                self.found.notes += notes
        return self._tensors.get(reference)


def _compare(
    tensors: Mapping[str, TensorInfo], spec: ExperimentSpec, info: DatasetInfo
) -> list[FieldError]:
    problems = list_misfits(tensors, expected_tensors(spec.model, info))
    if not problems:
        return []
    count = f"{len(problems)} tensor{'s do' if len(problems) > 1 else ' does'} not fit the model"
    detail = f"{count}: {describe_misfits(problems, tensors)}"
    return [FieldError(CHECKPOINT_POINTER, "shape-mismatch", detail)]
