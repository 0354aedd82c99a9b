"""API keys, logins, the audit trail, idempotency keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Column,
    Integer,
    String,
)
from sqlmodel import Field, SQLModel

from schemas.audit import Action
from storage.database.tables.columns import (
    enum_type,
    owner_field,
    parent_column,
    time_field,
)


class ApiKeyRow(SQLModel, table=True):
    """An API key; of the secret only the hash is stored."""

    __tablename__ = "api_key"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    owner: str = Field(sa_column=Column(String(64), nullable=False, index=True))
    scopes: str = Field(sa_column=Column(String(64), nullable=False))
    """Scope names, separated by spaces"""
    sha256: str = Field(sa_column=Column(String(64), nullable=False, unique=True), repr=False)
    created_at: datetime = time_field(nullable=False)
    expires_at: datetime | None = time_field()
    revoked_at: datetime | None = time_field()


class LoginRow(SQLModel, table=True):
    """A browser login; `sha256` is the hash of the token in its cookie."""

    __tablename__ = "login"

    sha256: str = Field(sa_column=Column(String(64), primary_key=True), repr=False)
    key_id: str = Field(sa_column=parent_column("api_key.id"))
    created_at: datetime = time_field(nullable=False)
    expires_at: datetime = time_field(nullable=False, index=True)


class AuditRow(SQLModel, table=True):
    """One write request: who did what; see `storage.access.audit`."""

    __tablename__ = "audit"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    at: datetime = time_field(nullable=False, index=True)
    owner: str = Field(sa_column=Column(String(64), nullable=False))
    key_id: str | None = Field(default=None, sa_column=Column(String(40)))
    action: Action = Field(sa_column=Column(enum_type(Action), nullable=False))
    target: str | None = Field(default=None, sa_column=Column(String(64), index=True))
    request_id: str | None = Field(default=None, sa_column=Column(String(16)))
    detail: str | None = Field(default=None, sa_column=Column(String(200)))


class IdempotencyRow(SQLModel, table=True):
    """The response that an idempotency key received."""

    __tablename__ = "idempotency"

    owner: str = owner_field(primary_key=True)
    key: str = Field(sa_column=Column(String(200), primary_key=True))
    body_sha256: str = Field(sa_column=Column(String(64), nullable=False))
    experiment_id: str = Field(sa_column=Column(String(40), nullable=False))
    status_code: int = Field(sa_column=Column(Integer, nullable=False))
    created_at: datetime = time_field(nullable=False)
