"""Imports an exported zip archive.

Nothing in the archive is trusted: sizes are counted, checksums compared, every spec and result
parsed, files stored under the digest of their bytes. No name in it becomes a path.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from api.experiments.metric_tables import COLUMNS
from api.http.json_body import parse_object
from api.http.problems import ProblemRaised
from engine.data.zip_archive import DAMAGE, Archive, open_archive
from engine.errors import FieldError, InvalidSpec, field_errors
from engine.experiments.registry import get_kind, parse_spec
from engine.own_claims.checks import check_claims
from engine.spec import ExperimentSpec
from engine.spec_model import find_numbers, find_repeated
from runtime.settings import Settings
from schemas.audit import Action
from schemas.bundle import BUNDLE_FILE, CHECKSUM_FILE, METRICS_FILE, Bundle, BundledRun
from schemas.problems import ProblemCode
from schemas.seed_plan import SeedsUntilDecided
from schemas.status import RunStatus
from schemas.submission import Submission
from storage.access.audit import record
from storage.access.ownership import restricted_to_owner
from storage.database.engine import Database
from storage.database.tables import ExperimentRow
from storage.experiments.hidden import remove_hidden, store_metrics_of_hidden
from storage.experiments.imported import (
    CheckedBundle,
    find_imported,
    metric_rows,
    show_imported,
    store_hidden,
)
from storage.experiments.locks import lock_import
from storage.files.blobs import BlobStore, StoredBlob, raising_storage_full
from storage.files.upload_transaction import upload_transaction
from storage.results.metrics import MetricPoint

EXPANSION = 8
"""The entries may hold this many times the bytes of the largest archive."""
MAX_ENTRIES = 50_000
MAX_DIRECTORY_BYTES = 8 << 20
MAX_CHECKSUM_BYTES = 16 << 20
"""Enough for the names and checksums of all entries."""
MAX_BUNDLE_BYTES = 64 << 20
"""Of `bundle.json`, which takes many times as much memory when parsed."""
MAX_METRICS_BYTES = 32 << 20
"""About a million rows."""
MAX_LINE_BYTES = 1 << 10
CHUNK = 1 << 20
MAX_NAME = 64
MAX_NUMBER = 1e100
UNSAFE_NAME = re.compile(r"^[/\\~]|:|(^|[/\\])\.\.([/\\]|$)")
"""Names that some system would unpack outside of the folder."""


def import_bundle(
    db: Database,
    blobs: BlobStore,
    settings: Settings,
    path: Path,
    require_storage: Callable[[int, int], None],
) -> tuple[ExperimentRow, bool]:
    """Check the archive and store its experiment; also returns whether it is new.

    The same archive may be imported again. `require_storage` raises a problem where this many
    bytes and metrics may not be stored.
    Raises InvalidSpec, 413 and 422 problems, and StorageFull.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    with db.read() as session, restricted_to_owner(session):
        known = find_imported(session, sha256)
        if known is not None:
            return known, False
    with ExitStack() as opened:
        with _damage_as_problem():
            archive = opened.enter_context(open_archive(path, MAX_DIRECTORY_BYTES))
            checksums = _check_entries(archive, settings.max_import_bytes)
            checked = _check_bundle(archive, checksums, settings, sha256)
        entries = _list_files(checked.bundle)
        num_bytes = sum(archive.size_of(entry) for entry in entries.values())
        require_storage(num_bytes, checked.num_metrics)
        with upload_transaction(db, blobs) as take:
            files = {
                name: take(partial(_store_file, archive, blobs, entry))
                for name, entry in entries.items()
            }
            return _store(db, checked, files, _read_metrics(archive, checked.bundle))


def _store(
    db: Database,
    checked: CheckedBundle,
    files: Mapping[str, StoredBlob],
    metrics: Iterable[MetricPoint],
) -> tuple[ExperimentRow, bool]:
    """Store the experiment hidden, then its metrics, then show it, or the one that came first."""
    with db.write() as session, restricted_to_owner(session):
        experiment_id, run_ids = store_hidden(session, checked, files)
    try:
        store_metrics_of_hidden(db, experiment_id, metric_rows(run_ids, metrics))
        with db.write() as session, restricted_to_owner(session):
            lock_import(session, checked.sha256)
            known = find_imported(session, checked.sha256)
            if known is None:
                row = show_imported(session, experiment_id)
                record(session, Action.IMPORTED, row.id, f"was {row.imported_from}")
                return row, True
    except BaseException:
        remove_hidden(db, experiment_id)
        raise
    remove_hidden(db, experiment_id)
    return known, False


@contextmanager
def _damage_as_problem() -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise _refuse(f"the body is not a readable zip archive: {str(error)[:200]}") from None


