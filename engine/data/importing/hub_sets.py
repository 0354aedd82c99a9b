"""`hf:OWNER/NAME`: a set of the Hugging Face hub as `.npz`. Reads its Parquet files, runs no code.

The files of a split are `data/SPLIT-00000-of-00002.parquet`, `CONFIG/SPLIT-...`, `CONFIG/SPLIT/...`
or as the set's card (README.md) names them. A set without Parquet files is read as the hub
converted it, from its branch `refs/convert/parquet`. Column types and the names of classes are in
the metadata of the files. https://huggingface.co/docs/datasets/repository_structure
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from engine.data.importing.images import ImageFile, decode
from engine.data.importing.imported import Imported, number_labels, split
from engine.data.importing.options import ErrorList, ImportOptions, refuse
from engine.data.importing.table import Table, check_names, read_rows, to_text
from engine.errors import DatasetUnavailable

PREFIX = "hf:"
ADDRESS = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
CONVERTED = "refs/convert/parquet"
DEFAULT_CONFIG = "default"
TEST_SPLITS = ("test", "validation", "valid", "val")
"""The first of these that a set has is its test set, where none is chosen"""
SHARD = re.compile(r"(.+?)-(\d{5})-of-(\d{5})(?:-\w+)?")
REVISION = re.compile(r"[0-9a-f]{40}")
PARTIAL = "partial-"
MAX_DOWNLOAD = 4 << 30
"""Bytes of the files of the splits that are read"""
BATCH = 256
"""Images that are in memory at once"""
SHOWN = 20

Files = Mapping[str, Callable[[], Path]]
"""Path in the set, and what finds the file on this machine, downloading it where needed"""


@dataclass(frozen=True, slots=True)
class HubChoices:
    """What the user chooses about a set of the hub, besides the options of every import."""

    image: str | None = None
    """Column of images; None: the only one that the metadata names, or a table of numbers"""
    config: str | None = None
    train: str | None = None
    """Split to train on; None: `train`"""
    test: str | None = None
    """Split to test on; None: the first of TEST_SPLITS, or drawn from the train split"""


@dataclass(frozen=True, slots=True)
class _Repository:
    """The Parquet files of one revision of a set."""

    files: Files
    sizes: Mapping[str, int]
    configs: Any
    """What the set's card says about its configs; None where it says nothing"""
    revision: str | None


@dataclass(slots=True)
class _Split:
    """The open files of one split."""

    name: str
    files: list[Any] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return sum(file.metadata.num_rows for file in self.files)


def read_hub_set(
    address: str,
    options: ImportOptions,
    choices: HubChoices | None = None,
    *,
    folder: Path | None = None,
    download: bool = False,
) -> Imported:
    """The set at `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`.

    folder: has its files as the hub lays them out; without it they are downloaded, or taken from
    the cache of huggingface_hub. Raises DatasetUnavailable, whose message says what to do, and
    InvalidSpec for what cannot be read as a data set.
    """
    choices = choices or HubChoices()
    parsed = ADDRESS.fullmatch(address)
    if parsed is None:
        raise DatasetUnavailable(f"{address[:80]!r} is no set of the hub: hf:OWNER/NAME")
    repository, revision = parsed[1], parsed[2]
    options = replace(options, file_name=f"{PREFIX}{repository}")
    parquet = _import_libraries()
    if folder is not None:
        found = _list_folder(folder)
    elif download:
        found = _list_repository(repository, revision)
    else:
        raise DatasetUnavailable(
            f"{address}: --download lets huggingface_hub download it, --from names a folder with "
            "its files"
        )
    config, splits = _choose_config(found, choices, options)
    train, test = _choose_splits(splits, choices, options)
    paths = [path for name in (train, test) if name is not None for path in splits[name]]
    _require_size(sum(found.sizes[path] for path in paths), options)
    opened = [
        _Split(name, [_open(parquet, found.files[path], path, options) for path in splits[name]])
        for name in (train, test)
        if name is not None
    ]
    imported = _read(opened, choices, options)
    origin = f"{PREFIX}{repository}, config {config!r}, revision {found.revision or 'unknown'}"
    parts = f"train split {train!r}, " + (
        "test set drawn from it" if test is None else f"test split {test!r}"
    )
    return replace(imported, notes=(f"from {origin}", parts, *imported.notes))


