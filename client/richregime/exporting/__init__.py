"""An experiment as files of other tools: CSV, Parquet and TensorBoard's event files."""

from richregime.exporting.source import ExportSource
from richregime.exporting.writing import TABLE_FORMATS, TableFormat, find_writer

__all__ = ["TABLE_FORMATS", "ExportSource", "TableFormat", "find_writer"]
