"""Read the nets of plug-ins: run their code, find MODELS, turn signatures into arguments.

A plug-in is a file in the plug-ins' folder, or a distribution with an entry point in the group
`richregime.models`. Its code runs with the rights of this process: whoever starts the service put
it there. Nothing here reads code from a network.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le, Lt
from pydantic import PydanticUserError
from pydantic.fields import FieldInfo

from engine.data.torchvision_import import make_torchvision_importable
from engine.models.plugin_files import (
    UnreadableFile,
    identify_file,
    identify_package,
    list_plugin_files,
    list_plugin_packages,
    read_plugin_file,
)
from engine.models.plugin_models import (
    ARGUMENT_TYPES,
    PluginArgument,
    PluginModel,
    PluginModels,
    PluginProblem,
)
from engine.models.process_state import UnchangedProcess
from engine.models.spec import BUILT_IN_MODELS, PluginSpec

GIVEN = ("shape", "num_classes")
"""The arguments that the service gives: the examples' shape and the number of classes"""
MAX_FILES = 1_000
MAX_MODELS = 100
"""Of one plug-in"""
MAX_DESCRIPTION = 1_000
"""Characters"""
Groups = Sequence[Sequence[str]]
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


class _Plugin(typing.NamedTuple):
    """A plug-in whose code has not run yet."""

    origin: str
    source: str
    load: Callable[[], Any]
    may_use_torchvision: bool
    """Whether its file names torchvision; a distribution may"""


def load_plugins(
    folder: Path | None,
    before_reading: Callable[[str], object] = lambda origin: None,
    *,
    unread: Mapping[str, str] = MappingProxyType({}),
    source: str | None = None,
) -> LoadedPlugins:
    """The nets of the folder's files and of installed distributions, by name.

    A plug-in that fails is a problem and leaves the others unharmed. Of nets with one name none is
    used.

    before_reading: called with the file or distribution before its code runs. unread: the files and
    distributions whose code does not run, with the reason. source: the only code that runs; None
    runs all.
    """
    found = LoadedPlugins()
    offered: list[LoadedModel] = []
    for plugin in (*_list_files(folder, found), *_list_packages()):
        if source not in (None, plugin.source):
            continue
        if plugin.origin in unread:
            found.problems.append(PluginProblem(plugin.origin, unread[plugin.origin]))
            continue
        before_reading(plugin.origin)
        for one in _read(plugin):
            if isinstance(one, PluginProblem):
                found.problems.append(one)
            else:
                offered.append(one)
    for name, models in _by_name(offered).items():
        if len(models) == 1:
            found.models[name] = models[0]
        else:
            found.problems += _tell_clash(name, models)
    return found


def _read(plugin: _Plugin) -> list[LoadedModel | PluginProblem]:
    """The nets of one plug-in, and what is wrong with others.

    The import of torchvision takes seconds and changes settings of the process, so it comes before
    a plug-in that uses it, and before no other. One that imports it through another module is read
    a second time.
    """
    if plugin.may_use_torchvision:
        make_torchvision_importable()
    had_torchvision = _has_torchvision()
    found = _read_once(plugin)
    if _has_torchvision() and not had_torchvision:
        make_torchvision_importable()
        found = _read_once(plugin)
    return found


def _has_torchvision() -> bool:
    """Whether an import of torchvision was tried; parts of it stay where it failed."""
    return any(name.partition(".")[0] == "torchvision" for name in sys.modules)


def _read_once(plugin: _Plugin) -> list[LoadedModel | PluginProblem]:
    try:
        with UnchangedProcess() as process:
            found = list(_read_models(plugin, plugin.load()))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the plug-in raises
        return [PluginProblem(plugin.origin, tell(error, plugin.origin))]
    return [PluginProblem(plugin.origin, process.explain())] if process.changes else found


def _by_name(models: Sequence[LoadedModel]) -> dict[str, list[LoadedModel]]:
    found: dict[str, list[LoadedModel]] = {}
    for model in models:
        found.setdefault(model.described.name, []).append(model)
    return found