def _import_libraries() -> Any:
    """The module `pyarrow.parquet`. Raises DatasetUnavailable with the command that installs."""
    try:
        import huggingface_hub  # noqa: F401
        from pyarrow import parquet
    except ImportError:
        raise DatasetUnavailable(
            "sets of the Hugging Face hub need huggingface_hub and pyarrow, the extra `hf` of the "
            f"service: {sys.executable} -m pip install huggingface_hub pyarrow"
        ) from None
    return parquet


def _list_folder(folder: Path) -> _Repository:
    """A local copy: a clone, a download, or a snapshot in the cache of huggingface_hub."""
    from huggingface_hub import RepoCard

    if not folder.is_dir():
        raise DatasetUnavailable(f"the folder {folder} does not exist")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}
    configs, readme = None, folder / "README.md"
    if readme.is_file():
        configs = RepoCard.load(readme, ignore_metadata_errors=True).data.get("configs")
    return _Repository(
        {name: path.resolve for name, path in found.items()},
        {name: path.stat().st_size for name, path in found.items()},
        configs,
        folder.name if REVISION.fullmatch(folder.name) else None,
    )


def _list_repository(repository: str, revision: str | None) -> _Repository:
    """What the hub holds at a revision; downloads nothing yet."""
    found = _ask_hub(repository, revision)
    if not found.files and revision is None:
        found = replace(_ask_hub(repository, CONVERTED), configs=None)
    return found


def _ask_hub(repository: str, revision: str | None) -> _Repository:
    from huggingface_hub import HfApi

    with _telling(repository, revision):
        info = HfApi().dataset_info(repository, revision=revision, files_metadata=True)
    siblings = [one for one in info.siblings or () if one.rfilename.endswith(".parquet")]
    return _Repository(
        {one.rfilename: _Download(repository, one.rfilename, info.sha) for one in siblings},
        {one.rfilename: one.size or 0 for one in siblings},
        None if info.card_data is None else info.card_data.get("configs"),
        info.sha,
    )


@dataclass(frozen=True, slots=True)
class _Download:
    """Downloads one file, unless the cache of huggingface_hub has it."""

    repository: str
    path: str
    revision: str | None

    def __call__(self) -> Path:
        from huggingface_hub import hf_hub_download

        with _telling(self.repository, self.revision):
            return Path(
                hf_hub_download(
                    self.repository, self.path, repo_type="dataset", revision=self.revision
                )
            )


