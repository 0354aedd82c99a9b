"""Tables: CSV and Parquet, one example a row, one column of labels."""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.importing.imported import Imported, number_labels, split
from engine.data.importing.options import ErrorList, ImportOptions, refuse
from engine.data.npz import Array
from engine.errors import InvalidSpec

DELIMITERS = ",;\t|"
MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "?", "-"})
"""Cells that stand for no value, in any case"""
MAX_FLOAT32 = float(np.finfo(np.float32).max)
MAX_COLUMNS = 100_000
PARQUET_ROWS = 4_096
SHOWN_NAMES = 20

Row = tuple[str, Sequence[str]]
"""Its place in the file, such as `line 3`, and its cells"""


def read_csv(path: Path, options: ImportOptions) -> Imported:
    """A text file with one row a line; a first line without any number holds the names.

    Raises InvalidSpec that names line and column.
    """
    rows = _read_lines(path, options)
    first = next(rows, None)
    if first is None:
        raise refuse(options, "empty", "the file is empty")
    place, cells = first
    if any(_to_number(cell) is not None for cell in cells):
        names = [f"column{number}" for number in range(1, len(cells) + 1)]
        return _read_table(names, _chain(first, rows), options)
    return _read_table(check_names(cells, options, f"{place}: "), rows, options)


