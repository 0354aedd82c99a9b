"""Each operation of the API as a value: its request, and how to parse the response.

Both clients send these, so that requests and parsing exist once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from httpx_retries import Retry
from pydantic import BaseModel, ValidationError

from richregime.enums import ExperimentStatus
from richregime.errors import ClientError, InvalidArgument, ProblemError, UnexpectedResponse
from richregime.resource import CountedPage, Page
from richregime.text_formats import ReportFormat
from richregime.types import (
    RESULTS,
    ActionReport,
    AggregatedMetrics,
    Artifact,
    AuditEntry,
    Checkpoint,
    Comparison,
    Dataset,
    DatasetPreview,
    Deletion,
    Event,
    Execution,
    Experiment,
    ExperimentComparison,
    FileDeletion,
    KindResource,
    Limits,
    Metrics,
    ModelResource,
    OwnClaim,
    Plot,
    PluginResource,
    PointDifference,
    PresetResource,
    Preview,
    Problem,
    QueueState,
    ReadingResource,
    Result,
    Run,
    Storage,
    Weights,
    Worker,
)

Parsed = TypeVar("Parsed", covariant=True)
Model = TypeVar("Model", bound=BaseModel)
Json = dict[str, Any]

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRIED_STATUSES = (429, 502, 503, 504)
MAX_RETRY_WAIT_SECONDS = 60.0
"""The service counts rates by the minute."""
KEYED_STATUSES = (*RETRIED_STATUSES, 409)
"""With an Idempotency-Key, 409 means that the first request is still in progress."""


class SubmitOptions(TypedDict, total=False):
    """The fields of a submission other than its spec."""

    sweep: Mapping[str, Sequence[Any]]
    seeds: Sequence[int] | Mapping[str, Any]
    claims: Sequence[Mapping[str, Any] | OwnClaim]
    execution: Execution | Mapping[str, Any]
    name: str
    labels: Mapping[str, str]
    priority: int
    max_seconds: int
    keep: str
    reuse: bool
    webhook: Mapping[str, str]


class Matching(TypedDict, total=False):
    """Filters of a list of experiments; every one that is given must match."""

    kind: str | None
    status: ExperimentStatus | str | None
    label: str | None
    """`key` or `key:value`"""
    name: str | None
    containing: str | None
    """Text in the name or the id"""


@dataclass(frozen=True, slots=True)
class Call(Generic[Parsed]):
    """One request, and how to parse its response."""

    method: str
    path: str
    parse: Callable[[httpx.Response], Parsed]
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    has_effects: bool = True
    """False for a POST that changes nothing"""

    @property
    def is_safe_to_repeat(self) -> bool:
        return self.method == "GET" or not self.has_effects or "Idempotency-Key" in self.headers

    def request(
        self, http: httpx.Client | httpx.AsyncClient, max_retries: int, **options: Any
    ) -> httpx.Request:
        """The request of httpx. Raises InvalidArgument.

        A call that is safe to repeat is retried. A call that was rejected for its rate is retried
        too, because the service did nothing. A `Retry-After` of the response is respected.
        """
        statuses = KEYED_STATUSES if "Idempotency-Key" in self.headers else RETRIED_STATUSES
        retry = Retry(
            total=max_retries,
            allowed_methods=[self.method],
            status_forcelist=statuses if self.is_safe_to_repeat else (429,),
            retry_on_exceptions=None if self.is_safe_to_repeat else (),
            backoff_factor=0.3,
            max_backoff_wait=MAX_RETRY_WAIT_SECONDS,
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
        try:
            return http.build_request(**arguments, **options)
        except (TypeError, ValueError, httpx.InvalidURL) as error:
            raise InvalidArgument(
                f"{self.method} {self.path[:100]!a} cannot be sent: {error}"
            ) from error

    def read(self, response: httpx.Response) -> Parsed:
        """The parsed response. Raises ProblemError or UnexpectedResponse."""
        if response.is_error:
            raise error_of(response)
        try:
            return self.parse(response)
        except (ValidationError, ValueError) as error:
            raise UnexpectedResponse(f"{self.method} {response.request.url}: {error}") from error

    def at(self, cursor: str) -> Call[Parsed]:
        """The same list, from `cursor` on."""
        return replace(self, params={**self.params, "cursor": cursor})


def error_of(response: httpx.Response) -> ClientError:
    """The error of a 4xx or 5xx response, whose body must have been read."""
    if response.headers.get("content-type", "").startswith(PROBLEM_MEDIA_TYPE):
        try:
            return ProblemError(Problem.model_validate_json(response.content))
        except ValidationError:
            pass
    return UnexpectedResponse(
        f"{response.request.method} {response.request.url} returned {response.status_code} "
        f"without a problem that this client can read: {response.text[:200]!r}"
    )


def _typed(model: type[Model]) -> Callable[[httpx.Response], Model]:
    return lambda response: model.model_validate_json(response.content)


def _result(response: httpx.Response) -> Result:
    """The result as the class of its kind; of an unknown kind, as `Result`."""
    data = _json_object(response)
    return RESULTS.get(data.get("kind", ""), Result).model_validate(data)


def _json_object(response: httpx.Response) -> Json:
    data = response.json()
    if not isinstance(data, dict):
        raise ValueError("the response is not a JSON object")
    return data


def _bytes(response: httpx.Response) -> bytes:
    return response.content


def _text(response: httpx.Response) -> str:
    return response.text


def _part(name: str) -> str:
    """The name as one segment of a path. Raises InvalidArgument for what cannot be one."""
    if name in ("", ".", ".."):
        raise InvalidArgument(f"{name!r} is neither an id nor a name")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise InvalidArgument(f"{name!a} is not text that can be sent") from None


def submission_body(spec: Mapping[str, Any] | BaseModel, options: SubmitOptions) -> Json:
    """The body of a submission.

    `spec` is a spec, or a whole body that contains `spec`. Options override the fields of a body.
    """
    given = _to_json(spec)
    body: Json = given if "spec" in given else {"spec": given}
    body.update(_to_json(options))
    return body


def _to_json(value: Any) -> Any:
    """A value as plain JSON types; pydantic models are dumped."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _to_json(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(inner) for inner in value]
    return value


