"""Draws the pictures of the first page: the example of each kind, computed and drawn small.

`python -m ops.kind_pictures` writes api/web/assets/kinds/KIND.png in a minute. Run it when an
example or its plot changes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from engine.drawing.figure import PlotOptions
from engine.drawing.fitting import draw_plot
from engine.experiments.registry import kinds
from engine.kind import Kind
from engine.local import run_local
from engine.plot_numbers import plot_numbers
from engine.plotting import save

FOLDER = Path(__file__).parents[1] / "api" / "web" / "assets" / "kinds"
PICTURES = {
    "train": "learning_curve",
    "reinit_sweep": "curves_linear",
    "activity_map": "layer_shares",
    "gradient_spectrum": "share_of_norm",
    "lws": "accuracy_bars",
    "sparse_train": "accuracy_by_share",
    "lottery": "accuracy_by_weights_left",
    "connectivity": "line_error",
}
"""By kind: the plot that shows what it asks"""
OPTIONS = PlotOptions(width="column", dpi=200, title="none")


def draw_picture(kind: Kind, out: Path) -> bytes:
    """The PNG of a kind's example. out: an empty folder for the run."""
    body = kind.example
    done = run_local(
        body, out, seeds=body["seeds"], data_dir=out / "data", device="cpu", allow_download=False
    )
    plots, name = kind.load_plots(), PICTURES[kind.name]
    figure = draw_plot(plots, name, plot_numbers(kind, name, done), OPTIONS)
    return save(figure, "png", OPTIONS)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        with tempfile.TemporaryDirectory() as out:
            (FOLDER / f"{name}.png").write_bytes(draw_picture(kinds()[name], Path(out)))


if __name__ == "__main__":
    main()