def _tell_clash(name: str, models: Sequence[LoadedModel]) -> Iterator[PluginProblem]:
    for index, model in enumerate(models):
        others = [one.described.origin for one in (*models[:index], *models[index + 1 :])]
        yield PluginProblem(
            model.described.origin,
            f"{' and '.join(others)} {'offers' if len(others) == 1 else 'offer'} a net {name!r} "
            "too; rename all but one",
            name,
        )


def _list_files(folder: Path | None, found: LoadedPlugins) -> Iterator[_Plugin]:
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
            code = read_plugin_file(path)
        except UnreadableFile as unreadable:
            found.problems.append(PluginProblem(_clean(str(path)), str(unreadable)))
            continue
        uses = b"torchvision" in code
        yield _Plugin(str(path), identify_file(code), partial(_run_file, path, code), uses)


def _run_file(path: Path, code: bytes) -> Any:
    """The module of exactly these bytes, under a name of its own."""
    name = f"richregime_plugins.{path.stem}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    compiled = compile(code, str(path), "exec")
    exec(compiled, module.__dict__)  # noqa: S102 - the operator's own file  # nosec B102
    return module


def _list_packages() -> Iterator[_Plugin]:
    for entry in list_plugin_packages():
        yield _Plugin(*identify_package(entry), partial(_load_entry, entry), True)


def _load_entry(entry: EntryPoint) -> Any:
    """A module with MODELS, or one function under the entry point's name."""
    loaded = entry.load()
    return loaded if hasattr(loaded, "MODELS") else _OneModel({entry.name: loaded})


@dataclass(frozen=True, slots=True)
class _OneModel:
    MODELS: Mapping[str, Any]


def _read_models(plugin: _Plugin, module: Any) -> Iterator[LoadedModel | PluginProblem]:
    models = getattr(module, "MODELS", None)
    if not isinstance(models, Mapping) or not models:
        yield PluginProblem(
            plugin.origin,
            "has no MODELS; write for example MODELS = {'small': small}, where "
            "small(shape, num_classes) returns a torch.nn.Module",
        )
        return
    if len(models) > MAX_MODELS:
        yield PluginProblem(
            plugin.origin, f"MODELS holds {len(models):,} nets; at most {MAX_MODELS}"
        )
        return
    layers = getattr(module, "LAYERS", None)
    for name, function in models.items():
        try:
            yield _load_model(str(name), function, plugin, layers)
        except _Refused as refused:
            yield PluginProblem(plugin.origin, _clean(str(refused)), _clean(str(name)[:80]))


def _load_model(name: str, function: Any, plugin: _Plugin, layers: Any) -> LoadedModel:
    if not re.fullmatch("[a-z_][a-z0-9_]{0,63}", name):
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
        plugin.source,
        plugin.origin,
        _clean((inspect.getdoc(function) or "").partition("\n\n")[0][:MAX_DESCRIPTION]),
        tuple(_list_arguments(function)),
    )
    _check_fields(described)
    return LoadedModel(described, function, groups)


def _check_fields(described: PluginModel) -> None:
    """Refuses arguments that cannot be fields, and defaults that a field would not accept."""
    try:
        errors = described.find_wrong_defaults()
        text = json.dumps(described.schema(), allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, NameError, RecursionError, PydanticUserError) as error:
        raise _Refused(f"the arguments cannot be fields: {error}") from None
    if errors:
        raise _Refused(f"the default of the argument {errors[0]}")
    if "\\u0000" in text:
        raise _Refused("the arguments cannot be fields: a text holds the character 0")


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
    if tuple(one.name for one in parameters[:2]) != GIVEN or any(
        one.kind is one.KEYWORD_ONLY for one in parameters[:2]
    ):
        names = ", ".join(map(str, parameters))
        raise _Refused(f"the first two arguments must be shape and num_classes; it has ({names})")
    for one in parameters[2:]:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            stars = "*" if one.kind is one.VAR_POSITIONAL else "**"
            raise _Refused(f"{stars}{one.name} has no names; write each argument with its type")
        if one.kind is one.POSITIONAL_ONLY:
            raise _Refused(f"the argument {one.name} has no name for a caller; remove the `/`")
        if one.name not in hints:
            raise _Refused(
                f"the argument {one.name} has no type; write for example {one.name}: int = 32"
            )
        if (
            one.name in PluginSpec.model_fields
            or hasattr(PluginSpec, one.name)
            or (one.name.startswith("_"))
        ):
            raise _Refused(f"an argument cannot be called {one.name!r}; rename it")
        yield _describe_argument(one, hints[one.name])