def submit(
    spec: Mapping[str, Any] | BaseModel, options: SubmitOptions, idempotency_key: str | None = None
) -> Call[Experiment]:
    key = idempotency_key or uuid.uuid4().hex
    body = submission_body(spec, options)
    return Call(
        "POST", "/experiments", _typed(Experiment), json=body, headers={"Idempotency-Key": key}
    )


def preview(spec: Mapping[str, Any] | BaseModel, options: SubmitOptions) -> Call[Preview]:
    body = submission_body(spec, options)
    return Call("POST", "/experiments/preview", _typed(Preview), json=body, has_effects=False)


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
    ids: Sequence[str] | None = None,
    sort: str | None = None,
    fields: Sequence[str] | None = None,
    group: str | None = None,
) -> Call[CountedPage[Experiment]]:
    params = {
        "limit": limit,
        "cursor": cursor,
        "kind": kind,
        "status": None if status is None else str(status),
        "label": label,
        "name": name,
        "q": containing,
        "id": None if ids is None else list(ids),
        "sort": sort,
        "fields": None if fields is None else list(fields),
        "group": group,
    }
    return Call("GET", "/experiments", _typed(CountedPage[Experiment]), params=params)


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


def cancel_experiments(
    ids: Sequence[str] | None, matching: Matching, dry_run: bool
) -> Call[ActionReport]:
    body = _selection(ids, matching, dry_run)
    parse = _typed(ActionReport)
    return Call("POST", "/experiments/cancel", parse, json=body, has_effects=not dry_run)


def retry_experiments(
    ids: Sequence[str] | None, matching: Matching, dry_run: bool
) -> Call[ActionReport]:
    body = _selection(ids, matching, dry_run)
    parse = _typed(ActionReport)
    return Call("POST", "/experiments/retry", parse, json=body, has_effects=not dry_run)


