"""Options of the command line that every benchmark uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Where data is, where to work, and how much to measure."""

    work_dir: Path
    """Empty at the start, deleted at the end"""
    data_dir: Path | None
    """Folder with real data sets; None for generated ones of the same size"""
    smoke: bool
    """Tiny sizes and one round: only checks that the benchmark runs"""
    peers: bool
    """Whether other services are installed in their own environment and measured"""

    def rounds(self, wanted: int) -> int:
        return 1 if self.smoke else wanted

    def size(self, wanted: int, tiny: int) -> int:
        """`wanted`, or `tiny` in a smoke test."""
        return tiny if self.smoke else wanted

    def digits(self, *, train_size: int = 10_000) -> dict[str, Any]:
        """MNIST as in the paper, or generated images of the same shape and number."""
        size = self.size(train_size, 600)
        if self.data_dir is not None:
            return {
                "name": "mnist",
                "train_size": size,
                **({"test_size": 600} if self.smoke else {}),
            }
        return {"name": "synthetic", "train_size": size, "test_size": self.size(10_000, 600)}

    @property
    def data_description(self) -> str:
        return "MNIST" if self.data_dir is not None else "generated images of MNIST's shape"
