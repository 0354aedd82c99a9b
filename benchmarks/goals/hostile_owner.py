"""What one hostile key can take of each resource, and what others feel meanwhile.

Several threads use the key without pause; meanwhile another owner submits and the health check is
requested. The limits are those of the defaults.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from statistics import quantiles

import httpx

from benchmarks.figures import Figure, at_most, spread
from benchmarks.options import Options
from benchmarks.service_process import Service
from runtime.settings import Settings
from schemas.access import Scope
from storage.access.keys import create_key
from storage.database.engine import Database

SECONDS = 20.0
THREADS = 4
PAUSE_SECONDS = 0.1
"""Between the requests of the others"""
HEALTH_MS, SUBMISSION_MS = 100, 1_000

Attack = Callable[[httpx.Client], httpx.Response | None]


def measure(options: Options) -> Iterator[Figure]:
    home = options.work_dir / "home"
    home.mkdir()
    keys = _make_keys(home, "hostile", "honest")
    with Service(home) as service:
        url = f"http://127.0.0.1:{service.port}"
        yield from _measure_attack(options, url, keys, "nothing", lambda http: time.sleep(0.05))
        for name, attack in _attacks().items():
            yield from _measure_attack(options, url, keys, name, attack)


def _make_keys(home: os.PathLike[str], *owners: str) -> Mapping[str, str]:
    db = Database(Settings(home=home, database_url=None).resolved_database_url)
    db.upgrade()
    scopes = (Scope.READ, Scope.SUBMIT, Scope.CANCEL)
    with db.write() as session:
        keys = {
            owner: create_key(session, owner=owner, scopes=scopes, lifetime=None)[1]
            for owner in owners
        }
    db.dispose()
    return keys


def _attacks() -> Mapping[str, Attack]:
    numbers = count()
    rates = [1e-6 * (1 + number) for number in range(2_000)]
    sweep = {"spec": {"kind": "train"}, "sweep": {"optimizer.lr": rates}}
    doubled = ("{" + ",".join('"spec":1' for _ in range(29_000)) + "}").encode()
    webhook = {"url": "https://203.0.113.1/hook", "secret": "whsec_" + "A" * 32}
    many_runs = {**sweep, "reuse": False, "execution": {"device": "cuda"}}

    def stream(http: httpx.Client) -> httpx.Response:
        made = http.get("/experiments", params={"limit": 1}).json().get("items")
        path = f"/experiments/{made[0]['id']}/events" if made else "/experiments"
        request = http.build_request("GET", path, headers={"accept": "text/event-stream"})
        return http.send(request, stream=True)  # left open

    def upload(http: httpx.Client) -> httpx.Response:
        content = os.urandom(4 << 20)
        return http.post("/datasets", params={"name": f"d{next(numbers)}"}, content=content)

    return {
        "CPU: previews of 2,000 points": lambda http: http.post("/experiments/preview", json=sweep),
        "CPU: 29,000 repeated keys": lambda http: http.post("/experiments", content=doubled),
        "rows: submissions of 2,000 runs": lambda http: http.post("/experiments", json=many_runs),
        "queue and webhooks: single runs": lambda http: http.post(
            "/experiments",
            json={
                "spec": {"kind": "train", "epochs": 1},
                "seeds": [next(numbers)],
                "execution": {"device": "cuda"},
                "webhook": webhook,
            },
        ),
        "event streams": stream,
        "uploads of 4 MiB": upload,
    }


def _measure_attack(
    options: Options, url: str, keys: Mapping[str, str], name: str, attack: Attack
) -> Iterator[Figure]:
    stopped, taken = threading.Event(), Counter[str]()
    seconds: dict[str, list[float]] = {"health": [], "submission": []}
    threads = [
        threading.Thread(target=_attack, args=(url, keys["hostile"], attack, stopped, taken))
        for _ in range(THREADS)
    ]
    threads += [
        threading.Thread(target=_use, args=(url, keys["honest"], kind, stopped, found))
        for kind, found in seconds.items()
    ]
    for thread in threads:
        thread.start()
    time.sleep(options.size(int(SECONDS), 2))
    stopped.set()
    for thread in threads:
        thread.join()
    answers = ", ".join(f"{number:,} x {code}" for code, number in sorted(taken.items()))
    for kind, what, limit in (
        ("health", "/healthz", HEALTH_MS),
        ("submission", "another owner's submission", SUBMISSION_MS),
    ):
        found = seconds[kind]
        if len(found) < 2:
            continue
        p99 = quantiles(found, n=100, method="inclusive")[98] * 1e3
        yield Figure(
            f"{name}: {what}, p99",
            "",
            "ms",
            spread([p99]),
            at_most(limit),
            note=f"{len(found)} requests; answers to the hostile key: {answers or 'none'}",
        )


def _attack(
    url: str, key: str, attack: Attack, stopped: threading.Event, taken: Counter[str]
) -> None:
    with httpx.Client(base_url=url, headers=_header(key), timeout=60) as http:
        while not stopped.is_set():
            with suppress(httpx.TransportError):
                response = attack(http)
                if response is not None:
                    taken[str(response.status_code)] += 1


def _use(url: str, key: str, kind: str, stopped: threading.Event, seconds: list[float]) -> None:
    with httpx.Client(base_url=url, headers=_header(key), timeout=60) as http:
        while not stopped.wait(PAUSE_SECONDS if kind == "health" else 1.2):
            began = time.perf_counter()
            if kind == "health":
                http.get("/healthz")
            else:
                body = {"spec": {"kind": "train", "epochs": 1}, "reuse": False}
                http.post("/experiments", json={**body, "execution": {"device": "cuda"}})
            seconds.append(time.perf_counter() - began)


def _header(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
