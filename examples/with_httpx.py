"""Use the API with httpx alone: submit, follow the events, read the result, save a figure."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx

URL = os.environ.get("RICHREGIME_URL", "http://127.0.0.1:8000")
BODY = {
    "spec": {"kind": "train", "epochs": 5},
    "sweep": {"model.width": [10, 100]},
    "seeds": [0, 1, 2],
    "name": "with httpx",
}


def main() -> None:
    with httpx.Client(base_url=URL, timeout=60) as http:
        response = http.post("/experiments", json=BODY)
        if response.is_error:
            raise SystemExit(f"{response.json()['detail']} {response.json().get('errors', '')}")
        experiment = response.json()
        base = f"/experiments/{experiment['id']}"
        with http.stream(
            "GET", f"{base}/events", headers={"Accept": "text/event-stream"}, timeout=None
        ) as stream:
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    print(line.removeprefix("event:").strip())
        while (response := http.get(f"{base}/result")).status_code == httpx.codes.CONFLICT:
            time.sleep(0.2)  # the result is stored shortly after the last run ends
        for point in response.raise_for_status().json()["points"]:
            accuracy = point["test_accuracy"]
            print(point["point"], f"{accuracy['mean']:.4f} ± {accuracy['standard_error']:.4f}")
        figure = http.get(f"{base}/plots/learning_curve.pdf").raise_for_status()
        Path("learning_curve.pdf").write_bytes(figure.content)


if __name__ == "__main__":
    main()
