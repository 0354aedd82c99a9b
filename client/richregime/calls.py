"""What each operation of the API asks and how its answer is read; both clients send these, so neither repeats it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from httpx_retries import Retry
from pydantic import TypeAdapter, ValidationError

from engine.spec import Execution
from richregime.answers import Metrics, Result
from richregime.errors import UnexpectedAnswer, error_of
from schemas.audit import AuditEntry
from schemas.base import Page
from schemas.events import Event
from schemas.resources import (
    Artifact,
    Checkpoint,
    Dataset,
    Deletion,
    Experiment,
    QueueState,
    Run,
    Storage,
    Weights,
    Worker,
)
from schemas.status import ExperimentStatus
from schemas.submission import Preview

Answer = TypeVar("Answer")
Other = TypeVar("Other")
Json = dict[str, Any]

RETRIED_STATUSES = (429, 502, 503, 504)
LONGEST_WAIT_SECONDS = 60.0
"""Before a call is sent again; a rate is counted by the minute"""
KEYED_STATUSES = (*RETRIED_STATUSES, 409)
"""With an Idempotency-Key, 409 says that the first sending is still being answered."""


class SubmitOptions(TypedDict, total=False):
    """What may stand beside the spec in a submission; see `schemas.submission.Submission`."""

    sweep: Mapping[str, Sequence[Any]]
    seeds: Sequence[int]
    execution: Execution | Mapping[str, Any]
    name: str
    labels: Mapping[str, str]
    priority: int
    max_seconds: int
    keep: str
    reuse: bool
    webhook: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request and the reading of its answer."""

    method: str
    path: str
    parse: Callable[[httpx.Response], Answer]
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_safe_to_repeat(self) -> bool:
        return self.method == "GET" or "Idempotency-Key" in self.headers

    def request_arguments(self, max_retries: int) -> Json:
        """Arguments for httpx's `build_request`. A call that is safe to repeat is retried, and any that was refused for
        its rate, of which nothing was done; `Retry-After` is waited for."""
        statuses = KEYED_STATUSES if "Idempotency-Key" in self.headers else RETRIED_STATUSES
        retry = Retry(
            total=max_retries,
            allowed_methods=[self.method],
            status_forcelist=statuses if self.is_safe_to_repeat else (429,),
            retry_on_exceptions=None if self.is_safe_to_repeat else (),
            backoff_factor=0.3,
            max_backoff_wait=LONGEST_WAIT_SECONDS,
        )
        arguments: Json = {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.params.items() if value is not None},
            "headers": dict(self.headers),
            "extensions": {"retry": retry},
        }
        if self.json is not None:
            arguments["json"] = self.json
        if self.content is not None:
            arguments["content"] = self.content
        return arguments

    def read(self, response: httpx.Response) -> Answer:
        """The answer, or the error that it stands for."""
        if response.is_error:
            raise error_of(response)
        try:
            return self.parse(response)
        except (ValidationError, ValueError) as error:
            raise UnexpectedAnswer(f"{self.method} {response.request.url}: {error}") from error

    def at(self, cursor: str) -> Call[Answer]:
        """The same list, from `cursor` on."""
        return replace(self, params={**self.params, "cursor": cursor})


def _typed(answer: type[Other]) -> Callable[[httpx.Response], Other]:
    adapter: TypeAdapter[Other] = TypeAdapter(answer)
    return lambda response: adapter.validate_json(response.content)


def _object(response: httpx.Response) -> Json:
    value = response.json()
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object")
    return value


def _bytes(response: httpx.Response) -> bytes:
    return response.content


def _text(response: httpx.Response) -> str:
    return response.text


def _part(name: str) -> str:
    """One segment of a path, whatever the caller passed."""
    return quote(name, safe="")


def submission_body(spec: Mapping[str, Any], options: SubmitOptions) -> Json:
    """The body of a submission. `spec` is a spec, or a whole body (it then holds `spec`), which options override."""
    body: Json = dict(spec) if "spec" in spec else {"spec": dict(spec)}
    body.update(options)
    if isinstance(body.get("execution"), Execution):
        body["execution"] = body["execution"].model_dump(mode="json")
    return {name: list(value) if name == "seeds" else value for name, value in body.items()}


