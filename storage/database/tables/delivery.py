"""Webhooks and their deliveries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Column,
    Index,
    Integer,
    String,
    Text,
)
from sqlmodel import Field, SQLModel

from schemas.webhooks import DeliveryState, WebhookFormat
from storage.database.tables.columns import (
    enum_type,
    parent_column,
    time_field,
)


class WebhookRow(SQLModel, table=True):
    """A URL that is notified when the experiment ends."""

    __tablename__ = "webhook"

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    experiment_id: str = Field(sa_column=parent_column("experiment.id"))
    url: str = Field(sa_column=Column(Text, nullable=False))
    secret: str | None = Field(default=None, sa_column=Column(Text), repr=False)
    """Null: the setting `webhook_secret` at the time of sending; for Slack no signature"""
    format: WebhookFormat = Field(
        default=WebhookFormat.STANDARD,
        sa_column=Column(enum_type(WebhookFormat), nullable=False, server_default="standard"),
    )
    created_at: datetime = time_field(nullable=False)


class DeliveryRow(SQLModel, table=True):
    """One notification to one webhook. A claim moves `due_at` into the future, as a lease."""

    __tablename__ = "delivery"
    __table_args__ = (Index(None, "state", "due_at"),)

    id: str = Field(sa_column=Column(String(40), primary_key=True))
    webhook_id: str = Field(sa_column=parent_column("webhook.id"))
    body: str = Field(sa_column=Column(Text, nullable=False))
    state: DeliveryState = Field(
        default=DeliveryState.PENDING,
        sa_column=Column(enum_type(DeliveryState), nullable=False, server_default="pending"),
    )
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))
    due_at: datetime = time_field(nullable=False)
    created_at: datetime = time_field(nullable=False)
