"""What a user waits for: commands, and the page and the pictures of an experiment of 200 points."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, at_most, in_seconds, spread
from benchmarks.interleave import timed
from benchmarks.options import Options
from benchmarks.service_process import JsonClient, Service, tiny_experiment, wait_for_end
from tests.browser.chrome import Browser, chromium, find_chromium

POINTS = 200
COMMAND_SECONDS, PICTURE_SECONDS, PAINT_SECONDS = 0.35, 1.0, 1.5
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
PICTURES_SHOWN = (
    "[...document.images].filter(one => one.getBoundingClientRect().top < innerHeight)"
    ".every(one => one.complete && one.naturalWidth > 0)"
)
"""Of those in view"""


def measure(options: Options) -> Iterator[Figure]:
    with Service(options.work_dir / "home") as service:
        yield from _commands(options, service)
        client = service.connect()
        points = options.size(POINTS, 4)
        body = {
            **tiny_experiment(0, epochs=1),
            "sweep": {"model.width": list(range(2, 2 + points))},
        }
        experiment_id = client.post("/experiments", body)["id"]
        wait_for_end(client, [experiment_id])
        yield from _pictures(options, client, experiment_id, points)
        yield from _page(options, service, experiment_id, points)


def _commands(options: Options, service: Service) -> Iterator[Figure]:
    url = f"http://127.0.0.1:{service.port}"
    for words in (["--help"], ["list"], ["queue"]):
        run = timed(lambda words=words: _run_command(words, url))
        run()
        seconds = [run() for _ in range(options.rounds(11))]
        name = f"`richregime {' '.join(words)}`, the whole process"
        yield in_seconds(name, seconds, at_most(COMMAND_SECONDS))


def _run_command(words: Sequence[str], url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "richregime", *words],
        check=True,
        env={**os.environ, "RICHREGIME_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _pictures(
    options: Options, client: JsonClient, experiment_id: str, points: int
) -> Iterator[Figure]:
    """Each picture for the first time, so that no answer is kept; the very first one warms up."""
    plots = client.get(f"/experiments/{experiment_id}/plots")["items"]
    names = [plot["name"] for plot in plots if plot["applies"]]

    def fetch(name: str, width: float) -> None:
        path = f"/experiments/{experiment_id}/plots/{name}.png?width={width}"
        status, _ = client.request_bytes("GET", path)
        assert status == 200, name

    fetch(names[0], 6.0)
    for name in names:
        seconds = [
            timed(lambda name=name, width=width: fetch(name, width))()
            for width in (7 + number / 10 for number in range(options.rounds(7)))
        ]
        yield in_seconds(f"PNG `{name}` of {points} points", seconds, at_most(PICTURE_SECONDS))


def _page(options: Options, service: Service, experiment_id: str, points: int) -> Iterator[Figure]:
    program = find_chromium()
    assert program is not None, "Chromium is not installed (Debian: apt-get install chromium)"
    first, whole = [], []
    for number in range(options.rounds(7) + 1):
        with chromium(program, options.work_dir / f"profile{number}") as browser:
            browser.resize(1280, 900)
            url = f"http://127.0.0.1:{service.port}/view/{experiment_id}"
            seconds = timed(lambda browser=browser, url=url: _open(browser, url))()
            if number:  # the first one warms up the service
                first.append(float(browser.evaluate(FIRST_PAINT)) / 1_000)
                whole.append(seconds)
    name = f"page of {points} points, a new browser"
    yield in_seconds(f"{name}: first paint", first, at_most(PAINT_SECONDS))
    yield Figure(f"{name}: all pictures in view", "", "s", spread(whole))


def _open(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait_for(PICTURES_SHOWN)
