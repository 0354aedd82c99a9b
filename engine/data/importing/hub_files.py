"""Which Parquet files of a set of the Hugging Face hub are its splits.

They are `data/SPLIT-00000-of-00002.parquet`, `CONFIG/SPLIT-...`, `CONFIG/SPLIT/...` or as the set's
card (README.md) names them. A set without Parquet files is read as the hub converted it, from its
branch `refs/convert/parquet`. https://huggingface.co/docs/datasets/repository_structure
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from engine.data.importing.options import ImportOptions, refuse
from engine.errors import DatasetUnavailable

PREFIX = "hf:"
CONVERTED = "refs/convert/parquet"
DEFAULT_CONFIG = "default"
TEST_SPLITS = ("test", "validation", "valid", "val")
"""The first of these that a set has is its test set, where none is chosen"""
SHARD = re.compile(r"(.+?)-(\d{5})-of-(\d{5})(?:-\w+)?")
REVISION = re.compile(r"[0-9a-f]{40}")
PARTIAL = "partial-"
MAX_DOWNLOAD = 4 << 30
"""Bytes of the files of the splits that are read"""
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
class Repository:
    """The Parquet files of one revision of a set."""

    files: Files
    sizes: Mapping[str, int]
    configs: Any
    """What the set's card says about its configs; None where it says nothing"""
    revision: str | None


def list_folder(folder: Path) -> Repository:
    """A local copy: a clone, a download, or a snapshot in the cache of huggingface_hub."""
    from huggingface_hub import RepoCard

    if not folder.is_dir():
        raise DatasetUnavailable(f"the folder {folder} does not exist")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.parquet")}
    configs, readme = None, folder / "README.md"
    if readme.is_file():
        configs = RepoCard.load(readme, ignore_metadata_errors=True).data.get("configs")
    return Repository(
        {name: path.resolve for name, path in found.items()},
        {name: path.stat().st_size for name, path in found.items()},
        configs,
        folder.name if REVISION.fullmatch(folder.name) else None,
    )


def list_repository(repository: str, revision: str | None) -> Repository:
    """What the hub holds at a revision; downloads nothing yet."""
    found = _ask_hub(repository, revision)
    if not found.files and revision is None:
        found = replace(_ask_hub(repository, CONVERTED), configs=None)
    return found


def _ask_hub(repository: str, revision: str | None) -> Repository:
    from huggingface_hub import HfApi

    with _telling(repository, revision):
        info = HfApi().dataset_info(repository, revision=revision, files_metadata=True)
    siblings = [one for one in info.siblings or () if one.rfilename.endswith(".parquet")]
    return Repository(
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


def choose_config(
    found: Repository, choices: HubChoices, options: ImportOptions
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
        raise refuse(options, "unknown-config", f"{wrong}: --config {show_names(configs, ' | ')}")
    for split_name, paths in configs[chosen].items():
        _require_all_shards(split_name, paths, options)
    return chosen, configs[chosen]


def _list_card(found: Repository) -> dict[str, dict[str, list[str]]]:
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


def _list_paths(found: Repository) -> dict[str, dict[str, list[str]]]:
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


def choose_splits(
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
                f"there is no split {name!r}: {option} {show_names(splits, ' | ')}",
            )
    return train, test


def require_size(num_bytes: int, options: ImportOptions) -> None:
    if num_bytes > MAX_DOWNLOAD:
        raise refuse(
            options,
            "too-large",
            f"the files of these splits take {num_bytes:,} bytes; the limit is {MAX_DOWNLOAD:,}: "
            "choose a smaller --config, --split-train or --split-test",
        )


def show_names(names: Sequence[str] | Mapping[str, Any], separator: str = ", ") -> str:
    return separator.join(list(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
