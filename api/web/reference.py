"""The API reference with an example of each call, generated from the OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

PATH_VALUES: Mapping[str, str] = {
    "experiment_id": "$EXPERIMENT",
    "worker": "$WORKER",
    "run_id": "$RUN",
    "artifact_id": "$ARTIFACT",
    "checkpoint_id": "$CHECKPOINT",
    "kind": "train",
    "ending": "png",
    "format": "tex",
    "report_format": "pdf",
}
NAMES: Mapping[str, str] = {
    "presets": "demo",
    "datasets": "digits",
    "models": "mlp",
    "plots": "learning_curve",
}
"""The example of `{name}`, by the path segment before it"""
QUERIES: Mapping[str, Mapping[str, str | Sequence[str]]] = {
    "GET /experiments": {"status": "succeeded", "limit": "20"},
    "GET /experiments/compare": {"id": ["$EXPERIMENT", "$ANOTHER"]},
    "GET /experiments/compare.{format}": {"id": ["$EXPERIMENT", "$ANOTHER"]},
    "DELETE /experiments/{experiment_id}": {"dry_run": "true"},
    "GET /experiments/{experiment_id}/metrics": {"names": "test_accuracy", "aggregate": "true"},
    "GET /experiments/{experiment_id}/difference": {"point": "1", "baseline": "0"},
    "GET /experiments/{experiment_id}/plots/{name}.{ending}": {"dpi": "200"},
    "GET /presets/{name}": {"scale": "quick"},
    "GET /models/{name}": {"dataset": "digits"},
    "POST /datasets": {"name": "mine"},
    "POST /datasets/preview": {"name": "another"},
    "DELETE /datasets/{name}": {"dry_run": "true"},
    "DELETE /checkpoints/{checkpoint_id}": {"dry_run": "true"},
    "POST /checkpoints": {"title": "mine"},
}
FILES: Mapping[str, str] = {
    "POST /datasets": "mine.npz",
    "POST /datasets/preview": "mine.npz",
    "POST /checkpoints": "theta.safetensors",
    "POST /import": "$EXPERIMENT.zip",
}
OUTPUTS: Mapping[str, str] = {
    "GET /experiments/{experiment_id}/export": "$EXPERIMENT.zip",
    "GET /experiments/{experiment_id}/report.{report_format}": "$EXPERIMENT-report.pdf",
    "GET /experiments/{experiment_id}/plots/{name}.{ending}": "learning_curve.png",
    "GET /experiments/compare.{format}": "compare.tex",
    "GET /experiments/{experiment_id}/result.{format}": "result.tex",
    "GET /experiments/{experiment_id}/comparison.{format}": "comparison.tex",
    "GET /artifacts/{artifact_id}": "theta_T.safetensors",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API."""

    tag: str
    method: str
    path: str
    """With the path parameters in braces"""
    text: str
    parameters: list[tuple[str, str, str]] = field(default_factory=list)
    """(name, location, description)"""
    body: Any = None
    """An example, if the call takes JSON"""

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def curl(self) -> str:
        """A command that sends the call; $URL, $EXPERIMENT, $RUN etc. are variables."""
        address = "$URL" + self._filled_path()
        if self.key in QUERIES:
            address += f"?{urlencode(QUERIES[self.key], doseq=True, safe='$')}"
        parts = ["curl -s", *([f"-X {self.method}"] if self.method in ("PATCH", "DELETE") else [])]
        if self.method == "POST" and self.body is None and self.key not in FILES:
            parts.append("-X POST")
        parts.append(f'"{address}"')
        if self.body is not None:
            parts.append(f"-H 'content-type: application/json' -d '{json.dumps(self.body)}'")
        if self.key in FILES:
            # curl's own default is the type of an HTML form, which is refused
            parts.append("-H 'content-type: application/octet-stream'")
            parts.append(f'--data-binary "@{FILES[self.key]}"')
        if self.key in OUTPUTS:
            parts.append(f'-o "{OUTPUTS[self.key]}"')
        return " ".join(parts)

    def _filled_path(self) -> str:
        noun = ""
        found = []
        for part in self.path.strip("/").split("/"):
            named = "mine" if self.key == "DELETE /datasets/{name}" else NAMES.get(noun, "")
            for name, value in {**PATH_VALUES, "name": named}.items():
                part = part.replace(f"{{{name}}}", value)
            found.append(part)
            noun = part
        return "/" + "/".join(found)


def list_calls(description: Mapping[str, Any]) -> Iterator[Call]:
    """Every call, in the order of the description."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield Call(
                tag=operation.get("tags", ["other"])[0],
                method=method.upper(),
                path=path,
                text=operation.get("description") or operation.get("summary", ""),
                parameters=[
                    (one["name"], one["in"], one.get("description", ""))
                    for one in operation.get("parameters", ())
                    if one["in"] != "path"
                ],
                body=_example_body(operation),
            )


def _example_body(operation: Mapping[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return next((one["value"] for one in content.get("examples", {}).values()), None)


def reference_markdown(description: Mapping[str, Any]) -> str:
    """The page as Markdown: a section for each call with its parameters and an example."""
    parts = [
        "# API reference",
        "Generated from the API's OpenAPI description. In the examples `$URL` is the service's "
        "address (`http://127.0.0.1:8000`); `$EXPERIMENT`, `$RUN`, `$ARTIFACT`, `$CHECKPOINT` "
        "and `$WORKER` are ids. Every error is a problem: see [Errors](errors.md).",
    ]
    tag = None
    for call in list_calls(description):
        if call.tag != tag:
            tag = call.tag
            parts.append(f"## {tag[:1].upper()}{tag[1:]}")
        parts += [f"### `{call.method} {call.path}`", call.text]
        if call.parameters:
            rows = [
                f"| `{name}` | {location} | {_cell(text)} |"
                for name, location, text in call.parameters
            ]
            parts.append("\n".join(["| parameter | in | description |", "|---|---|---|", *rows]))
        parts.append(f"```sh\n{call.curl}\n```")
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
