"""Read the nets of plug-ins: run their code, find MODELS, turn signatures into arguments.

A plug-in is a file in the plug-ins' folder, or a distribution with an entry point in the group
`richregime.models`. Its code runs with the rights of this process: whoever starts the service put
it there. Nothing here reads code from a network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt

from engine.data.torchvision_import import make_torchvision_importable
from engine.models.plugin_files import PACKAGES, list_plugin_files
from engine.models.plugin_models import (
    ARGUMENT_TYPES,
    PluginArgument,
    PluginModel,
    PluginModels,
    PluginProblem,
)
from engine.models.process_state import UnchangedProcess
from engine.models.spec import BUILT_IN_MODELS

GIVEN = ("shape", "num_classes")
"""The arguments that the service gives: the examples' shape and the number of classes"""
MAX_FILES = 1_000
Groups = typing.Sequence[typing.Sequence[str]]
_TYPE_NAMES = {python: name for name, python in ARGUMENT_TYPES.items()}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A plug-in's net that can be made."""

    described: PluginModel
    function: Callable[..., Any]
    groups: Groups | None = None
    """The author's layers, from LAYERS; None finds them"""


@dataclass(slots=True)
class LoadedPlugins:
    """The nets of all plug-ins, and what is wrong with others."""

    models: dict[str, LoadedModel] = field(default_factory=dict)
    problems: list[PluginProblem] = field(default_factory=list)

    def describe(self) -> PluginModels:
        """Without the code."""
        return PluginModels(
            {name: model.described for name, model in self.models.items()}, tuple(self.problems)
        )


class _Refused(Exception):
    """A net that cannot be used; the message says why."""


def load_plugins(
    folder: Path | None, before_reading: Callable[[str], object] = lambda origin: None
) -> LoadedPlugins:
    """The nets of the folder's files and of installed distributions, by name.

    before_reading: called with the file or distribution before its code runs. A plug-in that fails
    is a problem and leaves the others unharmed. Of two nets with one name neither is used.
    """
    found = LoadedPlugins()
    make_torchvision_importable()  # a plug-in may use it
    for origin, source, load in (*_list_files(folder, found), *_list_packages()):
        before_reading(origin)
        try:
            with UnchangedProcess() as process:
                module = load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the plug-in raises
            found.problems.append(PluginProblem(origin, tell(error, origin)))
            continue
        if process.changes:
            found.problems.append(PluginProblem(origin, process.explain()))
            continue
        _add_models(found, origin, source, module)
    return found


def _list_files(
    folder: Path | None, found: LoadedPlugins
) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    files = [file.path for file in list_plugin_files(folder)]
    if len(files) > MAX_FILES:
        found.problems.append(
            PluginProblem(
                str(folder), f"holds {len(files):,} files of plug-ins; at most {MAX_FILES:,}"
            )
        )
        return
    for path in files:
        try:
            code = path.read_bytes()
        except OSError as error:
            found.problems.append(PluginProblem(str(path), f"cannot be read: {error.strerror}"))
            continue
        source = f"sha256:{hashlib.sha256(code).hexdigest()}"
        yield str(path), source, lambda path=path, code=code: _run_file(path, code)  # type: ignore[misc]


def _run_file(path: Path, code: bytes) -> Any:
    """The module of exactly these bytes, under a name of its own."""
    name = f"richregime_plugins.{path.stem}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(code, str(path), "exec"), module.__dict__)  # noqa: S102 - the operator's own file  # nosec B102
    return module


def _list_packages() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    for entry in sorted(entry_points(group=PACKAGES), key=lambda one: (one.value, one.name)):
        distribution = entry.dist
        name = distribution.name if distribution is not None else entry.value
        version = distribution.version if distribution is not None else "unknown"
        yield name, f"{name}=={version}", lambda entry=entry: _load_entry(entry)  # type: ignore[misc]


def _load_entry(entry: EntryPoint) -> Any:
    """A module with MODELS, or one function under the entry point's name."""
    loaded = entry.load()
    return loaded if hasattr(loaded, "MODELS") else _OneModel({entry.name: loaded})


@dataclass(frozen=True, slots=True)
class _OneModel:
    MODELS: Mapping[str, Any]


def _add_models(found: LoadedPlugins, origin: str, source: str, module: Any) -> None:
    models = getattr(module, "MODELS", None)
    if not isinstance(models, Mapping) or not models:
        found.problems.append(
            PluginProblem(
                origin,
                "has no MODELS; write for example MODELS = {'small': small}, where "
                "small(shape, num_classes) returns a torch.nn.Module",
            )
        )
        return
    layers = getattr(module, "LAYERS", None)
    for name, function in models.items():
        try:
            model = _load_model(str(name), function, origin, source, layers)
            if model.described.name in found.models:
                other = found.models[model.described.name].described.origin
                raise _Refused(f"{other} offers a net {name!r} too; rename one of the two")
        except _Refused as refused:
            found.problems.append(PluginProblem(origin, str(refused), str(name)))
            continue
        found.models[model.described.name] = model
    for problem in found.problems:  # of two nets with one name neither is used
        if problem.name is not None and "rename one of the two" in problem.message:
            found.models.pop(problem.name, None)