def delete_experiments(
    ids: Sequence[str] | None, matching: Matching, dry_run: bool
) -> Call[ActionReport]:
    body = _selection(ids, matching, dry_run)
    parse = _typed(ActionReport)
    return Call("POST", "/experiments/delete", parse, json=body, has_effects=not dry_run)


def label_experiments(
    labels: Mapping[str, str | None],
    ids: Sequence[str] | None,
    matching: Matching,
    dry_run: bool,
) -> Call[ActionReport]:
    body = {**_selection(ids, matching, dry_run), "labels": dict(labels)}
    parse = _typed(ActionReport)
    return Call("POST", "/experiments/label", parse, json=body, has_effects=not dry_run)


def _selection(ids: Sequence[str] | None, matching: Matching, dry_run: bool) -> Json:
    """The part of an action's body that says which experiments are meant."""
    body: Json = {"dry_run": dry_run}
    filters = {
        "q" if name == "containing" else name: str(value)
        for name, value in dict[str, Any](matching).items()
        if value is not None
    }
    if ids is not None:
        body["ids"] = list(ids)
    if filters or ids is None:
        body["filter"] = filters
    return body


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
    return Call("GET", f"/experiments/{_part(experiment_id)}/result", _result)


def get_comparison(experiment_id: str) -> Call[Comparison]:
    return Call("GET", f"/experiments/{_part(experiment_id)}/comparison", _typed(Comparison))


def write_result(experiment_id: str, ending: str, at: str | int | None) -> Call[str]:
    path = f"/experiments/{_part(experiment_id)}/result.{_part(ending)}"
    return Call("GET", path, _text, params={"at": at})


def write_comparison(experiment_id: str, ending: str, table: str) -> Call[str]:
    path = f"/experiments/{_part(experiment_id)}/comparison.{_part(ending)}"
    return Call("GET", path, _text, params={"table": table})


def write_differences(
    experiment_ids: Sequence[str],
    ending: str,
    quantity: str | None,
    table: str,
) -> Call[str]:
    params = {"id": list(experiment_ids), "quantity": quantity, "table": table}
    return Call("GET", f"/experiments/compare.{_part(ending)}", _text, params=params)


def get_difference(experiment_id: str, point: int, baseline: int) -> Call[PointDifference]:
    path = f"/experiments/{_part(experiment_id)}/difference"
    params = {"point": point, "baseline": baseline}
    return Call("GET", path, _typed(PointDifference), params=params)


def compare_experiments(
    experiment_ids: Sequence[str], quantity: str | None
) -> Call[ExperimentComparison]:
    params = {"id": list(experiment_ids), "quantity": quantity}
    return Call("GET", "/experiments/compare", _typed(ExperimentComparison), params=params)