def _check_entries(archive: Archive, limit: int) -> dict[str, str]:
    """Check names, unpacked size and checksums of all files; returns the checksums by name."""
    names = archive.all_names
    if len(names) > MAX_ENTRIES:
        raise _refuse(f"the archive has {len(names):,} entries; the limit is {MAX_ENTRIES:,}")
    if len(set(names)) != len(names):
        raise _refuse("an entry is repeated in the archive")
    for name in names:
        if UNSAFE_NAME.search(name):
            raise _refuse(f"the entry {name[:200]!r} would be unpacked outside of its folder")
    stated: dict[str, str] = {}
    for line in (
        _read(archive, CHECKSUM_FILE, MAX_CHECKSUM_BYTES).decode("utf-8", "replace").splitlines()
    ):
        digest, _, name = line.partition("  ")
        stated[name] = digest
    if set(stated) != archive.entries.keys() - {CHECKSUM_FILE}:
        raise _refuse(f"{CHECKSUM_FILE} does not list exactly the files of the archive")
    total = 0
    for name, digest in stated.items():
        found = hashlib.sha256()
        with archive.open(name) as entry:
            while part := entry.read(CHUNK):
                total += len(part)
                if total > EXPANSION * limit:
                    detail = f"the archive unpacks to more than {EXPANSION * limit:,} bytes"
                    raise ProblemRaised(413, ProblemCode.PAYLOAD_TOO_LARGE, detail)
                found.update(part)
        if found.hexdigest() != digest:
            raise _refuse(
                f"{name[:200]!r} does not match its checksum: the archive is damaged or changed"
            )
    return stated


def _check_bundle(
    archive: Archive, checksums: Mapping[str, str], settings: Settings, sha256: str
) -> CheckedBundle:
    """Parse and check everything, before anything is stored."""
    document = parse_object(_read(archive, BUNDLE_FILE, MAX_BUNDLE_BYTES))
    try:
        bundle = Bundle.model_validate(document)
        submission = Submission.model_validate(bundle.body)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors(include_url=False), document)) from None
    if len(bundle.points) > settings.max_points or len(bundle.runs) > settings.max_runs:
        raise _refuse(
            f"{len(bundle.points):,} points and {len(bundle.runs):,} runs exceed the limits of "
            f"{settings.max_points:,} and {settings.max_runs:,}"
        )
    spec = parse_spec(bundle.body["spec"], "#/body/spec")
    specs = [
        parse_spec(one.spec, f"#/points/{index}/spec") for index, one in enumerate(bundle.points)
    ]
    seeds = submission.first_seeds if bundle.seeds is None else bundle.seeds
    _check_seed_plan(bundle, submission, seeds)
    wrong = check_claims(bundle.body.get("claims"), len(specs), None)
    if wrong:
        raise InvalidSpec(
            replace(error, pointer=f"#/body{error.pointer.removeprefix('#')}") for error in wrong
        )
    _check_runs(bundle, seeds, spec, specs)
    results = [_parse_results(spec.kind, index, run) for index, run in enumerate(bundle.runs)]
    num_metrics = sum(1 for _ in _read_metrics(archive, bundle))
    _check_files(bundle, checksums)
    return CheckedBundle(
        bundle=bundle,
        sha256=sha256,
        submission=submission,
        seeds=seeds,
        spec=spec.model_dump(mode="json"),
        specs=specs,
        results=results,
        num_metrics=num_metrics,
    )


def _check_seed_plan(bundle: Bundle, submission: Submission, seeds: Sequence[int]) -> None:
    """The plan must be the submission's, and have ended unless a run did not succeed."""
    plan, errors = bundle.seed_plan, []
    asked = submission.seeds
    wanted = asked.model_dump() if isinstance(asked, SeedsUntilDecided) else None
    planned = None if plan is None else plan.model_dump(include=set(SeedsUntilDecided.model_fields))
    if planned != wanted or (plan is None) != (bundle.seeds is None):
        detail = "must be the plan of the submission's seeds, beside the seeds that it came to"
        errors.append(FieldError("#/seed_plan", "other-plan", detail))
    errors += find_repeated(seeds, "#/seeds/")
    succeeded = all(run.status is RunStatus.SUCCEEDED for run in bundle.runs)
    if plan is not None and plan.ended is None and succeeded:
        detail = "only an experiment that adds no more seeds is imported"
        errors.append(FieldError("#/seed_plan/ended", "not-ended", detail))
    if errors:
        raise InvalidSpec(errors)


def _check_runs(
    bundle: Bundle, seeds: Sequence[int], spec: ExperimentSpec, specs: Sequence[ExperimentSpec]
) -> None:
    errors = [
        FieldError(
            f"#/points/{index}/spec/kind",
            "other-kind",
            f"is {one.kind}, but the experiment is {spec.kind}",
        )
        for index, one in enumerate(specs)
        if one.kind != spec.kind
    ]
    taken: set[tuple[int, int]] = set()
    for index, run in enumerate(bundle.runs):
        pairs = {(run.point, seed) for seed in run.seeds}
        if run.point >= len(specs) or not set(run.seeds) <= set(seeds) or pairs & taken:
            errors.append(
                FieldError(f"#/runs/{index}", "no-such-cell", "unknown or repeated point and seed")
            )
        if not run.status.is_terminal:
            errors.append(
                FieldError(f"#/runs/{index}/status", "not-ended", "only terminal runs are imported")
            )
        if (run.status == "succeeded") != (run.result is not None):
            errors.append(
                FieldError(
                    f"#/runs/{index}/result",
                    "result",
                    "succeeded runs have a result, others have none",
                )
            )
        taken |= pairs
    if errors:
        raise InvalidSpec(errors[:100])


