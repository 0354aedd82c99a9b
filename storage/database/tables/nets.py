"""Nets that only torch can describe: their layers, and the plug-ins that workers have read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Integer, String, Text
from sqlmodel import Field

from storage.database.json_columns import JsonRow
from storage.database.tables.columns import json_column, optional_json_column, time_field


class DescribedNetRow(JsonRow, table=True):
    """The layers of a net for one shape and number of classes, or that they are wanted."""

    __tablename__ = "described_net"

    key: str = Field(sa_column=Column(String(64), primary_key=True))
    model: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    shape: list[int] = Field(sa_column=json_column(list[int], "[]"))
    num_classes: int = Field(sa_column=Column(Integer, nullable=False))
    layers: list[dict[str, Any]] | None = Field(
        default=None, sa_column=optional_json_column(list[dict[str, Any]])
    )
    """Null until a worker has described it"""
    error: str | None = Field(default=None, sa_column=Column(Text))
    """Why it cannot be used"""
    asked_at: datetime = time_field(nullable=False)
    claimed_at: datetime | None = time_field()
    described_at: datetime | None = time_field(index=True)


class PluginListingRow(JsonRow, table=True):
    """The nets of the plug-ins that the workers of one host have read last."""

    __tablename__ = "plugin_listing"

    host: str = Field(sa_column=Column(String(200), primary_key=True))
    listing: dict[str, Any] = Field(sa_column=json_column(dict[str, Any], "{}"))
    read_at: datetime = time_field(nullable=False)
