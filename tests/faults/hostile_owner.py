"""An owner who uses a valid key to disturb and to spy on another owner."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from statistics import quantiles
from typing import Any

import httpx

TINY = {"kind": "train", "epochs": 1, "data": {"name": "digits", "train_size": 32, "test_size": 16}}
LISTS = (
    *("/experiments?limit=200", "/experiments?q=exp", "/queue", "/workers", "/datasets"),
    *("/checkpoints", "/audit", "/metrics", "/limits", "/storage", "/presets"),
)
OF_FOREIGN = (
    *(("GET", path) for path in ("", "/result", "/runs", "/metrics", "/export", "/points")),
    *(("POST", path) for path in ("/cancel", "/retry", "/extend")),
    *(("PATCH", ""), ("DELETE", ""), ("DELETE", "?dry_run=true")),
)
"""Requests on another owner's experiment, which all must return 404"""


class HostileOwner:
    """Sends hostile requests from several threads between `start` and `stop`.

    foreign_ids: ids of the other owner's experiments. marker: a text in all their names.
    """

    def __init__(
        self, url: str, key: str, foreign_ids: Callable[[], Sequence[str]], marker: str, seed: int
    ) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}
        self._foreign_ids, self._marker = foreign_ids, marker
        self._rng, self._seeds = random.Random(seed), count(1)
        self._own: list[str] = []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._attack) for _ in range(3)]
        self._threads.append(threading.Thread(target=self._probe_health))
        self.seen: list[str] = []
        """Responses that reveal the other owner's experiments, and ones on them that are not 404"""
        self.failures: list[str] = []
        """Responses with an unexpected 5xx"""
        self.sent: Counter[str] = Counter()
        """Responses by action and status code"""
        self.health_seconds: list[float] = []
        self._actions: tuple[Callable[[httpx.Client], None], ...] = (
            self._preview_much,
            self._send_bad_bodies,
            self._race_own,
            self._touch_foreign,
            self._list,
            self._upload,
            self._open_streams,
            self._guess_keys,
        )

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads and cancel what the owner has submitted."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as http:
            for experiment_id in self._own:
                while http.post(f"/experiments/{experiment_id}/cancel").status_code in (429, 503):
                    time.sleep(1)

    def health_p99(self) -> float:
        """Seconds."""
        return quantiles(self.health_seconds, n=100, method="inclusive")[98]

    def _attack(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=60) as http:
            while not self._stopped.is_set():
                action = self._rng.choice(self._actions)
                with suppress(httpx.TransportError):
                    action(http)

    def _probe_health(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as http:
            while not self._stopped.wait(0.2):
                began = time.monotonic()
                http.get("/healthz")
                self.health_seconds.append(time.monotonic() - began)

    def _send(self, http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        response = http.request(method, path, **more)
        self.sent[f"{method} {response.status_code}"] += 1
        text, where = response.text, f"{method} {path}: {response.status_code}"
        if response.status_code >= 500 and response.status_code not in (503, 507):
            self.failures.append(f"{where} {text[:300]}")
        revealed = [one for one in self._foreign_ids() if one in text and one not in path]
        if self._marker in text or revealed:
            self.seen.append(f"{where} {text[:300]}")
        return response

    def _submit(self, http: httpx.Client) -> str | None:
        body = {"spec": TINY, "seeds": [next(self._seeds)], "reuse": False}
        response = self._send(http, "POST", "/experiments", json=body)
        if response.status_code != 201:
            return None
        experiment_id: str = response.json()["id"]
        self._own.append(experiment_id)
        return experiment_id

    def _preview_much(self, http: httpx.Client) -> None:
        rates = [self._rng.random() for _ in range(2_000)]
        body = {"spec": {"kind": "train"}, "sweep": {"optimizer.lr": rates}}
        self._send(http, "POST", "/experiments/preview", json=body)

    def _send_bad_bodies(self, http: httpx.Client) -> None:
        doubled = "{" + ",".join('"spec":1' for _ in range(29_000)) + "}"
        deep = "[" * 50_000
        unknown = json.dumps({f"field{number}": 0 for number in range(10_000)})
        for body in (doubled, deep, unknown, '{"spec": {"kind": ' + "9" * 100_000 + "}}"):
            for path in ("/experiments", "/experiments/preview"):
                self._send(http, "POST", path, content=body)

    def _race_own(self, http: httpx.Client) -> None:
        experiment_id = self._submit(http)
        if experiment_id is None:
            return
        path = f"/experiments/{experiment_id}"
        changes: list[tuple[str, str, Any]] = [
            ("POST", f"{path}/extend", {"seeds": [1_000_000]}),
            ("POST", f"{path}/extend", {"seeds": [1_000_000, 1_000_001]}),
            ("POST", f"{path}/cancel", None),
            ("POST", f"{path}/retry", None),
            ("PATCH", path, {"priority": 10}),
            ("DELETE", path, None),
        ]
        with ThreadPoolExecutor(len(changes)) as pool:
            list(pool.map(lambda one: self._send(http, one[0], one[1], json=one[2]), changes))

    def _touch_foreign(self, http: httpx.Client) -> None:
        foreign = self._foreign_ids()
        if not foreign:
            return
        experiment_id = self._rng.choice(foreign)
        for method, path in OF_FOREIGN:
            body: Any = {"seeds": [9]} if path == "/extend" else None
            body = {"name": "mine"} if method == "PATCH" else body
            url = f"/experiments/{experiment_id}{path}"
            response = self._send(http, method, url, json=body)
            if response.status_code not in (404, 429, 503):
                self.seen.append(f"{method} {path} on a foreign experiment: {response.text[:300]}")

    def _list(self, http: httpx.Client) -> None:
        for path in LISTS:
            self._send(http, "GET", path)

    def _upload(self, http: httpx.Client) -> None:
        junk = os.urandom(1 << 16)
        for path in ("/import", "/datasets?name=junk", "/checkpoints"):
            for content in (junk, b"PK\x03\x04" + junk, b"\x93NUMPY" + junk):
                headers = {"content-type": "application/octet-stream"}
                self._send(http, "POST", path, content=content, headers=headers)

    def _open_streams(self, http: httpx.Client) -> None:
        experiment_id = self._submit(http)
        if experiment_id is None:
            return
        path = f"/experiments/{experiment_id}/events"
        streams = []
        for _ in range(30):
            request = http.build_request("GET", path, headers={"accept": "text/event-stream"})
            streams.append(http.send(request, stream=True))
        for stream in streams:
            self.sent[f"stream {stream.status_code}"] += 1
            stream.close()

    def _guess_keys(self, http: httpx.Client) -> None:
        for _ in range(20):
            headers = {"Authorization": f"Bearer rr_{os.urandom(16).hex()}"}
            self._send(http, "GET", "/experiments", headers=headers)