@contextmanager
def _telling(repository: str, revision: str | None) -> Iterator[None]:
    """Turns errors of the hub into DatasetUnavailable that says what to do."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its HTTP client's

    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        raise DatasetUnavailable(_describe_failure(error, repository, revision)) from error


def _describe_failure(error: Exception, repository: str, revision: str | None) -> str:
    from huggingface_hub import errors

    address = f"{PREFIX}{repository}"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status == 403:
        return (
            f"{address} is gated: accept its terms on its page of the hub, and log in with `hf "
            "auth login`"
        )
    if isinstance(error, errors.RevisionNotFoundError) and revision == CONVERTED:
        return (
            f"{address} holds no Parquet files, and the hub has not converted it: other files are "
            "not read, and code of a set is never run"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{address} has no revision {revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return (
            f"the hub has no set {repository!r}, or it is private: then log in with `hf auth login`"
        )
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"{address}: the hub cannot be read: {first[:300]}"


def _choose_config(
    found: _Repository, choices: HubChoices, options: ImportOptions
) -> tuple[str, Mapping[str, list[str]]]:
    """The config and the paths of each of its splits."""
    configs = _list_card(found) or _list_paths(found)
    if not configs:
        raise refuse(options, "no-parquet", "there are no Parquet files; other files are not read")
    if choices.config is not None:
        chosen = choices.config
    else:
        chosen = next(iter(configs)) if len(configs) == 1 else DEFAULT_CONFIG
    if chosen not in configs:
        wrong = "choose one" if choices.config is None else f"there is no config {chosen!r}"
        raise refuse(options, "unknown-config", f"{wrong}: --config {_show(configs, ' | ')}")
    for split_name, paths in configs[chosen].items():
        _require_all_shards(split_name, paths, options)
    return chosen, configs[chosen]


def _list_card(found: _Repository) -> dict[str, dict[str, list[str]]]:
    """Splits by config as the card names them; none where it names no files."""
    configs: dict[str, dict[str, list[str]]] = {}
    for entry in found.configs if isinstance(found.configs, list) else ():
        named = entry.get("data_files") if isinstance(entry, dict) else None
        for one in named if isinstance(named, list) else ():
            if not (isinstance(one, dict) and "split" in one and "path" in one):
                continue
            patterns = one["path"] if isinstance(one["path"], list) else [one["path"]]
            paths = sorted(
                path
                for path in found.files
                if any(fnmatch(path, str(pattern)) for pattern in patterns)
            )
            if paths:
                config = str(entry.get("config_name", DEFAULT_CONFIG))
                configs.setdefault(config, {})[str(one["split"])] = paths
    return configs


def _list_paths(found: _Repository) -> dict[str, dict[str, list[str]]]:
    """Splits by config as the names of folders and files tell."""
    configs: dict[str, dict[str, list[str]]] = {}
    for path in sorted(found.files):
        *folders, file = PurePosixPath(path).with_suffix("").parts
        shard = SHARD.fullmatch(file)
        name = shard[1] if shard else file
        if folders and (file.isdecimal() or folders[-1] == name):
            name = folders.pop()
        if folders[:1] == ["data"]:
            del folders[0]
        config = "/".join(folders) or DEFAULT_CONFIG
        configs.setdefault(config, {}).setdefault(name.removeprefix(PARTIAL), []).append(path)
    return configs


def _require_all_shards(name: str, paths: Sequence[str], options: ImportOptions) -> None:
    """Raises InvalidSpec where a file of a split is missing, as in a copy that is not complete."""
    shards = [SHARD.fullmatch(PurePosixPath(path).stem) for path in paths]
    counts = {int(shard[3]) for shard in shards if shard}
    if counts and counts != {len(paths)}:
        raise refuse(
            options,
            "missing-files",
            f"split {name!r} has {max(counts)} files, of which {len(paths)} are here",
        )


def _choose_splits(
    splits: Mapping[str, list[str]], choices: HubChoices, options: ImportOptions
) -> tuple[str, str | None]:
    train = choices.train or "train"
    test = choices.test or next((name for name in TEST_SPLITS if name in splits), None)
    if test == train:
        test = None
    for name, option in ((train, "--split-train"), (test, "--split-test")):
        if name is not None and name not in splits:
            raise refuse(
                options,
                "unknown-split",
                f"there is no split {name!r}: {option} {_show(splits, ' | ')}",
            )
    return train, test


def _require_size(num_bytes: int, options: ImportOptions) -> None:
    if num_bytes > MAX_DOWNLOAD:
        raise refuse(
            options,
            "too-large",
            f"the files of these splits take {num_bytes:,} bytes; the limit is {MAX_DOWNLOAD:,}: "
            "choose a smaller --config, --split-train or --split-test",
        )


def _open(parquet: Any, find: Callable[[], Path], path: str, options: ImportOptions) -> Any:
    from pyarrow import ArrowException

    try:
        return parquet.ParquetFile(find())
    except (ArrowException, OSError, ValueError) as error:
        raise refuse(options, "unreadable", f"{path}: {error}") from None


def _read(splits: Sequence[_Split], choices: HubChoices, options: ImportOptions) -> Imported:
    from pyarrow import ArrowException

    first = splits[0].files[0]
    names = check_names(first.schema_arrow.names, options)
    for one in (file for part in splits for file in part.files):
        if one.schema_arrow.names != names:
            raise refuse(options, "different-columns", "its files do not all have the same columns")
    features = _read_features(first)
    image = _find_image(names, features, choices.image, options)
    label = _find_label(names, features, options)
    class_names = _find_class_names(features, label)
    train_size = splits[0].num_rows if len(splits) > 1 else None
    try:
        labels = _read_labels(splits, label, class_names, options)
        if image is None:
            chosen = replace(options, label=label)
            imported = _read_table(splits, names, label, train_size, chosen)
            return replace(imported, class_names=_name(imported.class_names, class_names))
        images = decode(lambda: _list_images(splits, image), len(labels), options)
    except (ArrowException, OSError, ValueError) as error:
        raise refuse(options, "unreadable", f"not readable Parquet files: {error}") from None
    classes, y = number_labels(labels, options, f"the column of labels, {label!r},")
    classes = _name(classes, class_names)
    return Imported(*split(images, y, classes, options, train_size), classes)


def _name(classes: tuple[str, ...], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of classes that are whole numbers, where there are any."""
    return classes if names is None else tuple(names[int(one)] for one in classes)


