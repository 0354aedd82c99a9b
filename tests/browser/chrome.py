"""Drives a headless Chromium by the Chrome DevTools Protocol over two pipes, without a driver."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
RESPONSE_SECONDS = 60.0


def find_chromium() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name)) is not None), None)


class PageError(AssertionError):
    """The page or the browser did not do what the test expects."""


@dataclass
class Browser:
    """One page of one browser, the addresses that it requested and the errors that it logged."""

    write_end: int
    read_end: int
    session: str = ""
    requested: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _last: int = 0
    _buffer: bytes = b""
    _responses: dict[int, dict[str, Any]] = field(default_factory=dict)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + RESPONSE_SECONDS
        while self._last not in self._responses:
            if time.monotonic() > deadline:
                raise PageError(f"the browser did not respond to {method}")
            self.listen(0.2)
        response = self._responses.pop(self._last)
        if "error" in response:
            raise PageError(f"{method}: {response['error']}")
        result: dict[str, Any] = response["result"]
        return result

    def listen(self, seconds: float) -> None:
        """Read messages of the browser; wait up to `seconds` for the first."""
        readable, _, _ = select.select([self.read_end], [], [], seconds)
        if not readable:
            return
        *messages, self._buffer = (self._buffer + os.read(self.read_end, 1 << 20)).split(b"\0")
        for message in messages:
            self._handle(json.loads(message))

    def _handle(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._responses[message["id"]] = message
            return
        event = message["params"]
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requested.append(event["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(json.dumps(event["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if event["type"] in ("error", "warning", "assert"):
                self.errors.append(" ".join(str(one.get("value", one)) for one in event["args"]))
            case "Log.entryAdded" if event["entry"]["level"] in ("error", "warning"):
                self.errors.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise PageError(f"{expression}: {json.dumps(answer['exceptionDetails'])[:500]}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60.0) -> None:
        """Return once the expression is true; raises PageError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self.evaluate(f"!!({expression})"):
                    return
            except PageError as error:
                if "Cannot find context" not in str(error) and "navigat" not in str(error):
                    raise
            if time.monotonic() > deadline:
                raise PageError(f"not true within {seconds:g} s: {expression}")
            self.listen(0.1)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key. code: its Windows virtual key code."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """Set the preferred color scheme: `dark` or `light`."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])


@contextmanager
def chromium(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with one empty page; it is closed afterwards."""
    to_browser, from_test = os.pipe()
    to_test, from_browser = os.pipe()
    # The browser reads from descriptor 3 and writes to 4; duplicates keep these two free.
    reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser))

    def set_descriptors() -> None:
        os.dup2(reads, 3)
        os.dup2(writes, 4)

    process = subprocess.Popen(
        [program, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(3, 4),
        preexec_fn=set_descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (to_browser, from_browser, reads, writes):
        os.close(end)
    browser = Browser(from_test, to_test)
    try:
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Network", "Runtime", "Log"):
            browser.call(f"{domain}.enable")
        yield browser
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_test)
        os.close(to_test)
