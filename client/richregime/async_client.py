"""The async client: one line an operation; what is asked and how it is read stands in `richregime.calls`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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


class AsyncClient:
    """Submits, follows and fetches experiments; without blocking the event loop.

    `url` is the service's address; without one, RICHREGIME_URL, or http://127.0.0.1:8000. `key` is the API key, where
    the service asks for one; without it, RICHREGIME_KEY. `timeout` is in seconds for one answer. A call that is safe to repeat is retried, and a submission always is: it carries an Idempotency-Key.
    Raises the errors of `richregime.errors`. Use it as an async context manager, or close it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = MAX_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._max_retries = max_retries
        self._http = httpx.AsyncClient(
            transport=RetryTransport(transport or httpx.AsyncHTTPTransport()),
            **connection_arguments(url, key, timeout),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    async def send(self, call: calls.Call[Answer]) -> Answer:
        """Send one call and read its answer."""
        request = self._http.build_request(**call.request_arguments(self._max_retries))
        try:
            response = await self._http.send(request)
        except httpx.TransportError as error:
            raise ServiceUnreachable(self.url, error) from error
        return call.read(response)

    async def send_all(self, call: calls.Call[Page[Item]]) -> AsyncIterator[Item]:
        """Every item of a list, page by page as they are asked for."""
        while True:
            page = await self.send(call)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            call = call.at(page.next_cursor)

    # Submitting

    async def submit(
        self,
        spec: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Unpack[calls.SubmitOptions],
    ) -> Experiment:
        """Submit a spec (or a whole body, such as a preset's), swept and repeated as the options say.

        Sending the same key and body again answers the same experiment.
        """
        return await self.send(calls.submit(spec, options, idempotency_key))

    async def preview(
        self, spec: Mapping[str, Any], **options: Unpack[calls.SubmitOptions]
    ) -> Preview:
        """What that submission would do and cost; nothing is started."""
        return await self.send(calls.preview(spec, options))

    # Experiments

    async def get(self, experiment_id: str) -> Experiment:
        return await self.send(calls.get_experiment(experiment_id))

    async def list(
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
        return await self.send(
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
    ) -> AsyncIterator[Experiment]:
        """All experiments, newest first."""
        return self.send_all(
            calls.list_experiments(limit=200, kind=kind, status=status, label=label, name=name)
        )

    async def update(self, experiment_id: str, **changes: Any) -> Experiment:
        """Change `name`, `labels` or `priority`."""
        return await self.send(calls.update_experiment(experiment_id, changes))

    async def cancel(self, experiment_id: str) -> Experiment:
        """End an experiment; what it has logged so far is kept."""
        return await self.send(calls.cancel_experiment(experiment_id))

    async def retry(self, experiment_id: str) -> Experiment:
        """Queue an experiment's failed runs again."""
        return await self.send(calls.retry_experiment(experiment_id))

    async def extend(self, experiment_id: str, **changes: Any) -> Experiment:
        """Add `seeds`, or `sweep` values; only what is missing is run."""
        return await self.send(calls.extend_experiment(experiment_id, changes))

    async def delete(self, experiment_id: str, *, dry_run: bool = False) -> Deletion:
        """Remove a terminal experiment and its files; `dry_run` only tells the bytes."""
        return await self.send(calls.delete_experiment(experiment_id, dry_run))

    # Following

    async def events(
        self, experiment_id: str, *, after: int = 0, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """Each event as it happens, each once and in order, until the experiment has ended.

        Goes on where it was after a broken connection. Raises WaitTimeout after `timeout` seconds.
        """
        following = Following(experiment_id, after, timeout)
        while not following.ended:
            try:
                async for event in self._stream(following):
                    yield event
            except httpx.TransportError as error:
                broken = ServiceUnreachable(self.url, error)
                await asyncio.sleep(following.pause_after_break(broken))

    async def wait(
        self,
        experiment_id: str,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Experiment:
        """Wait until the experiment has ended, whatever its end; read `status` of what comes back.

        Raises WaitTimeout after `timeout` seconds.
        """
        async for event in self.events(experiment_id, timeout=timeout):
            if on_event is not None:
                on_event(event)
        return await self.get(experiment_id)

    async def _stream(self, following: Following) -> AsyncIterator[Event]:
        request = self._http.build_request(
            **following.next_call().request_arguments(0), timeout=following.read_timeout()
        )
        response = await self._http.send(request, stream=True)
        try:
            if response.is_error:
                await response.aread()
                following.refuse(error_of(response))
                return
            async for message in EventSource(response).aiter_sse():
                event = following.take(message)
                if event is not None:
                    yield event
                if following.ended:
                    return
            raise httpx.RemoteProtocolError("the stream of events ended before the experiment did")
        finally:
            await response.aclose()

    # What came out

    async def result(self, experiment_id: str) -> Result:
        """The kind's summary; `results()` gives its points as the kind's own class. Raises ProblemError (`not-ready`) while there is none."""
        return await self.send(calls.get_result(experiment_id))

    async def comparison(self, experiment_id: str) -> calls.Json:
        """The paper's published numbers and claims beside ours. Raises ProblemError (`not-ready`) while nothing has finished."""
        return await self.send(calls.get_comparison(experiment_id))

    async def difference(self, experiment_id: str, point: int, *, baseline: int = 0) -> calls.Json:
        """One point against another, paired by seed: differences of accuracies and loss, ratios of times."""
        return await self.send(calls.get_difference(experiment_id, point, baseline))

    async def metrics(
        self,
        experiment_id: str,
        *,
        names: Sequence[str] = (),
        aggregate: bool = False,
        points: int | None = None,
    ) -> Metrics:
        """Values by point, seed, name and step, or with `aggregate` their statistics over the seeds; `to_columns()`,
        `to_numpy()` and `to_pandas()` hand them over."""
        return await self.send(calls.get_metrics(experiment_id, names, aggregate, points))

    async def metrics_csv(self, experiment_id: str, *, names: Sequence[str] = ()) -> str:
        """The columns point, seed, name, step, value; equal trainings give equal text."""
        return await self.send(calls.get_metrics_csv(experiment_id, names))

    async def plots(self, experiment_id: str) -> Sequence[calls.Json]:
        """The plots that can be drawn of this experiment."""
        return [plot async for plot in self.send_all(calls.list_plots(experiment_id))]

    async def plot(
        self, experiment_id: str, name: str, image_format: str = "png", **options: Any
    ) -> bytes:
        """A plot's bytes as `png`, `svg` or `json` (exactly the numbers drawn); `width`, `height`, `dpi`, `xscale`."""
        return await self.send(calls.get_plot(experiment_id, name, image_format, options))

    async def export(self, experiment_id: str, *, files: bool = False) -> bytes:
        """A zip of specs, manifests, metrics, results and plots, and a script that runs it all again; with `files` all
        checkpoints too."""
        return await self.send(calls.export_experiment(experiment_id, files))

    async def export_tables(
        self, experiment_id: str, folder: str | Path, *, table_format: TableFormat = "csv"
    ) -> Sequence[Path]:
        """Write all metrics, and the result once there is one, into `folder` and tell the files: `csv`, `parquet` (both
        a table of each) or `tensorboard` (an event file a point and seed). Raises ExtraMissing."""
        write = find_writer(table_format)
        experiment = await self.get(experiment_id)
        result = await self.result(experiment_id) if experiment.terminal else None
        metrics = await self.metrics(experiment_id)
        runs = [run async for run in self.runs(experiment_id)]
        return write(ExportSource(experiment, runs, metrics, result), Path(folder))

    async def import_experiment(self, archive: str | Path | bytes) -> Experiment:
        """Take in an export, as a path or its bytes: the experiment is shown and drawn as it was, and read-only."""
        data = archive if isinstance(archive, bytes) else Path(archive).read_bytes()
        return await self.send(calls.import_experiment(data))

    async def upload_checkpoint(self, file: str | Path, *, title: str | None = None) -> Weights:
        """Bring a safetensors file along; its `id` is what `init.checkpoint` says."""
        return await self.send(calls.upload_checkpoint(Path(file).read_bytes(), title))

    async def register_dataset(
        self, name: str, file: str | Path, *, title: str | None = None
    ) -> Dataset:
        """Register an `.npz` (`x_train`, `y_train`, `x_test`, `y_test`) under a name that `data.name` may say."""
        return await self.send(calls.register_dataset(name, Path(file).read_bytes(), title))

    # Runs and files

    def runs(self, experiment_id: str) -> AsyncIterator[Run]:
        return self.send_all(calls.list_runs(experiment_id))

    async def run(self, run_id: str) -> Run:
        return await self.send(calls.get_run(run_id))

    def artifacts(self, run_id: str) -> AsyncIterator[Artifact]:
        return self.send_all(calls.list_artifacts(run_id))

    def checkpoints(self, run_id: str) -> AsyncIterator[Checkpoint]:
        return self.send_all(calls.list_checkpoints(run_id))

    async def download(self, stored: Artifact | Checkpoint, target: str | Path) -> Path:
        """Write an artifact or checkpoint to `target`, its sha256 checked; a broken download goes on where it was."""
        download = Download(stored, Path(target))
        for last in range(1 - MAX_CONNECTIONS, 1):
            try:
                if not download.is_whole:
                    await self._transfer(download)
                break
            except httpx.TransportError as error:
                if last == 0:
                    raise ServiceUnreachable(self.url, error) from error
        return download.finish()

    async def _transfer(self, download: Download) -> None:
        request = self._http.build_request(
            **download.next_call().request_arguments(self._max_retries)
        )
        response = await self._http.send(request, stream=True)
        try:
            if response.is_error:
                await response.aread()
            download.begin(response)
            async for chunk in response.aiter_bytes():
                download.write(chunk)
        finally:
            await response.aclose()

    # What can be asked, and who answers

    def kinds(self) -> AsyncIterator[calls.Json]:
        return self.send_all(calls.list_described("kinds"))

    async def kind(self, name: str) -> calls.Json:
        """A kind with the JSON Schema of its spec and an example."""
        return await self.send(calls.get_kind(name))

    def presets(self) -> AsyncIterator[calls.Json]:
        return self.send_all(calls.list_described("presets"))

    async def preset(self, name: str, *, scale: str = "quick") -> calls.Json:
        """A preset at `quick` or `paper` scale; its `body` is ready to submit."""
        return await self.send(calls.get_preset(name, scale))

    def models(self) -> AsyncIterator[calls.Json]:
        return self.send_all(calls.list_described("models"))

    def datasets(self) -> AsyncIterator[Dataset]:
        return self.send_all(calls.list_datasets())

    def audit(
        self, *, owner: str | None = None, action: str | None = None, target: str | None = None
    ) -> AsyncIterator[AuditEntry]:
        """Who did which write, newest first; for an admin's key."""
        return self.send_all(calls.list_audit(owner, action, target))

    def workers(self) -> AsyncIterator[Worker]:
        return self.send_all(calls.list_workers())

    async def queue(self) -> QueueState:
        return await self.send(calls.get_queue())

    async def storage(self) -> Storage:
        """What the stored files take, and what the disk still takes."""
        return await self.send(calls.get_storage())

    async def limits(self) -> calls.Json:
        return await self.send(calls.get_limits())