def read_parquet(path: Path, options: ImportOptions) -> Imported:
    """A Parquet file; its column names are those of the features. Needs pyarrow.

    Raises InvalidSpec that names row and column.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise refuse(
            options,
            "needs-pyarrow",
            "reading Parquet needs pyarrow where the service runs: pip install pyarrow, or write "
            "the table as CSV",
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            names = check_names(file.schema_arrow.names, options)
            return _read_table(names, read_rows(file), options)
    except (ArrowException, OSError, ValueError) as error:
        raise refuse(options, "unreadable", f"not a readable Parquet file: {error}") from None


def read_rows(file: Any, where: str = "", first: int = 1) -> Iterator[Row]:
    """The rows of an open Parquet file, numbered from `first`; their places begin with `where`."""
    number = first
    for batch in file.iter_batches(PARQUET_ROWS):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield f"{where}row {number}", [to_text(value) for value in values]
            number += 1


def to_text(value: object) -> str:
    """A value as the cell of a table."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _read_lines(path: Path, options: ImportOptions) -> Iterator[Row]:
    with path.open("rb") as file:
        head = file.read(1 << 16).decode("utf-8-sig", errors="replace").partition("\n")[0]
    delimiter = max(DELIMITERS, key=head.count)
    with path.open("rb") as file:
        reader = csv.reader(_decode(file, options), delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if cells:
                    yield f"line {reader.line_num}", [cell.strip() for cell in cells]
        except csv.Error as error:
            raise refuse(options, "unreadable", f"line {reader.line_num}: {error}") from None


def _decode(file: io.BufferedReader, options: ImportOptions) -> Iterator[str]:
    """Lines as text. Raises InvalidSpec for bytes that are not UTF-8."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            detail = (
                f"line {number}: byte {error.start + 1} is 0x{line[error.start]:02x}, which is not "
                "UTF-8; save the file as UTF-8, for example with `iconv -f latin1 -t utf-8`"
            )
            raise refuse(options, "not-utf-8", detail) from None


def _chain(first: Row, rest: Iterable[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def check_names(names: Sequence[str], options: ImportOptions, where: str = "") -> list[str]:
    """The names of columns. Raises InvalidSpec for empty, equal, too long or too many ones."""
    longest = options.limits.max_name
    for name in names:
        if not name or len(name) > longest or names.count(name) > 1:
            problem = "an empty name" if not name else f"{name[:40]!r} twice or too long"
            raise refuse(options, "wrong-names", f"{where}the names of columns hold {problem}")
    if len(names) > MAX_COLUMNS:
        raise refuse(options, "too-many-columns", f"{where}more than {MAX_COLUMNS:,} columns")
    return list(names)


def _read_table(names: Sequence[str], rows: Iterable[Row], options: ImportOptions) -> Imported:
    table = Table(names, _find_label(names, options), options)
    for place, cells in rows:
        table.add(place, cells)
    return table.finish()


def _find_label(names: Sequence[str], options: ImportOptions) -> int:
    if len(names) < 2:
        raise refuse(
            options,
            "one-column",
            "a table needs a column of features and one of labels; its only column is "
            f"{names[0][:80]!r}",
        )
    if options.label is None:
        return len(names) - 1
    if options.label in names:
        return list(names).index(options.label)
    raise InvalidSpec.single(
        "#/query/label",
        "unknown-column",
        f"there is no column {options.label!r}; there are {_list_names(names)}",
    )


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")


class Table:
    """Numbers and labels, row by row; memory is that of the numbers.

    A column is text if the first row has text there: it is left out, and told. Later text in a
    column of numbers is an error, as is a missing value.
    """

    def __init__(self, names: Sequence[str], label: int, options: ImportOptions) -> None:
        self._names, self._label, self._options = names, label, options
        self._columns: list[int] = []
        """Those of the features"""
        self._notes: list[str] = []
        self._numbers = array("f")
        self._labels: list[str] = []
        self._texts: dict[str, str] = {}
        self._errors = ErrorList(options)
        self._is_first = True

    def add(self, place: str, cells: Sequence[str]) -> None:
        """Add a row. Errors are collected."""
        if len(cells) != len(self._names):
            self._errors.add(
                "ragged",
                f"{place} has {len(cells)} cells; there are {len(self._names)} columns",
            )
            return
        if self._is_first:
            self._choose_columns(place, cells)
        if 4 * len(self._numbers) > self._options.limits.max_bytes:
            limit = f"{self._options.limits.max_bytes:,}"
            raise refuse(
                self._options,
                "too-large",
                f"{place}: the numbers take more than {limit} bytes",
            )
        label = cells[self._label]
        if label.lower() in MISSING:
            self._add_error(place, self._label, "missing-label", "the label is missing")
        elif len(label) > self._options.limits.max_name:
            self._add_error(place, self._label, "wrong-label", f"{label[:40]!r}... is too long")
        self._labels.append(self._texts.setdefault(label, label))
        for column in self._columns:
            self._numbers.append(self._read_number(place, column, cells[column]))

    def _choose_columns(self, place: str, cells: Sequence[str]) -> None:
        self._is_first = False
        for column, cell in enumerate(cells):
            if column == self._label:
                continue
            if _to_number(cell) is None and cell.lower() not in MISSING:
                self._notes.append(
                    f"column {self._names[column]!r} was left out: it holds text "
                    f"({place}: {cell[:40]!r})"
                )
            else:
                self._columns.append(column)

    def _read_number(self, place: str, column: int, cell: str) -> float:
        value = _to_number(cell)
        if value is not None and abs(value) <= MAX_FLOAT32:
            return value
        if cell.lower() in MISSING:
            self._add_error(place, column, "missing-value", "the value is missing")
        elif value is None:
            self._add_error(place, column, "not-a-number", f"{cell[:40]!r} is not a number")
        else:
            self._add_error(place, column, "too-large", f"{cell[:40]} is too large for float32")
        return 0.0

    def _add_error(self, place: str, column: int, code: str, detail: str) -> None:
        where = f"{place}, column {self._names[column]!r}"
        self._errors.add(code, f"{where}: {detail}")

    def finish(self, train_rows: int | None = None) -> Imported:
        """The data set; its test set is drawn, or is what follows the first `train_rows` rows.

        Raises InvalidSpec with the errors of all rows.
        """
        options = self._options
        self._errors.raise_if_any()
        if not self._labels:
            raise refuse(options, "empty", "the table has no rows")
        if not self._columns:
            raise refuse(options, "no-features", f"no column holds numbers: {self._notes[0]}")
        label_name = self._names[self._label]
        what = f"the column of labels, {label_name!r}"
        if options.label is None:
            what += f" (the last of {_list_names(self._names)})"
        classes, y = number_labels(self._labels, options, f"{what},")
        x: Array = np.frombuffer(self._numbers, np.float32).reshape(len(y), -1)
        return Imported(
            *split(x, y, classes, options, train_rows),
            classes,
            tuple(self._names[column] for column in self._columns),
            (f"labels: column {label_name!r}", *self._notes),
            tuple(self._names),
        )


def _to_number(cell: str) -> float | None:
    """The finite number that the cell holds, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if isfinite(value) and "_" not in cell else None
