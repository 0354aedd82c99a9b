"""Exports of an experiment for other tools: tables, and experiment trackers."""

from richregime.exporting.source import ExportSource
from richregime.exporting.writing import TABLE_FORMATS, TableFormat, find_writer

__all__ = ["TABLE_FORMATS", "ExportSource", "TableFormat", "find_writer"]