def _read_features(file: Any) -> Mapping[str, Any]:
    """The types of the columns that the hub's library wrote into the file; {} without them."""
    try:
        found = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): one for name, one in found.items() if isinstance(one, dict)}


def _find_class_names(features: Mapping[str, Any], label: str) -> Sequence[str] | None:
    """The names of the whole numbers in the column of labels, where the metadata has them."""
    names = features.get(label, {}).get("names")
    is_named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_named else None


def _find_image(
    names: Sequence[str], features: Mapping[str, Any], chosen: str | None, options: ImportOptions
) -> str | None:
    images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    if chosen is not None and chosen not in names:
        raise refuse(
            options, "unknown-column", f"there is no column {chosen!r}: --image {_show(names)}"
        )
    if chosen is None and len(images) > 1:
        raise refuse(options, "unknown-column", f"choose one column: --image {_show(images)}")
    return chosen or next(iter(images), None)


def _find_label(names: Sequence[str], features: Mapping[str, Any], options: ImportOptions) -> str:
    labels = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
    if options.label is None and len(labels) == 1:
        return labels[0]
    if options.label is None or options.label not in names:
        wrong = "choose the column of labels"
        if options.label is not None:
            wrong = f"there is no column {options.label!r}"
        raise refuse(options, "unknown-column", f"{wrong}: --label {_show(labels or names)}")
    return options.label


def _read_labels(
    splits: Sequence[_Split], label: str, names: Sequence[str] | None, options: ImportOptions
) -> list[str]:
    """The labels of all rows as text. Raises InvalidSpec for missing ones."""
    errors, labels = ErrorList(options), list[str]()
    for place, value in _read_column(splits, label, 1 << 16):
        text = to_text(value)
        if not text:
            errors.add("missing-label", f"{place}: the label is missing")
        elif names is not None and not (isinstance(value, int) and 0 <= value < len(names)):
            errors.add(
                "missing-label", f"{place}: the label is {text[:40]}, which stands for no class"
            )
        elif len(text) > options.limits.max_name:
            errors.add("wrong-label", f"{place}: {text[:40]!r}... is too long")
        labels.append(text)
    errors.raise_if_any()
    if not labels:
        raise refuse(options, "empty", "it has no rows")
    return labels


def _read_column(splits: Sequence[_Split], name: str, batch: int) -> Iterator[tuple[str, Any]]:
    for part in splits:
        row = 0
        for file in part.files:
            for found in file.iter_batches(batch, columns=[name]):
                for value in found.column(0).to_pylist():
                    row += 1
                    yield f"split {part.name!r}, row {row}", value


def _list_images(splits: Sequence[_Split], name: str) -> Iterator[ImageFile]:
    for place, value in _read_column(splits, name, BATCH):
        yield place, _Bytes(value)


@dataclass(frozen=True, slots=True)
class _Bytes:
    """The bytes of an image file in a cell."""

    cell: Any

    def __call__(self) -> bytes:
        data = self.cell.get("bytes") if isinstance(self.cell, dict) else self.cell
        if not isinstance(data, bytes):
            raise ValueError("no image is stored in the column")
        return data


def _read_table(
    splits: Sequence[_Split],
    names: Sequence[str],
    label: str,
    train_size: int | None,
    options: ImportOptions,
) -> Imported:
    table = Table(names, list(names).index(label), options)
    for part in splits:
        first = 1
        for file in part.files:
            for place, cells in read_rows(file, f"split {part.name!r}, ", first):
                table.add(place, cells)
            first += file.metadata.num_rows
    return table.finish(train_size)


def _show(names: Sequence[str] | Mapping[str, Any], separator: str = ", ") -> str:
    return separator.join(list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
