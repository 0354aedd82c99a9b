"""The fields of a spec's model: left-out tags are filled in, unknown fields get a suggestion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

TAG = "name"
"""The field that tells which variant of a part is meant, e.g. which optimiser"""

UNKNOWN = "there is no such field here"
"""The pointer of the error names the field"""
MAX_LETTERS = 80
"""Of an unknown name, as finding a similar one takes time"""


def complete_tags(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data, where each part that leaves its tag out has the tag of the field's default.

    So `{"optimizer": {"lr": 0.003}}` is the default optimiser with another step size.
    """
    completed = dict(data)
    for name, field in model.model_fields.items():
        value, tag = data.get(name), getattr(field.default, TAG, None)
        if isinstance(field.default, BaseModel) and tag and isinstance(value, Mapping):
            completed[name] = {TAG: tag, **value}
    return completed


def explain_unknown(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """What to write instead of a field that a model does not have.

    location: of the field, as pydantic tells it, with the tags of unions.
    """
    *parents, name = location
    known = list(_fields_at(model, parents))
    near = get_close_matches(str(name)[:MAX_LETTERS], known, n=1) or [
        path for path in _paths_below(model) if not parents and path.endswith(f".{name}")
    ]
    if near:
        return f"{UNKNOWN}; did you mean `{near[0]}`?"
    return f"{UNKNOWN}; known: {', '.join(known) or 'none'}"


def suggest_path(path: str, known: Sequence[str]) -> str:
    """The known path that looks like `path`, else all of them, as the end of a sentence."""
    last = path.rpartition(".")[2]
    near = [one for one in known if one.rpartition(".")[2] == last]
    near = near or get_close_matches(path, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"


def _fields_at(model: type[BaseModel], parents: Sequence[int | str]) -> Iterator[str]:
    models = [model]
    for part in parents:
        inner = [
            found
            for one in models
            if part in one.model_fields
            for found in _models_in(one.model_fields[str(part)].annotation)
        ]
        models = inner or [one for one in models if _is_tagged(one, part)] or models
    yield from dict.fromkeys(name for one in models for name in one.model_fields)


def _is_tagged(model: type[BaseModel], part: int | str) -> bool:
    tag = model.model_fields.get(TAG)
    return part in (model.__name__, tag and tag.default)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _paths_below(model: type[BaseModel]) -> list[str]:
    """The fields of the default parts, e.g. `optimizer.lr`."""
    return [
        f"{name}.{inner}"
        for name, field in model.model_fields.items()
        if isinstance(field.default, BaseModel)
        for inner in type(field.default).model_fields
    ]


def list_paths(model: type[BaseModel]) -> list[str]:
    """Every dotted path of the model's fields, with those of all variants of its parts."""
    return list(dict.fromkeys(_walk_paths(model)))


def _walk_paths(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for part in _models_in(field.annotation):
            yield from (f"{name}.{inner}" for inner in _walk_paths(part))
