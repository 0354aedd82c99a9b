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
    known = list(
        dict.fromkeys(name for one in _models_at(model, parents) for name in one.model_fields)
    )
    near = get_close_matches(str(name)[:MAX_LETTERS], known, n=1) or [
        path for path in _paths_below(model) if not parents and path.endswith(f".{name}")
    ]
    if near:
        return f"{UNKNOWN}; did you mean `{near[0]}`?"
    return f"{UNKNOWN}; known: {', '.join(known) or 'none'}"


def explain_type(error: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    """What a value must be instead, in JSON's words; other errors keep their message.

    error: of pydantic. model: the model that was validated.
    """
    match error["type"]:
        case "tuple_type" | "list_type":
            return "must be a list"
        case "dict_type":
            return "must be an object"
        case "model_type" | "model_attributes_type":
            variants = [] if model is None else _models_at(model, error["loc"])
            tags = [tag for one in variants if isinstance(tag := _tag_of(one), str)]
            if not tags:
                return "must be an object"
            tag = error["input"] if error["input"] in tags else tags[0]
            example = f'must be an object like {{"{TAG}": "{tag}"}}'
            return f"{example}; names: {', '.join(tags)}" if tags[1:] else example
        case "union_tag_invalid":
            tags = error["ctx"]["expected_tags"].replace("'", "").split(", ")
            name = str(error["ctx"]["tag"])[:MAX_LETTERS]
            return f"there is no {error['loc'][-1]} {name!r}; {suggest_path(name, tags)}"
    return str(error["msg"]).removeprefix("Value error, ")


def suggest_path(path: str, known: Sequence[str]) -> str:
    """The known path that looks like `path`, else all of them, as the end of a sentence."""
    last = path.rpartition(".")[2]
    near = [one for one in known if one.rpartition(".")[2] == last]
    near = near or get_close_matches(path, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"


def _models_at(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """The models that the value may be of."""
    models = [model]
    for part in location:
        inner = [
            found
            for one in models
            if part in one.model_fields
            for found in _models_in(one.model_fields[str(part)].annotation)
        ]
        models = inner or [one for one in models if _is_tagged(one, part)] or models
    return models


def _tag_of(model: type[BaseModel]) -> Any:
    tag = model.model_fields.get(TAG)
    return tag and tag.default


def _is_tagged(model: type[BaseModel], part: int | str) -> bool:
    return part in (model.__name__, _tag_of(model))


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
