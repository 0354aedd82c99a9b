"""Writes an experiment into a folder, in one of the formats."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from richregime.errors import ExtraMissing
from richregime.exporting.columns import Columns, list_tables
from richregime.exporting.event_files import write_event_files
from richregime.exporting.mlflow_store import import_mlflow, write_mlflow
from richregime.exporting.source import ExportSource
from richregime.exporting.tracker_files import require, write_trackio, write_wandb

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet read a cell as a formula."""
TableFormat = Literal["csv", "parquet", "tensorboard", "mlflow", "trackio", "wandb-offline"]
Writer = Callable[[ExportSource, Path], Sequence[Path]]


def find_writer(table_format: TableFormat) -> Writer:
    """The function that writes a format. Raises ExtraMissing if its package is not installed."""
    match table_format:
        case "parquet":
            _import_parquet()
        case "mlflow":
            import_mlflow()
        case "trackio":
            require("trackio")
        case "wandb-offline":
            require("wandb")
    return TABLE_FORMATS[table_format]


def write_csv(source: ExportSource, folder: Path) -> list[Path]:
    """Write `metrics.csv` and `results.csv` in UTF-8: full precision, null as an empty cell."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_csv(folder / f"{name}.csv", columns) for name, columns in list_tables(source)]


def write_parquet(source: ExportSource, folder: Path) -> list[Path]:
    """Write `metrics.parquet` and `results.parquet`: the tables of `write_csv` with types."""
    arrow, parquet = import_module("pyarrow"), _import_parquet()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, columns in list_tables(source):
        path = folder / f"{name}.parquet"
        arrays = {column: _to_array(arrow, values) for column, values in columns.items()}
        parquet.write_table(arrow.table(arrays), path)
        written.append(path)
    return written


TABLE_FORMATS: Mapping[TableFormat, Writer] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "tensorboard": write_event_files,
    "mlflow": write_mlflow,
    "trackio": write_trackio,
    "wandb-offline": write_wandb,
}


def _write_csv(path: Path, columns: Columns) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(_plain_cell, columns))
        writer.writerows(map(_plain_cell, row) for row in zip(*columns.values(), strict=True))
    return path


def _plain_cell(value: Any) -> Any:
    """Text that a spreadsheet would compute gets an apostrophe before it."""
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{value}" if is_formula else value


def _import_parquet() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError:
        raise ExtraMissing("pyarrow") from None


def _to_array(arrow: Any, values: Sequence[Any]) -> Any:
    """A column of the narrowest type that represents all values exactly."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return arrow.array(values, arrow.float64())
    if len(kinds) > 1:
        return arrow.array(
            [value if value is None else str(value) for value in values], arrow.string()
        )
    return arrow.array(values)
