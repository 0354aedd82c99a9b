"""Column types that several tables share, and the naming of constraints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Enum,
    ForeignKey,
    String,
    text,
)
from sqlmodel import Field, SQLModel

from storage.database.json_columns import ValidatedJson

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def enum_type(members: type[Any]) -> Enum:
    return Enum(
        members,
        native_enum=False,
        length=32,
        values_callable=lambda found: [member.value for member in found],
    )


def time_field(*, nullable: bool = True, index: bool = False) -> Any:
    return Field(
        default=None, sa_column=Column(DateTime(timezone=True), nullable=nullable, index=index)
    )


def json_column(value_type: Any, default: str) -> Any:
    return Column(
        ValidatedJson(value_type, default), nullable=False, server_default=text(f"'{default}'")
    )


def optional_json_column(value_type: Any) -> Any:
    return Column(ValidatedJson(value_type, "null"))


def parent_column(column: str, *, index: bool = True) -> Any:
    return Column(String(40), ForeignKey(column, ondelete="CASCADE"), nullable=False, index=index)


def owner_field(**column: Any) -> Any:
    """The owner of the API key that made the row; empty: made while no key was required."""
    return Field(
        default="", sa_column=Column(String(64), nullable=False, server_default="", **column)
    )
