"""The service: start, POST to first step, tiny runs, POST under load, metrics."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from statistics import quantiles

import torch

from benchmarks.figures import Figure, Goal, Spread, at_least, at_most, spread
from benchmarks.goals.durable_commits import measure_durable_commits
from benchmarks.goals.metric_store import measure_metrics
from benchmarks.interleave import timed
from benchmarks.options import Options
from benchmarks.service_process import JsonClient, Service, tiny_experiment, wait_for_end
from engine.data.sources import read_digits

WARM_UP_SECONDS = 4.0
ALONE, CLIENTS, FROM_CLIENTS, QUEUED = 300, 20, 1_000, 1_000


def measure(options: Options) -> Iterator[Figure]:
    home = options.work_dir / "home"
    with Service(home) as service:
        first_start = service.seconds_to_ready
    starts = []
    for _ in range(options.rounds(3)):
        with Service(home) as service:
            starts.append(service.seconds_to_ready)
    yield Figure(
        "`up` with an existing home, until ready",
        "",
        "s",
        spread(starts),
        at_most(4.5),
        "import of torch: 2 s",
        note=f"first start, which creates the home: {first_start:.1f} s",
    )
    with Service(home) as service:
        client = service.connect()
        yield from _first_step(options, client)
        yield from _tiny_runs(options, client)
        yield from _against_processes(options, client)
        yield from measure_metrics(options, service, client)
        yield from measure_durable_commits(options, home)
    with Service(options.work_dir / "home_of_posts") as service:
        yield from _posts(options, service)


def _first_step(options: Options, client: JsonClient) -> Iterator[Figure]:
    """From the POST until the trained weights of a one-step training are stored, which is an upper
    bound."""
    body_changes = {"data": {"name": "digits", "train_size": 100, "test_size": 100}, "epochs": 1}
    seconds = []
    for number in range(options.rounds(20) + 3):
        began = time.time()
        experiment = client.post("/experiments", tiny_experiment(number, **body_changes))
        wait_for_end(client, [experiment["id"]])
        (run,) = client.get(f"/experiments/{experiment['id']}/runs")["items"]
        checkpoints = client.get(f"/runs/{run['id']}/checkpoints")["items"]
        (stored,) = (one["created_at"] for one in checkpoints if one["name"] == "theta_T")
        seconds.append(datetime.fromisoformat(stored).timestamp() - began)
    yield _milliseconds(
        "warm worker: POST to the first training step",
        seconds[3:],
        at_most(150),
        "delivery: 3 to 7 ms",
    )


def _tiny_runs(options: Options, client: JsonClient) -> Iterator[Figure]:
    count = 20

    def submit_and_wait() -> None:
        submitted = [
            client.post("/experiments", tiny_experiment(seed))["id"] for seed in range(count)
        ]
        wait_for_end(client, submitted)

    seconds = [timed(submit_and_wait)() for _ in range(options.rounds(3))]
    yield Figure(
        f"{count} tiny runs submitted at once, until all are done",
        "",
        "s",
        spread(seconds),
        at_most(3),
    )
    points = options.size(100, 5)
    body = {**tiny_experiment(0), "sweep": {"model.width": list(range(10, 10 + points))}}
    seconds = [
        timed(lambda: wait_for_end(client, [client.post("/experiments", body)["id"]]))()
        for _ in range(options.rounds(2))
    ]
    yield Figure(f"a sweep of {points} tiny points, until it is done", "", "s", spread(seconds))


def _against_processes(options: Options, client: JsonClient) -> Iterator[Figure]:
    """Many tiny experiments in the service, compared with one Python process for each."""
    count = options.size(200, 6)
    sample = options.size(20, 2)
    images = options.work_dir / "digits.pt"
    raw = read_digits()
    torch.save(
        {
            "x_train": torch.from_numpy(raw.x_train[:500]).reshape(500, -1) / 255.0,
            "y_train": torch.from_numpy(raw.y_train[:500]),
            "x_test": torch.from_numpy(raw.x_test[:200]).reshape(200, -1) / 255.0,
            "y_test": torch.from_numpy(raw.y_test[:200]),
        },
        images,
    )

    def by_service() -> None:
        submitted = [
            client.post("/experiments", tiny_experiment(seed))["id"] for seed in range(count)
        ]
        wait_for_end(client, submitted)

    def by_processes() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda seed: _run_script(images, options.work_dir, seed), range(sample)))

    ratios, ours, baseline = [], [], []
    for _ in range(options.rounds(3)):
        baseline.append(timed(by_processes)() * count / sample)
        ours.append(timed(by_service)())
        ratios.append(baseline[-1] / ours[-1])
    yield Figure(
        f"{count} tiny experiments submitted at once",
        f"one Python process each, as many at a time as cores ({sample} timed)",
        "x",
        spread(ratios),
        at_least(10),
        ours_seconds=spread(ours).median,
        baseline_seconds=spread(baseline).median,
    )


def _run_script(images: Path, folder: Path, seed: int) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.baselines.tiny_script"),
            *("--images", str(images), "--out", str(folder / f"weights{seed}.pt")),
            *("--width", "10", "--epochs", "2", "--seed", str(seed)),
        ],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )


def _posts(options: Options, service: Service) -> Iterator[Figure]:
    """Experiments for a GPU without a GPU worker stay queued, so that only the API is measured."""
    client = service.connect()
    _warm_up(client)
    count = options.size(ALONE, 20)
    for seed in range(20):
        _timed_post(client, seed)
    alone = [_timed_post(client, seed) for seed in range(count)]
    yield from _percentiles("POST /experiments, alone", alone, 10, 30)
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        batches = pool.map(
            lambda number: _post_many(service, options.size(FROM_CLIENTS, 40), number),
            range(CLIENTS),
        )
        together = [seconds for batch in batches for seconds in batch]
    rate = len(together) / (time.perf_counter() - began)
    yield Figure(
        f"POST /experiments from {CLIENTS} clients", "", "per second", spread([rate]), at_least(300)
    )
    yield _percentile(f"POST /experiments from {CLIENTS} clients, p99", together, 99, at_most(120))
    queued = client.get("/queue")["queued"]
    for seed in range(queued, options.size(QUEUED, 20)):
        _timed_post(client, seed)
    behind = [_timed_post(client, seed) for seed in range(count)]
    yield from _percentiles(
        f"POST /experiments with {client.get('/queue')['queued']:,} queued", behind, 10, 30
    )


def _warm_up(client: JsonClient) -> None:
    """Wait until all worker processes have loaded torch, which occupies all cores for seconds."""
    wait_for_end(
        client, [client.post("/experiments", tiny_experiment(seed))["id"] for seed in range(8)]
    )
    time.sleep(WARM_UP_SECONDS)


def _post_many(service: Service, total: int, number: int) -> list[float]:
    client = service.connect()
    seconds = [_timed_post(client, 1_000 * number + index) for index in range(total // CLIENTS)]
    client.close()
    return seconds


def _timed_post(client: JsonClient, seed: int) -> float:
    body = {**tiny_experiment(seed), "execution": {"device": "cuda"}}
    return timed(lambda: client.post("/experiments", body))()


def _percentiles(name: str, seconds: list[float], p50: float, p99: float) -> Iterator[Figure]:
    yield _percentile(f"{name}, p50", seconds, 50, at_most(p50))
    yield _percentile(f"{name}, p99", seconds, 99, at_most(p99))


def _percentile(name: str, seconds: list[float], percent: int, goal: Goal) -> Figure:
    """A percentile of all requests; its spread is taken over five parts of them."""
    part_size = max(1, len(seconds) // 5)
    parts = [seconds[start : start + part_size] for start in range(0, part_size * 5, part_size)]
    found = spread(
        [
            quantiles(part, n=100, method="inclusive")[percent - 1] * 1e3
            for part in parts
            if len(part) > 1
        ]
    )
    whole = quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1e3
    return Figure(
        name, "", "ms", Spread(whole, found.low, found.high, found.best, len(seconds)), goal
    )


def _milliseconds(name: str, seconds: list[float], goal: Goal, limit: str) -> Figure:
    return Figure(name, "", "ms", spread([value * 1e3 for value in seconds]), goal, limit)