def submit(
    spec: Mapping[str, Any], options: SubmitOptions, idempotency_key: str | None = None
) -> Call[Experiment]:
    key = idempotency_key or uuid.uuid4().hex
    body = submission_body(spec, options)
    return Call(
        "POST", "/experiments", _typed(Experiment), json=body, headers={"Idempotency-Key": key}
    )


def preview(spec: Mapping[str, Any], options: SubmitOptions) -> Call[Preview]:
    return Call(
        "POST", "/experiments/preview", _typed(Preview), json=submission_body(spec, options)
    )


def get_experiment(experiment_id: str) -> Call[Experiment]:
    return Call("GET", f"/experiments/{_part(experiment_id)}", _typed(Experiment))


def list_experiments(
    *,
    limit: int | None = None,
    cursor: str | None = None,
    kind: str | None = None,
    status: ExperimentStatus | str | None = None,
    label: str | None = None,
    name: str | None = None,
    containing: str | None = None,
) -> Call[Page[Experiment]]:
    params = {
        "limit": limit,
        "cursor": cursor,
        "kind": kind,
        "status": None if status is None else str(status),
        "label": label,
        "name": name,
        "q": containing,
    }
    return Call("GET", "/experiments", _typed(Page[Experiment]), params=params)


def update_experiment(experiment_id: str, changes: Mapping[str, Any]) -> Call[Experiment]:
    return Call(
        "PATCH", f"/experiments/{_part(experiment_id)}", _typed(Experiment), json=dict(changes)
    )


def cancel_experiment(experiment_id: str) -> Call[Experiment]:
    return Call("POST", f"/experiments/{_part(experiment_id)}/cancel", _typed(Experiment))


def retry_experiment(experiment_id: str) -> Call[Experiment]:
    return Call("POST", f"/experiments/{_part(experiment_id)}/retry", _typed(Experiment))


def extend_experiment(experiment_id: str, changes: Mapping[str, Any]) -> Call[Experiment]:
    return Call(
        "POST",
        f"/experiments/{_part(experiment_id)}/extend",
        _typed(Experiment),
        json=dict(changes),
    )


def delete_experiment(experiment_id: str, dry_run: bool) -> Call[Deletion]:
    params = {"dry_run": "true"} if dry_run else {}
    return Call("DELETE", f"/experiments/{_part(experiment_id)}", _typed(Deletion), params=params)


def list_runs(experiment_id: str) -> Call[Page[Run]]:
    return Call("GET", f"/experiments/{_part(experiment_id)}/runs", _typed(Page[Run]))


def get_run(run_id: str) -> Call[Run]:
    return Call("GET", f"/runs/{_part(run_id)}", _typed(Run))


def list_events(experiment_id: str, after: int = 0, limit: int | None = None) -> Call[Page[Event]]:
    params = {"after": after, "limit": limit}
    return Call(
        "GET", f"/experiments/{_part(experiment_id)}/events", _typed(Page[Event]), params=params
    )


def stream_events(experiment_id: str, after: int) -> Call[None]:
    headers = {
        "Accept": "text/event-stream",
        "Cache-Control": "no-store",
        "Last-Event-ID": str(after),
    }
    return Call(
        "GET", f"/experiments/{_part(experiment_id)}/events", lambda _: None, headers=headers
    )


def get_result(experiment_id: str) -> Call[Result]:
    return Call(
        "GET", f"/experiments/{_part(experiment_id)}/result", lambda answer: Result(_object(answer))
    )


def get_comparison(experiment_id: str) -> Call[Json]:
    return Call("GET", f"/experiments/{_part(experiment_id)}/comparison", _object)


def get_difference(experiment_id: str, point: int, baseline: int) -> Call[Json]:
    params = {"point": point, "baseline": baseline}
    return Call("GET", f"/experiments/{_part(experiment_id)}/difference", _object, params=params)