def _load_model(name: str, function: Any, origin: str, source: str, layers: Any) -> LoadedModel:
    if not name.isidentifier() or not name.islower() or len(name) > 64:
        raise _Refused(
            f"the name {name[:80]!r} of a net must be of lower-case letters, digits and "
            "underscores, at most 64"
        )
    if name in BUILT_IN_MODELS:
        raise _Refused(f"{name!r} is a built-in net; choose another name")
    if not callable(function):
        raise _Refused(f"{name!r} is a {type(function).__name__}, not a function")
    groups = layers.get(name) if isinstance(layers, Mapping) else layers
    if groups is not None and not _are_groups(groups):
        raise _Refused(
            "LAYERS must be a list of lists of names of submodules, bottom first, such as "
            "[['stem'], ['layer1.0']]; or a dict of such lists by the name of the net"
        )
    described = PluginModel(
        name,
        source,
        origin,
        (inspect.getdoc(function) or "").partition("\n\n")[0],
        tuple(_list_arguments(function)),
    )
    return LoadedModel(described, function, groups)


def _are_groups(groups: Any) -> bool:
    return (
        isinstance(groups, list | tuple)
        and len(groups) > 0
        and all(
            isinstance(group, list | tuple) and group and all(isinstance(one, str) for one in group)
            for group in groups
        )
    )


def _list_arguments(function: Callable[..., Any]) -> Iterator[PluginArgument]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = typing.get_type_hints(
            function.__init__ if inspect.isclass(function) else function,
            include_extras=True,
        )
    except (TypeError, ValueError, NameError) as error:
        raise _Refused(f"the arguments cannot be read: {error}") from None
    if tuple(one.name for one in parameters[:2]) != GIVEN:
        names = ", ".join(one.name for one in parameters)
        raise _Refused(f"the first two arguments must be shape and num_classes; it has ({names})")
    for one in parameters[2:]:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise _Refused(f"*{one.name} has no type; name each argument")
        if one.name not in hints:
            raise _Refused(
                f"the argument {one.name} has no type; write for example {one.name}: int = 32"
            )
        if one.name in ("name", "source"):
            raise _Refused(f"an argument cannot be called {one.name!r}; rename it")
        yield _describe_argument(one, hints[one.name])


def _describe_argument(parameter: inspect.Parameter, hint: Any) -> PluginArgument:
    is_required = parameter.default is inspect.Parameter.empty
    facts: dict[str, Any] = {"is_nullable": False, "is_list": False}
    hint, bounds = _without_extras(hint)
    if get_origin(hint) in (Union, UnionType):
        inner = [one for one in get_args(hint) if one is not NoneType]
        facts["is_nullable"] = len(inner) < len(get_args(hint))
        hint = inner[0] if len(inner) == 1 else hint
    if get_origin(hint) in (list, tuple):
        inner = [one for one in get_args(hint) if one is not Ellipsis]
        facts["is_list"] = True
        hint = inner[0] if len(set(inner)) == 1 else hint
    if get_origin(hint) is Literal:
        facts["choices"] = get_args(hint)
        hint = type(get_args(hint)[0])
    if hint not in _TYPE_NAMES:
        raise _Refused(
            f"the argument {parameter.name} has the type {hint!r}; it must be int, float, bool or "
            "str, a Literal or a list of them, or any of these | None"
        )
    default = None if is_required else parameter.default
    if isinstance(default, tuple):
        default = list(default)
    return PluginArgument(
        parameter.name,
        typing.cast(Any, _TYPE_NAMES[hint]),
        default,
        is_required,
        **facts,
        **bounds,
    )


def _without_extras(hint: Any) -> tuple[Any, dict[str, Any]]:
    """The plain type of an `Annotated`, and the bounds of its numbers."""
    if get_origin(hint) is not Annotated:
        return hint, {}
    bounds: dict[str, Any] = {}
    for extra in _flatten(hint.__metadata__):
        match extra:
            case Ge(ge=low) | Gt(gt=low):
                bounds["minimum"] = float(typing.cast(Any, low))
            case Le(le=high) | Lt(lt=high):
                bounds["maximum"] = float(typing.cast(Any, high))
    return hint.__origin__, bounds


def _flatten(extras: typing.Iterable[Any]) -> Iterator[Any]:
    for extra in extras:
        if isinstance(extra, Interval) or hasattr(extra, "metadata"):
            yield from extra if isinstance(extra, Interval) else extra.metadata
        else:
            yield extra


def tell(error: BaseException, origin: str) -> str:
    """The error's text and the plug-in's line that raised it."""
    if isinstance(error, SyntaxError) and error.filename == origin:
        return f"line {error.lineno}: {error.msg}"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin
    ]
    place = f"line {frames[-1].lineno}: " if frames else ""
    return f"{place}{type(error).__name__}: {str(error)[:300]}"
