"""The blocking client: one line an operation; what is asked and how it is read stands in `richregime.calls`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_retries import RetryTransport
from httpx_sse import EventSource

from richregime import calls
from richregime.answers import Metrics, Result
from richregime.connection import MAX_RETRIES, connection_arguments
from richregime.downloads import MAX_CONNECTIONS, Download
from richregime.errors import ServiceUnreachable, error_of
from richregime.event_following import Following
from richregime.exporting import ExportSource, TableFormat, find_writer
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
Item = TypeVar("Item")


class Client:
    """Submits, follows and fetches experiments; blocks while it does.

    `url` is the service's address; without one, RICHREGIME_URL, or http://127.0.0.1:8000. `key` is the API key, where
    the service asks for one; without it, RICHREGIME_KEY. `timeout` is in seconds for one answer. A call that is safe to repeat is retried, and a submission always is: it carries an Idempotency-Key.
    Raises the errors of `richregime.errors`. Use it as a context manager, or close it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = MAX_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._max_retries = max_retries
        self._http = httpx.Client(
            transport=RetryTransport(transport or httpx.HTTPTransport()),
            **connection_arguments(url, key, timeout),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def send(self, call: calls.Call[Answer]) -> Answer:
        """Send one call and read its answer."""
        request = self._http.build_request(**call.request_arguments(self._max_retries))
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            raise ServiceUnreachable(self.url, error) from error
        return call.read(response)

    def send_all(self, call: calls.Call[Page[Item]]) -> Iterator[Item]:
        """Every item of a list, page by page as they are asked for."""
        while True:
            page = self.send(call)
            yield from page.items
            if page.next_cursor is None:
                return
            call = call.at(page.next_cursor)

    # Submitting

    def submit(
        self,
        spec: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[calls.SubmitOptions],
    ) -> Experiment:
        """Submit a spec (or a whole body, such as a preset's), swept and repeated as the options say.

        Sending the same key and body again answers the same experiment.
        """
        return self.send(calls.submit(spec, options, idempotency_key))

    def preview(self, spec: Mapping[str, Any], **options: Unpack[calls.SubmitOptions]) -> Preview:
        """What that submission would do and cost; nothing is started."""
        return self.send(calls.preview(spec, options))

    # Experiments

    def get(self, experiment_id: str) -> Experiment:
        return self.send(calls.get_experiment(experiment_id))

    def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        kind: str | None = None,
        status: ExperimentStatus | str | None = None,
        label: str | None = None,
        name: str | None = None,
        containing: str | None = None,
    ) -> Page[Experiment]:
        """One page of experiments, newest first; `containing`: text in the name or id."""
        return self.send(
            calls.list_experiments(
                limit=limit,
                cursor=cursor,
                kind=kind,
                status=status,
                label=label,
                name=name,
                containing=containing,
            )
        )

    def iterate(
        self,
        *,
        kind: str | None = None,
        status: ExperimentStatus | str | None = None,
        label: str | None = None,
        name: str | None = None,
    ) -> Iterator[Experiment]:
        """All experiments, newest first."""
        return self.send_all(
            calls.list_experiments(limit=200, kind=kind, status=status, label=label, name=name)
        )

    def update(self, experiment_id: str, **changes: Any) -> Experiment:
        """Change `name`, `labels` or `priority`."""
        return self.send(calls.update_experiment(experiment_id, changes))

    def cancel(self, experiment_id: str) -> Experiment:
        """End an experiment; what it has logged so far is kept."""
        return self.send(calls.cancel_experiment(experiment_id))

    def retry(self, experiment_id: str) -> Experiment:
        """Queue an experiment's failed runs again."""
        return self.send(calls.retry_experiment(experiment_id))

    def extend(self, experiment_id: str, **changes: Any) -> Experiment:
        """Add `seeds`, or `sweep` values; only what is missing is run."""
        return self.send(calls.extend_experiment(experiment_id, changes))

    def delete(self, experiment_id: str, *, dry_run: bool = False) -> Deletion:
        """Remove a terminal experiment and its files; `dry_run` only tells the bytes."""
        return self.send(calls.delete_experiment(experiment_id, dry_run))

    # Following

    def events(
        self, experiment_id: str, *, after: int = 0, timeout: float | None = None
    ) -> Iterator[Event]:
        """Each event as it happens, each once and in order, until the experiment has ended.

        Goes on where it was after a broken connection. Raises WaitTimeout after `timeout` seconds.
        """
        following = Following(experiment_id, after, timeout)
        while not following.ended:
            try:
                yield from self._stream(following)
            except httpx.TransportError as error:
                broken = ServiceUnreachable(self.url, error)
                time.sleep(following.pause_after_break(broken))

    def wait(
        self,
        experiment_id: str,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Experiment:
        """Wait until the experiment has ended, whatever its end; read `status` of what comes back.

        Raises WaitTimeout after `timeout` seconds.
        """
        for event in self.events(experiment_id, timeout=timeout):
            if on_event is not None:
                on_event(event)
        return self.get(experiment_id)

    def _stream(self, following: Following) -> Iterator[Event]:
        request = self._http.build_request(
            **following.next_call().request_arguments(0), timeout=following.read_timeout()
        )
        response = self._http.send(request, stream=True)
        try:
            if response.is_error:
                response.read()
                following.refuse(error_of(response))
                return
            for message in EventSource(response).iter_sse():
                event = following.take(message)
                if event is not None:
                    yield event
                if following.ended:
                    return
            raise httpx.RemoteProtocolError("the stream of events ended before the experiment did")
        finally:
            response.close()

    # What came out

    def result(self, experiment_id: str) -> Result:
        """The kind's summary; `results()` gives its points as the kind's own class. Raises ProblemError (`not-ready`) while there is none."""
        return self.send(calls.get_result(experiment_id))

    def comparison(self, experiment_id: str) -> calls.Json:
        """The paper's published numbers and claims beside ours. Raises ProblemError (`not-ready`) while nothing has finished."""
        return self.send(calls.get_comparison(experiment_id))

    def difference(self, experiment_id: str, point: int, *, baseline: int = 0) -> calls.Json:
        """One point against another, paired by seed: differences of accuracies and loss, ratios of times."""
        return self.send(calls.get_difference(experiment_id, point, baseline))

    def metrics(
        self,
        experiment_id: str,
        *,
        names: Sequence[str] = (),
        aggregate: bool = False,
        points: int | None = None,
    ) -> Metrics:
        """Values by point, seed, name and step, or with `aggregate` their statistics over the seeds; `to_columns()`,
        `to_numpy()` and `to_pandas()` hand them over."""
        return self.send(calls.get_metrics(experiment_id, names, aggregate, points))

    def metrics_csv(self, experiment_id: str, *, names: Sequence[str] = ()) -> str:
        """The columns point, seed, name, step, value; equal trainings give equal text."""
        return self.send(calls.get_metrics_csv(experiment_id, names))

    def plots(self, experiment_id: str) -> Sequence[calls.Json]:
        """The plots that can be drawn of this experiment."""
        return [*self.send_all(calls.list_plots(experiment_id))]

    def plot(
        self, experiment_id: str, name: str, image_format: str = "png", **options: Any
    ) -> bytes:
        """A plot's bytes as `png`, `svg` or `json` (exactly the numbers drawn); `width`, `height`, `dpi`, `xscale`."""
        return self.send(calls.get_plot(experiment_id, name, image_format, options))

    def export(self, experiment_id: str, *, files: bool = False) -> bytes:
        """A zip of specs, manifests, metrics, results and plots, and a script that runs it all again; with `files` all
        checkpoints too."""
        return self.send(calls.export_experiment(experiment_id, files))

    def export_tables(
        self, experiment_id: str, folder: str | Path, *, table_format: TableFormat = "csv"
    ) -> Sequence[Path]:
        """Write all metrics, and the result once there is one, into `folder` and tell the files: `csv`, `parquet` (both
        a table of each) or `tensorboard` (an event file a point and seed). Raises ExtraMissing."""
        write = find_writer(table_format)
        experiment = self.get(experiment_id)
        result = self.result(experiment_id) if experiment.terminal else None
        metrics = self.metrics(experiment_id)
        runs = [*self.runs(experiment_id)]
        return write(ExportSource(experiment, runs, metrics, result), Path(folder))

    def import_experiment(self, archive: str | Path | bytes) -> Experiment:
        """Take in an export, as a path or its bytes: the experiment is shown and drawn as it was, and read-only."""
        data = archive if isinstance(archive, bytes) else Path(archive).read_bytes()
        return self.send(calls.import_experiment(data))

    def upload_checkpoint(self, file: str | Path, *, title: str | None = None) -> Weights:
        """Bring a safetensors file along; its `id` is what `init.checkpoint` says."""
        return self.send(calls.upload_checkpoint(Path(file).read_bytes(), title))

    def register_dataset(self, name: str, file: str | Path, *, title: str | None = None) -> Dataset:
        """Register an `.npz` (`x_train`, `y_train`, `x_test`, `y_test`) under a name that `data.name` may say."""
        return self.send(calls.register_dataset(name, Path(file).read_bytes(), title))

    # Runs and files

    def runs(self, experiment_id: str) -> Iterator[Run]:
        return self.send_all(calls.list_runs(experiment_id))

    def run(self, run_id: str) -> Run:
        return self.send(calls.get_run(run_id))

    def artifacts(self, run_id: str) -> Iterator[Artifact]:
        return self.send_all(calls.list_artifacts(run_id))

    def checkpoints(self, run_id: str) -> Iterator[Checkpoint]:
        return self.send_all(calls.list_checkpoints(run_id))

    def download(self, stored: Artifact | Checkpoint, target: str | Path) -> Path:
        """Write an artifact or checkpoint to `target`, its sha256 checked; a broken download goes on where it was."""
        download = Download(stored, Path(target))
        for last in range(1 - MAX_CONNECTIONS, 1):
            try:
                if not download.is_whole:
                    self._transfer(download)
                break
            except httpx.TransportError as error:
                if last == 0:
                    raise ServiceUnreachable(self.url, error) from error
        return download.finish()

    def _transfer(self, download: Download) -> None:
        request = self._http.build_request(
            **download.next_call().request_arguments(self._max_retries)
        )
        response = self._http.send(request, stream=True)
        try:
            if response.is_error:
                response.read()
            download.begin(response)
            for chunk in response.iter_bytes():
                download.write(chunk)
        finally:
            response.close()

    # What can be asked, and who answers

    def kinds(self) -> Iterator[calls.Json]:
        return self.send_all(calls.list_described("kinds"))

    def kind(self, name: str) -> calls.Json:
        """A kind with the JSON Schema of its spec and an example."""
        return self.send(calls.get_kind(name))

    def presets(self) -> Iterator[calls.Json]:
        return self.send_all(calls.list_described("presets"))

    def preset(self, name: str, *, scale: str = "quick") -> calls.Json:
        """A preset at `quick` or `paper` scale; its `body` is ready to submit."""
        return self.send(calls.get_preset(name, scale))

    def models(self) -> Iterator[calls.Json]:
        return self.send_all(calls.list_described("models"))

    def datasets(self) -> Iterator[Dataset]:
        return self.send_all(calls.list_datasets())

    def audit(
        self, *, owner: str | None = None, action: str | None = None, target: str | None = None
    ) -> Iterator[AuditEntry]:
        """Who did which write, newest first; for an admin's key."""
        return self.send_all(calls.list_audit(owner, action, target))

    def workers(self) -> Iterator[Worker]:
        return self.send_all(calls.list_workers())

    def queue(self) -> QueueState:
        return self.send(calls.get_queue())

    def storage(self) -> Storage:
        """What the stored files take, and what the disk still takes."""
        return self.send(calls.get_storage())

    def limits(self) -> calls.Json:
        return self.send(calls.get_limits())