def _describe_argument(parameter: inspect.Parameter, hint: Any) -> PluginArgument:
    is_required = parameter.default is inspect.Parameter.empty
    facts: dict[str, Any] = {}
    hint = _without_bounds(hint, parameter.name, facts)
    if get_origin(hint) in (Union, UnionType):
        inner = [one for one in get_args(hint) if one is not NoneType]
        facts["is_nullable"] = len(inner) < len(get_args(hint))
        hint = _without_bounds(inner[0] if len(inner) == 1 else hint, parameter.name, facts)
    if get_origin(hint) in (list, tuple):
        inner = [one for one in get_args(hint) if one is not Ellipsis]
        facts["is_list"] = True
        hint = inner[0] if all(one == inner[0] for one in inner) else hint
        hint = _without_bounds(hint, parameter.name, facts)
    if get_origin(hint) is Literal:
        facts["choices"] = get_args(hint)
        types = {type(one) for one in get_args(hint)}
        hint = types.pop() if len(types) == 1 else hint
    if not isinstance(hint, type) or hint not in _TYPE_NAMES:
        raise _Refused(
            f"the argument {parameter.name} has the type {hint!r}; it must be int, float, bool or "
            "str, a Literal or a list of them, or any of these | None"
        )
    default = None if is_required else parameter.default
    return PluginArgument(
        parameter.name, typing.cast(Any, _TYPE_NAMES[hint]), default, is_required, **facts
    )


def _without_bounds(hint: Any, name: str, facts: dict[str, Any]) -> Any:
    """The plain type of an `Annotated`; the bounds of its numbers are added to the facts."""
    if get_origin(hint) is not Annotated:
        return hint
    for extra in _flatten(hint.__metadata__):
        match extra:
            case Ge(ge=low):
                facts["minimum"] = float(typing.cast(Any, low))
            case Gt(gt=low):
                facts["above"] = float(typing.cast(Any, low))
            case Le(le=high):
                facts["maximum"] = float(typing.cast(Any, high))
            case Lt(lt=high):
                facts["below"] = float(typing.cast(Any, high))
            case BaseMetadata():
                raise _Refused(
                    f"the argument {name} has the bound {extra!r}; it must be Ge, Gt, Le or Lt"
                )
    return hint.__origin__


def _flatten(extras: Iterable[Any]) -> Iterator[Any]:
    for extra in extras:
        if isinstance(extra, FieldInfo):
            yield from extra.metadata
        elif isinstance(extra, GroupedMetadata):
            yield from extra
        else:
            yield extra


def tell(error: BaseException, origin: str) -> str:
    """The error's text and the plug-in's line that raised it."""
    if isinstance(error, SyntaxError) and error.filename == origin:
        return _clean(f"line {error.lineno}: {error.msg}")
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin
    ]
    place = f"line {frames[-1].lineno}: " if frames else ""
    return _clean(f"{place}{type(error).__name__}: {_text_of(error)[:300]}")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - the plug-in's own exception
        return f"(its text cannot be read: {type(second).__name__})"


def _clean(text: str) -> str:
    """The text with `?` for what cannot be stored: halves of characters, and the character 0."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()
