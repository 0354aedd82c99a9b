"""Every setting of the service, read from RICHREGIME_* variables. All state is under `home`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.logs import LogFormat
from runtime.root_path import parse_root_path
from schemas.webhooks import SECRET_FORMAT, read_key
from storage.runs.placement import parse_labels

HEARTBEATS_PER_LEASE = 3
"""Least number: a worker stops after two thirds of a lease without an answer, so one heartbeat may
get lost."""


class Settings(BaseSettings):
    """Frozen; one instance a process. Error messages hide the values: one of them is a secret."""

    model_config = SettingsConfigDict(
        env_prefix="RICHREGIME_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(
        default_factory=lambda: Path.home() / ".richregime",
        description="Folder of all state.",
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy URL of an external Postgres; null: an SQLite file under `home`.",
    )
    broker_url: str | None = Field(
        None,
        description="URL of an external Redis or Valkey; null: `up` starts an embedded Valkey.",
    )
    data_dir: Path | None = Field(
        None,
        description="Folder of data sets and pretrained weights; null: `data` under `home`.",
    )
    blob_dir: Path | None = Field(
        None, description="Folder of stored files; null: `blobs` under `home`."
    )
    blob_url: str | None = Field(
        None,
        description="Object store of the stored files, `s3://bucket/prefix`; null: the folder "
        "`blob_dir`.",
    )
    host: str = Field("127.0.0.1", description="Address on which the API listens.")
    port: int = Field(8000, ge=0, le=65535, description="Port on which the API listens.")
    allow_public: bool = Field(
        False,
        description="Set it where a proxy guards the service: accept every host name, and, as long "
        "as no API key exists, accept requests without a key on addresses other than loopback.",
    )
    root_path: str = Field(
        "/",
        validate_default=True,
        description="Path below which a proxy serves the service, such as `/lab`; the proxy "
        "removes it from each request. `X-Forwarded-Prefix` of a trusted proxy overrides it.",
    )
    log_format: LogFormat = Field(
        LogFormat.TEXT,
        description="Format of the log on standard error: `text`, or `json` with one object a "
        "line.",
    )
    allow_download: bool = Field(True, description="Download missing data sets and weights.")
    cpu_workers: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=256,
        description="Runs that a CPU worker executes concurrently.",
    )
    worker_labels: Annotated[dict[str, str], NoDecode] = Field(
        default={},
        description="Labels of this worker, which a run can require by `execution.requires`, such "
        "as `site=basement,gpu=h100`.",
    )
    lease_seconds: float = Field(
        30.0,
        gt=0,
        description="A run whose worker sends no heartbeat for this many seconds is queued again.",
    )
    heartbeat_seconds: float = Field(
        1.0,
        gt=0,
        description="Seconds between two heartbeats of a run, which renew its lease and fetch "
        "cancel requests; at most a third of `lease_seconds`.",
    )
    reconcile_seconds: float = Field(
        2.0,
        gt=0,
        description="Seconds between two checks for lost wake-ups and expired leases.",
    )
    wake_after_seconds: float = Field(
        15.0,
        gt=0,
        description="The wake-up for a queued run is sent again after this many seconds.",
    )
    checkpoint_seconds: float = Field(
        2.0, ge=0, description="Minimum seconds between two resume checkpoints of a run."
    )
    max_attempts: int = Field(
        4,
        ge=1,
        le=100,
        description="A run fails when it has lost its worker this many times since its last "
        "resume checkpoint.",
    )
    max_body_bytes: int = Field(
        262_144, ge=1024, description="Largest request body in bytes, uploads of files excepted."
    )
    max_dataset_bytes: int = Field(
        1 << 30, ge=1024, description="Largest data set upload in bytes."
    )
    max_import_bytes: int = Field(4 << 30, ge=1024, description="Largest import in bytes.")
    max_points: int = Field(2_000, ge=1, description="Maximum points of an experiment.")
    max_runs: int = Field(5_000, ge=1, description="Maximum runs of an experiment.")
    max_queued_runs: int = Field(
        20_000,
        ge=1,
        description="Maximum queued runs of all owners; further ones are refused (429).",
    )
    limit_running_per_owner: int | None = Field(
        None,
        ge=1,
        description="Maximum concurrent runs of one owner; further ones stay queued. Null: no "
        "limit.",
    )
    limit_queued_per_owner: int = Field(
        10_000,
        ge=1,
        description="Maximum queued runs of one owner; further ones are refused (429).",
    )
    limit_bytes_per_owner: int = Field(
        100 << 30,
        ge=1,
        description="Maximum bytes in the files of one owner; above it, uploads and submissions "
        "are refused.",
    )
    limit_metrics_per_owner: int = Field(
        20_000_000,
        ge=1,
        description="Maximum metric rows of one owner; above it, submissions are refused.",
    )
    max_stored_bytes: int | None = Field(
        None, ge=1, description="Maximum bytes in the files of all owners; null: no limit."
    )
    max_metric_rows: int | None = Field(
        None, ge=1, description="Maximum metric rows of all owners; null: no limit."
    )
    max_reads_per_minute: int = Field(
        600, ge=1, description="Maximum read requests per key and minute."
    )
    max_writes_per_minute: int = Field(
        60, ge=1, description="Maximum write requests a minute and key."
    )
    max_parameters: int = Field(200_000_000, ge=1, description="Maximum parameters of a model.")
    max_memory_bytes: int = Field(
        16 << 30, ge=1, description="Maximum bytes of memory that a run may need by estimate."
    )
    max_flops: float = Field(
        1e19, gt=0, description="Maximum floating-point operations that a run may need by estimate."
    )
    max_sse_clients: int = Field(200, ge=1, description="Maximum concurrent event streams.")
    login_seconds: float = Field(
        604_800.0,
        ge=60,
        le=31_536_000,
        description="Seconds until a browser's login expires; it ends earlier with its key.",
    )
    max_failed_keys_per_minute: int = Field(
        10, ge=1, description="Maximum requests with an invalid key a minute and client address."
    )
    audit_days: float = Field(
        365.0, ge=0, description="Days until an entry of the audit trail is deleted."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description=f"Signs the deliveries of webhooks without a secret of their own: "
        f"{SECRET_FORMAT}.",
    )
    webhook_allow_private: bool = Field(
        False,
        description="Allow webhooks at addresses that are not public, such as loopback and "
        "private networks.",
    )
    webhook_attempts: int = Field(6, ge=1, le=20, description="Maximum attempts of a delivery.")
    webhook_retry_seconds: float = Field(
        30.0,
        gt=0,
        description="Seconds before the second attempt of a delivery; doubled for each later one.",
    )
    webhook_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=60,
        description="A delivery attempt without a response fails after this many seconds.",
    )

    @field_validator("worker_labels", mode="before")
    @classmethod
    def _parse_labels(cls, labels: object) -> object:
        return parse_labels(labels) if isinstance(labels, str) else labels

    @field_validator("root_path")
    @classmethod
    def _parse_root_path(cls, text: str) -> str:
        return parse_root_path(text)

    @field_validator("webhook_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            read_key(secret.get_secret_value())
        return secret

    @model_validator(mode="after")
    def _check_heartbeat(self) -> Settings:
        if self.heartbeat_seconds * HEARTBEATS_PER_LEASE > self.lease_seconds:
            raise ValueError(
                f"heartbeat_seconds ({self.heartbeat_seconds:g}) must be at most a third of "
                f"lease_seconds ({self.lease_seconds:g})"
            )
        return self

    @property
    def resolved_database_url(self) -> str:
        """With psycopg 3 as the driver of a Postgres URL."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'richregime.sqlite3'}"
        for prefix in ("postgres://", "postgresql://"):
            if self.database_url.startswith(prefix):
                return "postgresql+psycopg://" + self.database_url.removeprefix(prefix)
        return self.database_url

    @property
    def resolved_data_dir(self) -> Path:
        return self.data_dir or self.home / "data"

    @property
    def resolved_blob_dir(self) -> Path:
        return self.blob_dir or self.home / "blobs"


@cache
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