def get_metrics(
    experiment_id: str, names: Sequence[str], aggregate: bool, points: int | None
) -> Call[Metrics]:
    return Call(
        "GET",
        f"/experiments/{_part(experiment_id)}/metrics",
        lambda answer: Metrics(_object(answer)),
        params=_metric_params(names, aggregate, points),
    )


def get_metrics_csv(experiment_id: str, names: Sequence[str]) -> Call[str]:
    return Call(
        "GET",
        f"/experiments/{_part(experiment_id)}/metrics",
        _text,
        params=_metric_params(names, False, None),
        headers={"Accept": "text/csv"},
    )


def _metric_params(names: Sequence[str], aggregate: bool, points: int | None) -> Json:
    return {
        "names": list(names) or None,
        "aggregate": "true" if aggregate else None,
        "points": points,
    }


def list_plots(experiment_id: str) -> Call[Page[Json]]:
    return Call("GET", f"/experiments/{_part(experiment_id)}/plots", _typed(Page[Json]))


def get_plot(
    experiment_id: str, name: str, image_format: str, options: Mapping[str, Any]
) -> Call[bytes]:
    path = f"/experiments/{_part(experiment_id)}/plots/{_part(name)}.{_part(image_format)}"
    return Call("GET", path, _bytes, params=options)


def list_artifacts(run_id: str) -> Call[Page[Artifact]]:
    return Call("GET", f"/runs/{_part(run_id)}/artifacts", _typed(Page[Artifact]))


def list_checkpoints(run_id: str) -> Call[Page[Checkpoint]]:
    return Call("GET", f"/runs/{_part(run_id)}/checkpoints", _typed(Page[Checkpoint]))


def read_artifact(artifact_id: str, offset: int) -> Call[bytes]:
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    return Call("GET", f"/artifacts/{_part(artifact_id)}", _bytes, headers=headers)


def export_experiment(experiment_id: str, files: bool) -> Call[bytes]:
    params = {"files": "true"} if files else {}
    return Call("GET", f"/experiments/{_part(experiment_id)}/export", _bytes, params=params)


def import_experiment(archive: bytes) -> Call[Experiment]:
    headers = {"Content-Type": "application/zip"}
    return Call("POST", "/import", _typed(Experiment), content=archive, headers=headers)


def upload_checkpoint(data: bytes, title: str | None) -> Call[Weights]:
    headers = {"Content-Type": "application/octet-stream"}
    return Call(
        "POST",
        "/checkpoints",
        _typed(Weights),
        params={"title": title},
        content=data,
        headers=headers,
    )


def register_dataset(name: str, data: bytes, title: str | None) -> Call[Dataset]:
    headers = {"Content-Type": "application/octet-stream"}
    params = {"name": name, "title": title}
    return Call("POST", "/datasets", _typed(Dataset), params=params, content=data, headers=headers)


def list_described(noun: str) -> Call[Page[Json]]:
    """`kinds`, `presets` or `models`: what can be asked."""
    return Call("GET", f"/{noun}", _typed(Page[Json]))


def get_kind(name: str) -> Call[Json]:
    return Call("GET", f"/kinds/{_part(name)}", _object)


def get_preset(name: str, scale: str) -> Call[Json]:
    return Call("GET", f"/presets/{_part(name)}", _object, params={"scale": scale})


def list_datasets() -> Call[Page[Dataset]]:
    return Call("GET", "/datasets", _typed(Page[Dataset]))


def list_workers() -> Call[Page[Worker]]:
    return Call("GET", "/workers", _typed(Page[Worker]))


def get_queue() -> Call[QueueState]:
    return Call("GET", "/queue", _typed(QueueState))


def get_limits() -> Call[Json]:
    return Call("GET", "/limits", _object)


def list_audit(owner: str | None, action: str | None, target: str | None) -> Call[Page[AuditEntry]]:
    params = {"owner": owner, "action": action, "target": target}
    return Call("GET", "/audit", _typed(Page[AuditEntry]), params=params)


def get_storage() -> Call[Storage]:
    return Call("GET", "/storage", _typed(Storage))
