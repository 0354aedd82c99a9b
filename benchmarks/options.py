"""What the command line asks of every benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """Where data lies, where to work, and how thoroughly."""

    work_dir: Path
    """Empty at the start, deleted at the end"""
    data_dir: Path | None
    """Folder with real data sets; None takes generated ones of the same size"""
    smoke: bool
    """Tiny sizes, one round: whether it runs, not how fast"""
    peers: bool
    """Whether other services are installed, in an environment of their own, and measured"""

    def rounds(self, wanted: int) -> int:
        return 1 if self.smoke else wanted

    def size(self, wanted: int, tiny: int) -> int:
        """`wanted`, or `tiny` where only smoke is looked for."""
        return tiny if self.smoke else wanted

    def digits(self, *, train_size: int = 10_000) -> dict[str, Any]:
        """MNIST as the paper takes it, or generated images of that shape and number."""
        size = self.size(train_size, 600)
        if self.data_dir is not None:
            return {
                "name": "mnist",
                "train_size": size,
                **({"test_size": 600} if self.smoke else {}),
            }
        return {"name": "synthetic", "train_size": size, "test_size": self.size(10_000, 600)}

    @property
    def data_words(self) -> str:
        return "MNIST" if self.data_dir is not None else "generated images of MNIST's shape"
