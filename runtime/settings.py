"""Every setting of the service, read from RICHREGIME_* variables. All state lives under `home`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.logs import LogFormat
from schemas.webhooks import SECRET_FORM, read_key
from storage.runs.placement import parse_labels


class Settings(BaseSettings):
    """Frozen; one instance a process. Its errors show no values: one of them is a secret."""

    model_config = SettingsConfigDict(
        env_prefix="RICHREGIME_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(
        default_factory=lambda: Path.home() / ".richregime",
        description="Folder in which all state lives.",
    )
    database_url: str | None = Field(
        None,
        description="SQLAlchemy address of an external Postgres; null keeps SQLite under home.",
    )
    broker_url: str | None = Field(
        None, description="Address of an external Redis or Valkey; null starts the embedded Valkey."
    )
    data_dir: Path | None = Field(
        None, description="Folder of data sets and pretrained weights; null is `data` under home."
    )
    blob_dir: Path | None = Field(
        None, description="Folder of stored files; null is `blobs` under home."
    )
    blob_url: str | None = Field(
        None,
        description="Object store of the stored files, `s3://bucket/prefix`; null keeps them in a folder.",
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    allow_public: bool = Field(
        False,
        description="A proxy guards the service: answer under any name, and where no key was made let anybody in "
        "without one, on a host that is not loopback too.",
    )
    log_format: LogFormat = Field(
        LogFormat.TEXT,
        description="How the log on standard error is written: `text` for people, `json` a line each.",
    )
    allow_download: bool = Field(
        True, description="Download data sets and weights that are not there."
    )
    cpu_workers: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=256,
        description="Runs a CPU worker computes at once.",
    )
    threads_per_run: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads of a run; null divides the cores by the workers.",
    )
    worker_labels: Annotated[dict[str, str], NoDecode] = Field(
        default={},
        description="What runs may ask of a worker by `execution.requires`, as `kind=basement,gpu=h100`.",
    )
    lease_seconds: float = Field(
        30.0, gt=0, description="A run whose worker is silent for so long is given to another."
    )
    heartbeat_seconds: float = Field(5.0, gt=0, description="How often a worker renews its lease.")
    reconcile_seconds: float = Field(
        2.0, gt=0, description="How often lost wake-ups and leases are looked for."
    )
    wake_after_seconds: float = Field(
        15.0, gt=0, description="A queued run is rung again after so long."
    )
    checkpoint_seconds: float = Field(
        2.0, ge=0, description="Least time between two resume checkpoints of a run."
    )
    max_attempts: int = Field(
        4,
        ge=1,
        le=100,
        description="A run that loses its worker so often without a new checkpoint fails.",
    )
    max_body_bytes: int = Field(
        262_144, ge=1024, description="Largest request body, data sets apart."
    )
    max_dataset_bytes: int = Field(
        1 << 30, ge=1024, description="Largest data set that can be registered."
    )
    max_import_bytes: int = Field(
        4 << 30, ge=1024, description="Largest archive that can be imported."
    )
    max_points: int = Field(2_000, ge=1, description="Points an experiment may have.")
    max_runs: int = Field(5_000, ge=1, description="Runs an experiment may have.")
    max_queued_runs: int = Field(
        20_000, ge=1, description="Runs that may wait; more are refused with 429."
    )
    limit_running_per_owner: int | None = Field(
        None,
        ge=1,
        description="Runs that one owner may have under way; others are served before it has fewer. Null: any number.",
    )
    limit_queued_per_owner: int = Field(
        10_000, ge=1, description="Runs of one owner that may wait."
    )
    limit_bytes_per_owner: int = Field(
        100 << 30, ge=1, description="Bytes of one owner's files, above which it stores no more."
    )
    limit_metrics_per_owner: int = Field(
        20_000_000, ge=1, description="Metrics of one owner's runs, above which it submits no more."
    )
    max_stored_bytes: int | None = Field(
        None, ge=1, description="Bytes of all files; null: what the disk takes."
    )
    max_metric_rows: int | None = Field(
        None, ge=1, description="Metrics of all runs; null: any number."
    )
    max_reads_per_minute: int = Field(
        600, ge=1, description="Reads that a key may ask for in a minute."
    )
    max_writes_per_minute: int = Field(
        60, ge=1, description="Writes that a key may ask for in a minute."
    )
    max_parameters: int = Field(200_000_000, ge=1, description="Parameters a model may have.")
    max_memory_bytes: int = Field(16 << 30, ge=1, description="Memory a run may need by estimate.")
    max_flops: float = Field(
        1e19, gt=0, description="Floating-point operations a run may need by estimate."
    )
    max_sse_clients: int = Field(200, ge=1, description="Event streams served at once.")
    login_seconds: float = Field(
        604_800.0,
        ge=60,
        le=31_536_000,
        description="A browser is logged in for so long, if its key lasts.",
    )
    max_failed_keys_per_minute: int = Field(
        10, ge=1, description="Keys that do not hold an address may show in a minute."
    )
    audit_days: float = Field(
        365.0, ge=0, description="How long the audit trail tells who did what."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description=f"Signs the deliveries of webhooks that bring no secret of their own: {SECRET_FORM}.",
    )
    webhook_allow_private: bool = Field(
        False,
        description="Send deliveries to addresses that are not public, such as loopback and private networks.",
    )
    webhook_attempts: int = Field(
        6, ge=1, le=20, description="How often a delivery is sent at most."
    )
    webhook_retry_seconds: float = Field(
        30.0,
        gt=0,
        description="How long after a failed attempt the second follows; it doubles with each.",
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="A webhook that has not answered for so long has failed to."
    )

    @field_validator("worker_labels", mode="before")
    @classmethod
    def _labels_are_read(cls, labels: object) -> object:
        return parse_labels(labels) if isinstance(labels, str) else labels

    @field_validator("webhook_secret")
    @classmethod
    def _secret_has_its_form(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            read_key(secret.get_secret_value())
        return secret

    @property
    def resolved_database_url(self) -> str:
        """Postgres addresses are given psycopg 3's driver."""
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

    @property
    def resolved_threads_per_run(self) -> int:
        return self.threads_per_run or max(1, (os.cpu_count() or 1) // self.cpu_workers)


@cache
def get_settings() -> Settings:
    """The settings of this process."""
    return Settings()
