"""The async client: one method per operation; requests and parsing are in `richregime.calls`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import httpx
from httpx_retries import RetryTransport
from httpx_sse import EventSource
from pydantic import BaseModel

from richregime import calls
from richregime.checks import ClaimCheck, read_check
from richregime.connection import MAX_RETRIES, connection_arguments, raising_client_errors
from richregime.downloads import MAX_CONNECTIONS, Download
from richregime.enums import ExperimentStatus, ProblemCode
from richregime.errors import ProblemError, ServiceUnreachable
from richregime.event_stream import EventStream
from richregime.exporting import ExportSource, TableFormat, find_writer
from richregime.importing import ImportChoices, prepare_import
from richregime.resource import CountedPage, Page
from richregime.text_formats import ReportFormat, TextFormat, ending_of
from richregime.transports import AsyncRoutedTransport
from richregime.types import (
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
    Experiment,
    ExperimentComparison,
    FileDeletion,
    KindResource,
    Limits,
    Metrics,
    ModelResource,
    Plot,
    PluginResource,
    PointDifference,
    PresetResource,
    Preview,
    QueueState,
    ReadingResource,
    Result,
    Run,
    Storage,
    Weights,
    Worker,
)

LARGE_RESPONSE_BYTES = 100_000
"""A larger response is parsed in a thread, so that the event loop goes on meanwhile."""

Parsed = TypeVar("Parsed")
Item = TypeVar("Item")


class AsyncClient:
    """Submits, follows and fetches experiments, without blocking the event loop.

    `url` is the address of the service; default: RICHREGIME_URL, or http://127.0.0.1:8000. `key` is
    the API key; default: RICHREGIME_KEY. `timeout` is in seconds for one response.

    A call that is safe to repeat is retried up to `max_retries` times. A submission always is,
    because it carries an Idempotency-Key. Raises the errors of `richregime.errors`. Use the client
    as an async context manager, or close it.
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
        arguments = connection_arguments(url, key, timeout)
        self._http = httpx.AsyncClient(
            transport=RetryTransport(transport or AsyncRoutedTransport(arguments["base_url"])),
            **arguments,
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

    async def send(self, call: calls.Call[Parsed]) -> Parsed:
        """Send one call and parse the response."""
        request = call.request(self._http, self._max_retries)
        with raising_client_errors(self.url):
            response = await self._http.send(request)
        if len(response.content) > LARGE_RESPONSE_BYTES:
            return await asyncio.to_thread(call.read, response)
        return call.read(response)

    async def send_all(self, call: calls.Call[Page[Item]]) -> AsyncIterator[Item]:
        """Every item of a list; pages are fetched as they are needed."""
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
        spec: Mapping[str, Any] | BaseModel,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[calls.SubmitOptions],
    ) -> Experiment:
        """Submit an experiment: a spec, or a whole body such as that of a preset.

        The options are the fields of a submission; they override those of a body. The same
        `idempotency_key` with the same body returns the same experiment.
        """
        return await self.send(calls.submit(spec, options, idempotency_key))

    async def preview(
        self, spec: Mapping[str, Any] | BaseModel, **options: Unpack[calls.SubmitOptions]
    ) -> Preview:
        """The points, runs and cost of a submission. Nothing is started."""
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
        ids: Sequence[str] | None = None,
        sort: str | None = None,
        fields: Sequence[str] | None = None,
        group: str | None = None,
    ) -> CountedPage[Experiment]:
        """One page of experiments, newest first, or sorted by a column over all that match.

        `containing` is text in the name or the id. `sort` is a column such as `epochs`,
        `optimizer.lr` or `result.test_accuracy`, with a minus before it for descending. The items
        have the columns of `fields` in their field of that name. `group` is the key of a label,
        whose values keep experiments together. The page's `total` counts all that match.
        """
        return await self.send(
            calls.list_experiments(
                limit=limit,
                cursor=cursor,
                kind=kind,
                status=status,
                label=label,
                name=name,
                containing=containing,
                ids=ids,
                sort=sort,
                fields=fields,
                group=group,
            )
        )

    def iterate(
        self,
        *,
        kind: str | None = None,
        status: ExperimentStatus | str | None = None,
        label: str | None = None,
        name: str | None = None,
        containing: str | None = None,
        sort: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> AsyncIterator[Experiment]:
        """All experiments, newest first, or as `list` sorts them."""
        return self.send_all(
            calls.list_experiments(
                limit=200,
                kind=kind,
                status=status,
                label=label,
                name=name,
                containing=containing,
                sort=sort,
                fields=fields,
            )
        )

    async def update(self, experiment_id: str, **changes: Any) -> Experiment:
        """Change `name`, `labels`, `priority` or `notes`."""
        return await self.send(calls.update_experiment(experiment_id, changes))

    async def cancel(self, experiment_id: str) -> Experiment:
        """Cancel an experiment. What it has logged is kept."""
        return await self.send(calls.cancel_experiment(experiment_id))

    async def retry(self, experiment_id: str) -> Experiment:
        """Queue the failed runs of an experiment again."""
        return await self.send(calls.retry_experiment(experiment_id))

    async def extend(self, experiment_id: str, **changes: Any) -> Experiment:
        """Add `seeds`, or values to the axes of `sweep`. Only missing runs are computed."""
        return await self.send(calls.extend_experiment(experiment_id, changes))

    async def delete(self, experiment_id: str, *, dry_run: bool = False) -> Deletion:
        """Delete an experiment that has ended, with its files. `dry_run` only counts the bytes."""
        return await self.send(calls.delete_experiment(experiment_id, dry_run))

    async def cancel_all(
        self,
        ids: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        **matching: Unpack[calls.Matching],
    ) -> ActionReport:
        """Cancel experiments by ids or by filters, at most 200. `dry_run` only tells what it would.

        Those that have ended are told in the report, so the call can be repeated.
        """
        return await self.send(calls.cancel_experiments(ids, matching, dry_run))

    async def retry_all(
        self,
        ids: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        **matching: Unpack[calls.Matching],
    ) -> ActionReport:
        """Queue the failed runs of experiments again, as `cancel_all`."""
        return await self.send(calls.retry_experiments(ids, matching, dry_run))

    async def delete_all(
        self,
        ids: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        **matching: Unpack[calls.Matching],
    ) -> ActionReport:
        """Delete experiments that have ended, with their files, as `cancel_all`."""
        return await self.send(calls.delete_experiments(ids, matching, dry_run))

    async def label_all(
        self,
        labels: Mapping[str, str | None],
        ids: Sequence[str] | None = None,
        *,
        dry_run: bool = False,
        **matching: Unpack[calls.Matching],
    ) -> ActionReport:
        """Set labels of experiments, and remove those of None, as `cancel_all`."""
        return await self.send(calls.label_experiments(labels, ids, matching, dry_run))

    # Following

    async def events(
        self, experiment_id: str, *, after: int = 0, timeout: float | None = None
    ) -> AsyncIterator[Event]:
        """The events of an experiment as they happen, each once and in order, until it ends.

        Resumes after a broken connection. Raises WaitTimeout after `timeout` seconds.
        """
        stream = EventStream(experiment_id, after, timeout)
        while not stream.has_ended:
            try:
                with raising_client_errors(self.url):
                    async for event in self._stream(stream):
                        yield event
            except ServiceUnreachable as broken:
                await asyncio.sleep(stream.seconds_until_reconnect(broken))

    async def wait(
        self,
        experiment_id: str,
        *,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Experiment:
        """Wait until the experiment has succeeded, failed or been cancelled; see its `status`.

        Calls `on_event` for each event. Raises WaitTimeout after `timeout` seconds.
        """
        async for event in self.events(experiment_id, timeout=timeout):
            if on_event is not None:
                on_event(event)
        return await self.get(experiment_id)

    async def watch(self, experiment_id: str, *, timeout: float | None = None) -> Experiment:
        """Wait as `wait`, and show the progress: redrawn in a notebook, lines in a shell.

        Raises WaitTimeout after `timeout` seconds.
        """
        from richregime.watching import Watch

        shown = Watch(experiment_id, timeout)
        while True:
            experiment = await self.get(experiment_id)
            shown.show(experiment)
            if experiment.terminal:
                return experiment
            await asyncio.sleep(shown.next_pause())

    async def _stream(self, stream: EventStream) -> AsyncIterator[Event]:
        request = stream.next_call().request(self._http, 0, timeout=stream.read_timeout())
        response = await self._http.send(request, stream=True)
        try:
            if response.is_error:
                await response.aread()
                stream.raise_or_reconnect(calls.error_of(response))
                return
            async for message in EventSource(response).aiter_sse():
                event = stream.read(message)
                if event is not None:
                    yield event
                if stream.has_ended:
                    return
            raise httpx.RemoteProtocolError("the stream of events ended before the experiment did")
        finally:
            await response.aclose()

    # Results

    async def result(self, experiment_id: str) -> Result:
        """The result, as the class of its kind: `TrainResult`, `LwsResult` and so on.

        A kind that this client does not know gives a `Result` whose points keep all their fields.
        Raises ProblemError (`not-ready`) until the experiment has ended.
        """
        return await self.send(calls.get_result(experiment_id))

    async def result_text(
        self,
        experiment_id: str,
        text_format: TextFormat = "csv",
        *,
        at: str | int | None = None,
    ) -> str:
        """What answers the kind's question at each point, as `csv`, `latex` or `markdown`.

        `at` gives the metrics at an epoch instead: `last`, a number, or `best`, of each seed the
        epoch with the highest test accuracy, which is optimistic. Works while the experiment runs.
        """
        return await self.send(calls.write_result(experiment_id, ending_of(text_format), at))

    async def comparison(self, experiment_id: str) -> Comparison:
        """The paper's claims and printed numbers, compared with the experiment.

        Raises ProblemError (`not-ready`) until a run has finished.
        """
        return await self.send(calls.get_comparison(experiment_id))

    async def check(
        self,
        experiment_id: str,
        *,
        paper: bool = False,
        wait: bool = True,
        timeout: float | None = None,
    ) -> ClaimCheck:
        """Whether the claims of an experiment's submission hold, and with `paper` the paper's.

        Waits until it has ended, unless `wait` is false. Raises WaitTimeout after `timeout`
        seconds.
        """
        if wait:
            await self.wait(experiment_id, timeout=timeout)
        experiment = await self.get(experiment_id)
        try:
            comparison = await self.comparison(experiment_id)
        except ProblemError as error:
            if error.problem.code != ProblemCode.NOT_READY:
                raise
            comparison = None
        return read_check(experiment, comparison, paper)

    async def comparison_text(
        self,
        experiment_id: str,
        text_format: TextFormat = "csv",
        *,
        table: Literal["claims", "published", "own_claims"] = "claims",
    ) -> str:
        """A table of verdicts on the paper's claims, of the numbers that it prints, or of verdicts
        on the submission's claims."""
        return await self.send(calls.write_comparison(experiment_id, ending_of(text_format), table))

    async def difference(
        self, experiment_id: str, point: int, *, baseline: int = 0
    ) -> PointDifference:
        """A point minus a baseline point, paired by seed.

        Accuracies and losses are subtracted; times are divided.
        """
        return await self.send(calls.get_difference(experiment_id, point, baseline))

    async def compare(
        self, experiment_ids: Sequence[str], *, quantity: str | None = None
    ) -> ExperimentComparison:
        """Experiments side by side: the differences of their specs and of their results.

        Differences are to the first experiment. `quantity` selects one statistic of the results.
        """
        return await self.send(calls.compare_experiments(experiment_ids, quantity))

    async def compare_text(
        self,
        experiment_ids: Sequence[str],
        text_format: TextFormat = "csv",
        *,
        quantity: str | None = None,
        table: Literal["results", "spec"] = "results",
    ) -> str:
        """Experiments side by side as a table; `latex` and `markdown` hold one quantity."""
        return await self.send(
            calls.write_differences(experiment_ids, ending_of(text_format), quantity, table)
        )

    @overload
    async def metrics(
        self,
        experiment_id: str,
        *,
        names: Sequence[str] = (),
        aggregate: Literal[False] = False,
        points: int | None = None,
    ) -> Metrics: ...

    @overload
    async def metrics(
        self,
        experiment_id: str,
        *,
        names: Sequence[str] = (),
        aggregate: Literal[True],
        points: int | None = None,
    ) -> AggregatedMetrics: ...

    async def metrics(
        self,
        experiment_id: str,
        *,
        names: Sequence[str] = (),
        aggregate: bool = False,
        points: int | None = None,
    ) -> Metrics | AggregatedMetrics:
        """The metrics, or with `aggregate` their statistics over the seeds.

        `names` selects metrics; `points` limits the steps of each series. The methods
        `to_columns()`, `to_numpy()` and `to_pandas()` convert them.
        """
        return await self.send(calls.get_metrics(experiment_id, names, aggregate, points))

    async def metrics_csv(self, experiment_id: str, *, names: Sequence[str] = ()) -> str:
        """The metrics as CSV with the columns point, seed, name, step, value."""
        return await self.send(calls.get_metrics_csv(experiment_id, names))

    async def plots(self, experiment_id: str) -> Sequence[Plot]:
        """The plots of its kind: which apply to this experiment, and what they can show."""
        return [plot async for plot in self.send_all(calls.list_plots(experiment_id))]

    async def plot(
        self, experiment_id: str, name: str, image_format: str = "png", **options: Any
    ) -> bytes:
        """A plot as `png`, `svg`, `pdf`, or `json` (its numbers).

        Options: `width` (`column`, `text` or `slide`, or inches), `height` in inches, `dpi`,
        `xscale`, `yscale`, `title` (`none` for a figure with a caption); `quantity`, a number of
        the answer; `points` of curves (`best`, `worst`, `spread`, or indices such as `0,3,7`).
        """
        return await self.send(calls.get_plot(experiment_id, name, image_format, options))

    async def export(self, experiment_id: str, *, files: bool = False) -> bytes:
        """A zip file of specs, manifests, metrics, results, plots, and a script that reruns them.

        `files` adds all checkpoints and artifacts.
        """
        return await self.send(calls.export_experiment(experiment_id, files))

    async def report(
        self, experiment_id: str, *others: str, report_format: ReportFormat = "pdf"
    ) -> bytes:
        """One file on these experiments, at most 8: `pdf`, `html` or `md`.

        Question, answer, verdicts, figures, tables, and how to run them again.
        """
        return await self.send(calls.write_report(experiment_id, others, report_format))

    async def export_tables(
        self, experiment_id: str, folder: str | Path, *, table_format: TableFormat = "csv"
    ) -> Sequence[Path]:
        """Write all metrics, and the result of an ended experiment, into `folder`.

        `csv` and `parquet` write one table of each; `tensorboard` writes one event file per point
        and seed, `mlflow` a store, `trackio` a project and `wandb-offline` folders to upload, with
        a run per point and seed. Returns the paths. Raises ExtraMissing and ExportFailed.
        """
        write = find_writer(table_format)
        experiment = await self.get(experiment_id)
        result = await self.result(experiment_id) if experiment.terminal else None
        metrics = await self.metrics(experiment_id)
        runs = [run async for run in self.runs(experiment_id)]
        return write(ExportSource(experiment, runs, metrics, result), Path(folder))

    async def import_experiment(self, file: str | Path | bytes) -> Experiment:
        """Import the zip file of an export, as a path or bytes. The experiment is read-only."""
        data = file if isinstance(file, bytes) else Path(file).read_bytes()
        return await self.send(calls.import_experiment(data))

    async def upload_checkpoint(self, file: str | Path, *, title: str | None = None) -> Weights:
        """Upload a safetensors file. Its `id` is the value of `init.checkpoint` in a spec."""
        return await self.send(calls.upload_checkpoint(Path(file).read_bytes(), title))

    async def register_dataset(
        self, name: str, file: str | Path, *, title: str | None = None
    ) -> Dataset:
        """Upload an `.npz` file with `x_train`, `y_train`, `x_test` and `y_test`.

        `name` is the value of `data.name` in a spec.
        """
        return await self.send(calls.register_dataset(name, Path(file).read_bytes(), title))

    async def import_dataset(
        self, name: str, path: str | Path, **choices: Unpack[ImportChoices]
    ) -> Dataset:
        """Import a table, a folder of images or arrays as a data set; returns it as stored.

        `path` is a CSV or Parquet file, an `.npz` file, a zip archive or a folder of images, or,
        where the service is installed, the name of a set of torchvision or `hf:OWNER/NAME` of the
        Hugging Face hub. `choices` are `label`, a table's column of labels, else the last;
        `test_share` of each class, drawn by `seed`, to test on where `path` has no test set;
        `side`, to which images are scaled; `colour`: `auto`, `grey` or `colour`; `title`;
        `replace`, which makes a new version of the data set of this name; `folder` of the files of
        a set, or `download`; for the hub `image`, the column of images, `config`, `split_train`,
        `split_test`. Nothing is stored where any of it is wrong: a problem (422) tells file and
        line.
        """
        data, params = await asyncio.to_thread(prepare_import, Path(path), choices)
        return await self.send(calls.import_dataset(name, data, params))

    async def preview_dataset(
        self, name: str, path: str | Path, **choices: Unpack[ImportChoices]
    ) -> DatasetPreview:
        """What `import_dataset` would store, with some examples. Nothing is stored.

        `conflict` of the result tells where the name is taken; what is wrong with the file is a
        problem (422).
        """
        data, params = await asyncio.to_thread(prepare_import, Path(path), choices)
        return await self.send(calls.preview_dataset(name, data, params))

    async def delete_dataset(self, name: str, *, dry_run: bool = False) -> FileDeletion:
        """Delete a registered data set. A problem (409) while queued or running runs need it."""
        return await self.send(calls.delete_dataset(name, dry_run))

    def uploaded_checkpoints(self) -> AsyncIterator[Weights]:
        """The uploaded checkpoints, newest first; `checkpoints` lists those of a run."""
        return self.send_all(calls.list_uploaded_checkpoints())

    async def delete_checkpoint(self, checkpoint_id: str, *, dry_run: bool = False) -> FileDeletion:
        """Delete an uploaded checkpoint. A problem (409) while queued or running runs need it."""
        return await self.send(calls.delete_checkpoint(checkpoint_id, dry_run))

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
        """Download an artifact or checkpoint to `target` and check its sha256.

        Resumes a broken download. Raises BadDownload.
        """
        download = Download(stored, Path(target))
        for attempt in range(1, MAX_CONNECTIONS + 1):
            try:
                if not download.is_complete:
                    with raising_client_errors(self.url):
                        await self._transfer(download)
                break
            except ServiceUnreachable:
                if attempt == MAX_CONNECTIONS:
                    raise
        return download.finish()

    async def _transfer(self, download: Download) -> None:
        request = download.next_call().request(self._http, self._max_retries)
        response = await self._http.send(request, stream=True)
        try:
            if response.is_error:
                await response.aread()
            download.start(response)
            async for chunk in response.aiter_bytes():
                download.write(chunk)
        finally:
            await response.aclose()

    # The service

    def kinds(self) -> AsyncIterator[KindResource]:
        return self.send_all(calls.list_kinds())

    async def kind(self, name: str) -> KindResource:
        """One kind, with the JSON Schema of its spec and an example."""
        return await self.send(calls.get_kind(name))

    def presets(self) -> AsyncIterator[PresetResource]:
        return self.send_all(calls.list_presets())

    async def preset(
        self, name: str, *, scale: str = "quick", reading: str | None = None
    ) -> PresetResource:
        """One preset at the scale `quick` or `paper`. Its `body` is ready to submit.

        reading: one of `readings()`, such as `first_epoch`.
        """
        return await self.send(calls.get_preset(name, scale, reading))

    def readings(self) -> AsyncIterator[ReadingResource]:
        """The readings of the paper's open choices, for `preset`."""
        return self.send_all(calls.list_readings())

    def models(self) -> AsyncIterator[ModelResource]:
        """The networks: those of the paper with their layers, and those of plug-ins."""
        return self.send_all(calls.list_models())

    async def model(self, name: str, dataset: str = "digits", **fields: Any) -> ModelResource:
        """One network with the layers that it has on a data set.

        fields: the other fields of the model, such as `architecture="resnet50"`.
        """
        return await self.send(calls.get_model(name, dataset, fields))

    def plugins(self) -> AsyncIterator[PluginResource]:
        """The plug-ins that workers have read: their nets, and what is wrong with others."""
        return self.send_all(calls.list_plugins())

    def datasets(self) -> AsyncIterator[Dataset]:
        return self.send_all(calls.list_datasets())

    def audit(
        self, *, owner: str | None = None, action: str | None = None, target: str | None = None
    ) -> AsyncIterator[AuditEntry]:
        """The audit trail, newest first. Needs a key with the scope `admin`."""
        return self.send_all(calls.list_audit(owner, action, target))

    def workers(self) -> AsyncIterator[Worker]:
        return self.send_all(calls.list_workers())

    async def cordon(self, worker: str, *, hand_back: bool = False) -> Sequence[Worker]:
        """Let a worker, by its id, or all of a host, finish what they run and take no more.

        `hand_back` also saves what runs there and queues it again. It holds until `uncordon`, that
        of a host also for workers that start there later. Needs a key with the scope `admin`.
        """
        return (await self.send(calls.cordon_worker(worker, hand_back))).items

    async def uncordon(self, worker: str) -> Sequence[Worker]:
        """Let a worker, by its id, or all of a host, take runs again. Needs the scope `admin`."""
        return (await self.send(calls.uncordon_worker(worker))).items

    async def queue(self) -> QueueState:
        """The number of queued and running runs."""
        return await self.send(calls.get_queue())

    async def storage(self) -> Storage:
        """The bytes of stored files, and the free bytes of the disk."""
        return await self.send(calls.get_storage())

    async def schema(self) -> dict[str, Any]:
        """The JSON Schema of a body, for editors: each field with its type, default and meaning."""
        return await self.send(calls.get_schema())

    async def guide(self, page: str | None = None) -> str:
        """A page of the guide as Markdown, such as `glossary` or `kinds/train`; without one, a
        summary with the addresses of all pages."""
        return await self.send(calls.read_guide(page))

    async def limits(self) -> Limits:
        """The limits in force, what the key may do, and what its owner uses of the limits."""
        return await self.send(calls.get_limits())