def get_metrics(
    experiment_id: str, names: Sequence[str], aggregate: bool, points: int | None
) -> Call[Metrics | AggregatedMetrics]:
    return Call(
        "GET",
        f"/experiments/{_part(experiment_id)}/metrics",
        _typed(AggregatedMetrics) if aggregate else _typed(Metrics),
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


def list_plots(experiment_id: str) -> Call[Page[Plot]]:
    return Call("GET", f"/experiments/{_part(experiment_id)}/plots", _typed(Page[Plot]))


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


def write_report(
    experiment_id: str, others: Sequence[str], report_format: ReportFormat
) -> Call[bytes]:
    path = f"/experiments/{_part(experiment_id)}/report.{report_format}"
    return Call("GET", path, _bytes, params={"also": [*others]} if others else {})


def import_experiment(data: bytes) -> Call[Experiment]:
    headers = {"Content-Type": "application/zip"}
    return Call("POST", "/import", _typed(Experiment), content=data, headers=headers)


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


def import_dataset(name: str, data: bytes, choices: Mapping[str, Any]) -> Call[Dataset]:
    headers = {"Content-Type": "application/octet-stream"}
    params = {"name": name, **choices}
    return Call("POST", "/datasets", _typed(Dataset), params=params, content=data, headers=headers)


def preview_dataset(name: str, data: bytes, choices: Mapping[str, Any]) -> Call[DatasetPreview]:
    headers = {"Content-Type": "application/octet-stream"}
    return Call(
        "POST",
        "/datasets/preview",
        _typed(DatasetPreview),
        params={"name": name, **choices},
        content=data,
        headers=headers,
    )


def list_uploaded_checkpoints() -> Call[Page[Weights]]:
    return Call("GET", "/checkpoints", _typed(Page[Weights]))


def delete_dataset(name: str, dry_run: bool) -> Call[FileDeletion]:
    params = {"dry_run": "true"} if dry_run else {}
    return Call("DELETE", f"/datasets/{_part(name)}", _typed(FileDeletion), params=params)


def delete_checkpoint(checkpoint_id: str, dry_run: bool) -> Call[FileDeletion]:
    params = {"dry_run": "true"} if dry_run else {}
    path = f"/checkpoints/{_part(checkpoint_id)}"
    return Call("DELETE", path, _typed(FileDeletion), params=params)


def list_kinds() -> Call[Page[KindResource]]:
    return Call("GET", "/kinds", _typed(Page[KindResource]))


def get_kind(name: str) -> Call[KindResource]:
    return Call("GET", f"/kinds/{_part(name)}", _typed(KindResource))


def list_presets() -> Call[Page[PresetResource]]:
    return Call("GET", "/presets", _typed(Page[PresetResource]))


def get_preset(name: str, scale: str, reading: str | None) -> Call[PresetResource]:
    params = {"scale": scale} | ({"reading": reading} if reading else {})
    return Call("GET", f"/presets/{_part(name)}", _typed(PresetResource), params=params)


def list_readings() -> Call[Page[ReadingResource]]:
    return Call("GET", "/readings", _typed(Page[ReadingResource]))


def list_models() -> Call[Page[ModelResource]]:
    return Call("GET", "/models", _typed(Page[ModelResource]))


def get_model(name: str, dataset: str, fields: Mapping[str, Any]) -> Call[ModelResource]:
    params = {"dataset": dataset, "fields": json.dumps(fields)}
    return Call("GET", f"/models/{_part(name)}", _typed(ModelResource), params=params)


def list_plugins() -> Call[Page[PluginResource]]:
    return Call("GET", "/plugins", _typed(Page[PluginResource]))


def list_datasets() -> Call[Page[Dataset]]:
    return Call("GET", "/datasets", _typed(Page[Dataset]))


def list_workers() -> Call[Page[Worker]]:
    return Call("GET", "/workers", _typed(Page[Worker]))


def cordon_worker(worker: str, hand_back: bool) -> Call[Page[Worker]]:
    path = f"/workers/{_part(worker)}/cordon"
    return Call("POST", path, _typed(Page[Worker]), params={"hand_back": hand_back})


def uncordon_worker(worker: str) -> Call[Page[Worker]]:
    return Call("POST", f"/workers/{_part(worker)}/uncordon", _typed(Page[Worker]))


def get_queue() -> Call[QueueState]:
    return Call("GET", "/queue", _typed(QueueState))


def get_schema() -> Call[Json]:
    return Call("GET", "/schemas/submission.json", _json_object)


def read_guide(page: str | None) -> Call[str]:
    path = "/llms.txt"
    if page is not None:
        path = f"/guide/{'/'.join(_part(part) for part in page.split('/'))}.md"
    return Call("GET", path, _text)


def get_limits() -> Call[Limits]:
    return Call("GET", "/limits", _typed(Limits))


def list_audit(owner: str | None, action: str | None, target: str | None) -> Call[Page[AuditEntry]]:
    params = {"owner": owner, "action": action, "target": target}
    return Call("GET", "/audit", _typed(Page[AuditEntry]), params=params)


def get_storage() -> Call[Storage]:
    return Call("GET", "/storage", _typed(Storage))
