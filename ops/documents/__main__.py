"""`python -m ops.documents`: write the generated documents."""

from __future__ import annotations

from pathlib import Path

from ops.documents import GENERATED

ROOT = Path(__file__).parents[2]


def main() -> None:
    for path, text_of in GENERATED.items():
        (ROOT / path).write_text(text_of(), encoding="utf-8")


if __name__ == "__main__":
    main()
