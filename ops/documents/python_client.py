"""The reference of the Python client, from the docstrings and signatures of `richregime`."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

import richregime
from richregime import Client, ClientError
from richregime.calls import SubmitOptions
from richregime.resource import Resource

HEAD = """# Python client

```python
from richregime import Client

with Client("http://127.0.0.1:8000") as client:
    experiment = client.submit({"kind": "train", "epochs": 5}, seeds=[0, 1, 2])
    client.wait(experiment.id)
    for point in client.result(experiment.id).points:
        print(point.point, point.test_accuracy.mean)
```

Install it with `pip install ./client` from a checkout; it needs no other part of the service.
`Client` blocks. `AsyncClient` has the same methods as coroutines, and async iterators where
`Client` has iterators. This page is generated from the docstrings by `python -m ops.documents`.

"""
SECTION = re.compile(r"^    # ([A-Z][\w ,]+)$|^    def (\w+)\(", re.MULTILINE)
"""The headings between the client's methods, and the methods."""
PREFIXES: Mapping[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
WIDTH = 88


def python_client_markdown() -> str:
    """Every public method, error and class of the client."""
    parts = [HEAD + _describe_class(Client, "Client")]
    for section, names in _sections():
        parts.append(f"## {section}")
        parts += [_describe_method(getattr(Client, name)) for name in names]
        if "submit" in names:
            parts.append(_describe_options())
    parts.append("## Errors\n\n" + _describe_errors())
    models = [one for one in _exported() if issubclass(one, BaseModel)]
    others = [
        one
        for one in _exported()
        if not issubclass(one, BaseModel | BaseException) and not one.__name__.endswith("Client")
    ]
    if models or others:
        parts.append("## Classes of responses")
        parts += [_describe_class(one, one.__name__, level=3) for one in others]
        parts += [_describe_model(one) for one in models]
    return "\n\n".join(parts) + "\n"


def _exported() -> list[type]:
    found = [getattr(richregime, name) for name in richregime.__all__]
    return [one for one in found if isinstance(one, type)]


def _sections() -> Iterator[tuple[str, list[str]]]:
    """(heading, names of the public methods below it), in the order of the source."""
    heading = "Connection"
    names: list[str] = []
    for section, name in SECTION.findall(inspect.getsource(Client)):
        if section:
            if names:
                yield heading, names
            heading, names = section, []
        elif not name.startswith("_") and name not in names:  # an overloaded method once
            names += [name] if inspect.isfunction(getattr(Client, name)) else []
    if names:
        yield heading, names


def _describe_class(one: type, name: str, level: int = 2) -> str:
    signature = _format_call(name, inspect.signature(one))
    parts = [f"{'#' * level} `{name}`", f"```text\n{signature}\n```", _wrap(_text_of(one))]
    if level > 2:
        methods = [
            method
            for key, method in vars(one).items()
            if not key.startswith("_") and inspect.isfunction(method)
        ]
        parts += [
            _wrap(f"`.{_format_call(one.__name__, inspect.signature(one))}`: {_text_of(one)}")
            for one in methods
        ]
    return "\n\n".join(part for part in parts if part)


def _describe_method(method: Any) -> str:
    call = _format_call(method.__name__, inspect.signature(method), is_method=True)
    text = _wrap(_text_of(method))
    return f"### `{method.__name__}`\n\n```text\n{call}\n```" + (f"\n\n{text}" if text else "")


def _describe_options() -> str:
    rows = [
        f"| `{name}` | `{_escape(_plain(kind))}` |"
        for name, kind in SubmitOptions.__annotations__.items()
    ]
    text = "Options of `submit` and `preview`:\n\n| option | type |\n|---|---|\n"
    return text + "\n".join(rows)


def _describe_errors() -> str:
    errors = [one for one in _exported() if issubclass(one, ClientError)]
    rows = [f"| `{one.__name__}` | {_text_of(one)} |" for one in errors]
    return "| error | meaning |\n|---|---|\n" + "\n".join(rows)


def _describe_model(model: type[BaseModel]) -> str:
    described = _field_texts(model)
    texts = {name: described.get(name) for name in model.model_fields}
    rows = [
        f"| `{name}` | `{_escape(_type_of_field(model, name))}` |"
        + (f" {' '.join((text or '').split())} |" if any(texts.values()) else "")
        for name, text in texts.items()
    ]
    head = "| field | type |\n|---|---|\n"
    if any(texts.values()):
        head = "| field | type | meaning |\n|---|---|---|\n"
    own = _wrap(_text_of(model)) if "__doc__" in vars(model) and model.__doc__ else ""
    return "\n\n".join(
        part for part in (f"### `{model.__name__}`", own, head + "\n".join(rows)) if part
    )


def _field_texts(model: type[BaseModel]) -> dict[str, str]:
    """The docstrings of a model's fields, from its source and that of its bases."""
    bases = [one for one in model.__mro__ if issubclass(one, Resource) and one is not Resource]
    found: dict[str, str] = {}
    for base in reversed(bases):
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name)
                found[field.target.id] = ast.literal_eval(text.value)
    return found


def _type_of_field(model: type[BaseModel], name: str) -> str:
    """The annotation as the source has it."""
    found = [vars(base).get("__annotations__", {}).get(name) for base in model.__mro__]
    return _plain(next(one for one in found if one is not None))


def _escape(text: str) -> str:
    """For a cell of a table."""
    return text.replace("|", "\\|")


def _format_call(name: str, signature: inspect.Signature, *, is_method: bool = False) -> str:
    """`name(a, b: int = 1) -> Result`, one parameter per line if it would be too long."""
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    shown = [*_format_parameters(parameters)]
    result = signature.return_annotation
    arrow = f" -> {_plain(result)}" if result is not inspect.Signature.empty and result else ""
    line = f"{name}({', '.join(shown)}){arrow}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){arrow}"


def _format_parameters(parameters: list[inspect.Parameter]) -> Iterator[str]:
    has_star = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not has_star:
            has_star = True
            yield "*"
        prefix = PREFIXES.get(one.kind, "")
        has_star = has_star or one.kind is one.VAR_POSITIONAL
        kind = "" if one.annotation is one.empty else f": {_plain(one.annotation)}"
        default = "" if one.default is one.empty else f" = {one.default!r}"
        yield f"{prefix}{one.name}{kind}{default}"


def _plain(annotation: Any) -> str:
    """An annotation without the modules of its names."""
    annotation = getattr(annotation, "__forward_arg__", annotation)
    text = (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
    )
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text).replace("Json", "dict[str, Any]")


def _wrap(text: str) -> str:
    return "\n\n".join(
        textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)
        for paragraph in text.split("\n\n")
    )


def _text_of(one: Any) -> str:
    """Its docstring, a paragraph a line."""
    paragraphs = (inspect.getdoc(one) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