def _parse_results(kind: str, index: int, run: BundledRun) -> list[Mapping[str, Any]] | None:
    if run.result is None:
        return None
    seed_result = get_kind(kind).seed_result
    huge = _find_huge(run.result, f"#/runs/{index}/result")
    if huge:
        raise InvalidSpec(huge[:100])
    try:
        found = [seed_result.model_validate(one) for one in run.result]
    except ValidationError as error:
        raise InvalidSpec(
            field_errors(error.errors(include_url=False), run.result, f"#/runs/{index}/result")
        ) from None
    if sorted(one.seed for one in found) != sorted(run.seeds):
        raise InvalidSpec.single(
            f"#/runs/{index}/result", "seeds", "must hold one result for each seed of the run"
        )
    return [one.model_dump(mode="json") for one in found]


def _find_huge(value: Any, pointer: str) -> list[FieldError]:
    """An error for each number that no computation in single precision gives.

    The square of a larger one would be infinite, and so would be its statistics.
    """
    return [
        FieldError(
            where,
            "out-of-range",
            f"must be between -{MAX_NUMBER:g} and {MAX_NUMBER:g} (got {str(number)[:20]})",
        )
        for where, number in find_numbers(value, pointer)
        if abs(number) > MAX_NUMBER
    ]


def _check_files(bundle: Bundle, checksums: Mapping[str, str]) -> None:
    for file in (file for run in bundle.runs for file in run.files):
        if file.path not in checksums:
            raise _refuse(f"the archive lacks the file {file.path[:200]!r}")
        if checksums[file.path] != file.sha256:
            raise _refuse(
                f"the file {file.path[:200]!r} does not match its sha256 in {BUNDLE_FILE}"
            )


def _list_files(bundle: Bundle) -> dict[str, str]:
    """An entry of the archive for each sha256."""
    return {file.sha256: file.path for run in bundle.runs for file in run.files}


def _store_file(archive: Archive, blobs: BlobStore, name: str) -> StoredBlob:
    with blobs.scratch() as scratch:
        with raising_storage_full(), archive.open(name) as entry, scratch.open("wb") as target:
            shutil.copyfileobj(entry, target, CHUNK)
        return blobs.put_file(scratch)


def _read_metrics(archive: Archive, bundle: Bundle) -> Iterator[MetricPoint]:
    """Yield the metrics one by one, in the order of the archive."""
    cells = {(run.point, seed) for run in bundle.runs for seed in run.seeds}
    with _open(archive, METRICS_FILE) as entry:
        reader = csv.reader(_read_lines(io.BufferedReader(entry, CHUNK)))
        try:
            if tuple(next(reader, ())) != COLUMNS:
                raise _refuse(f"{METRICS_FILE} does not have the columns {', '.join(COLUMNS)}")
            for row in reader:
                yield _parse_metric(row, reader.line_num, cells)
        except csv.Error as error:
            raise _refuse(
                f"line {reader.line_num} of {METRICS_FILE} cannot be read: {error}"
            ) from None


def _read_lines(entry: io.BufferedReader) -> Iterator[str]:
    total = 0
    while line := entry.readline(MAX_LINE_BYTES + 1):
        total += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise _refuse(f"{METRICS_FILE} has a line of more than {MAX_LINE_BYTES:,} bytes")
        if total > MAX_METRICS_BYTES:
            raise _refuse(f"{METRICS_FILE} is larger than {MAX_METRICS_BYTES:,} bytes")
        yield line.decode("utf-8", "replace")


def _parse_metric(row: Sequence[str], line: int, cells: Collection[tuple[int, int]]) -> MetricPoint:
    try:
        point, seed, name, step = int(row[0]), int(row[1]), row[2], int(row[3])
        value = float(row[4]) if row[4] else None
    except (ValueError, IndexError):
        raise _refuse(f"line {line} of {METRICS_FILE} is not a metric") from None
    is_number = value is None or abs(value) <= MAX_NUMBER
    is_sound = is_number and 0 <= step < 2**53 and name.isprintable()
    if not is_sound or not 0 < len(name) <= MAX_NAME or (point, seed) not in cells:
        raise _refuse(f"line {line} of {METRICS_FILE} belongs to no run, or is out of range")
    return MetricPoint(point, seed, name, step, value)


@contextmanager
def _open(archive: Archive, name: str) -> Iterator[zipfile.ZipExtFile]:
    try:
        with archive.open(name) as entry:
            yield entry
    except KeyError:
        raise _refuse(
            f"the archive lacks {name[:200]!r}; is it an export of an experiment?"
        ) from None


def _read(archive: Archive, name: str, limit: int) -> bytes:
    with _open(archive, name) as entry:
        data = entry.read(limit + 1)
    if len(data) > limit:
        raise _refuse(f"{name} is larger than {limit:,} bytes")
    return data


def _refuse(detail: str) -> ProblemRaised:
    return ProblemRaised(422, ProblemCode.INVALID_REQUEST, detail)
