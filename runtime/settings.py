"""Every setting of the service, read from RICHREGIME_* variables. All state is under `home`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.addresses import (
    check_blob_url,
    check_broker_url,
    check_database_url,
    check_public_url,
)
from runtime.cores import count_cores
from runtime.home import default_home, expand_user, prepare_folder
from runtime.logs import LogFormat
from runtime.root_path import parse_root_path
from runtime.setting_errors import PREFIX, InvalidSetting, describe_errors, variable_of
from schemas.webhooks import SECRET_FORMAT, read_key
from storage.runs.placement import parse_labels

HEARTBEATS_PER_LEASE = 3
"""Least number: a worker stops after two thirds of a lease without an answer, so one heartbeat may
get lost."""


ADDRESS_CHECKS = {
    "database_url": check_database_url,
    "broker_url": check_broker_url,
    "blob_url": check_blob_url,
}


class Settings(BaseSettings):
    """Frozen; one instance a process. An empty variable is as if it were not set.

    Raises InvalidSetting, with one line that names variable, value and range.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: Path = Field(default_factory=default_home, description="Folder of all state.")
    database_url: str | None = Field(
        None,
        repr=False,
        description="SQLAlchemy URL of an external Postgres; null: an SQLite file under `home`.",
    )
    broker_url: str | None = Field(
        None,
        repr=False,
        description="URL of an external Redis or Valkey; null: `up` starts an embedded Valkey.",
    )
    data_dir: Path | None = Field(
        None,
        description="Folder of data sets and pretrained weights; null: `data` under `home`.",
    )
    blob_dir: Path | None = Field(
        None, description="Folder of stored files; null: `blobs` under `home`."
    )
    plugins_dir: Path | None = Field(
        None,
        description="Folder of plug-ins: Python files with nets of your own, which workers run; "
        "null: `plugins` under `home`.",
    )
    blob_url: str | None = Field(
        None,
        repr=False,
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
    mcp: bool = Field(
        False,
        description="Serve the Model Context Protocol at `/mcp`, for AI assistants, with the same "
        "keys; needs the package `mcp`.",
    )
    root_path: str = Field(
        "/",
        validate_default=True,
        description="Path below which a proxy serves the service, such as `/lab`; the proxy "
        "removes it from each request. `X-Forwarded-Prefix` of a trusted proxy overrides it.",
    )
    public_url: str | None = Field(
        None,
        description="The address where people reach the service, such as "
        "`https://lab.example.org/richregime`, for links in messages to Slack; None leaves them "
        "out.",
    )
    log_format: LogFormat = Field(
        LogFormat.TEXT,
        description="Format of the log on standard error: `text`, or `json` with one object a "
        "line.",
    )
    allow_download: bool = Field(True, description="Download missing data sets and weights.")
    cpu_workers: int = Field(
        default_factory=count_cores,
        ge=1,
        le=256,
        description="Runs that a CPU worker executes concurrently.",
    )
    worker_niceness: int = Field(
        0,
        ge=0,
        le=19,
        description="How far runs give way to other programs of the machine, as `nice -n`: at 10 "
        "an interactive program hardly notices them, and beside busy ones they slow down.",
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
    limit_streams_per_owner: int = Field(
        20,
        ge=1,
        description="Maximum concurrent event streams of one owner; further ones are refused "
        "(429).",
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
    max_cpu_seconds_per_minute: float = Field(
        30.0,
        gt=0,
        description="CPU seconds that the requests with one key may take a minute; the API "
        "computes about 60 in all. Further requests are refused (429).",
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

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as invalid:
            raise InvalidSetting(describe_errors(type(self).model_fields, invalid)) from None

    @field_validator("home", "data_dir", "blob_dir", "plugins_dir")
    @classmethod
    def _expand_user(cls, path: Path | None) -> Path | None:
        return None if path is None else expand_user(path)

    @field_validator("database_url", "broker_url", "blob_url")
    @classmethod
    def _check_address(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is not None:
            ADDRESS_CHECKS[str(info.field_name)](url)
        return url

    @field_validator("worker_labels", mode="before")
    @classmethod
    def _parse_labels(cls, labels: object) -> object:
        return parse_labels(labels) if isinstance(labels, str) else labels

    @field_validator("root_path")
    @classmethod
    def _parse_root_path(cls, text: str) -> str:
        return parse_root_path(text)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, text: str | None) -> str | None:
        return None if text is None else check_public_url(text)

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
                f"{variable_of('heartbeat_seconds')} ({self.heartbeat_seconds:g}) must be at most "
                f"a third of {variable_of('lease_seconds')} ({self.lease_seconds:g})"
            )
        return self

    @property
    def resolved_database_url(self) -> str:
        """With psycopg 3 as the driver of a Postgres URL."""
        if self.database_url is None:
            return f"sqlite:///{quote(str(self.home / 'richregime.sqlite3'), safe='/: ')}"
        for prefix in ("postgres://", "postgresql://"):
            if self.database_url.startswith(prefix):
                return "postgresql+psycopg://" + self.database_url.removeprefix(prefix)
        return self.database_url

    @property
    def keeps_state_in_home(self) -> bool:
        """Whether the database or the stored files are under `home`."""
        return self.database_url is None or (self.blob_dir is None and self.blob_url is None)

    @property
    def resolved_plugins_dir(self) -> Path:
        return self.plugins_dir or self.home / "plugins"

    @property
    def resolved_data_dir(self) -> Path:
        return self.data_dir or self.home / "data"

    @property
    def resolved_blob_dir(self) -> Path:
        return self.blob_dir or self.home / "blobs"


def read_settings(home: Path | None = None, **given: Any) -> Settings:
    """The settings of a command; arguments that are None come from the environment.

    Wrong settings end the process with one line and exit code 2.
    """
    values = {"home": home, **given}
    try:
        return Settings(**{name: value for name, value in values.items() if value is not None})
    except InvalidSetting as invalid:
        _exit(invalid)


def settings_of_command(
    home: Path | None = None, *, needs_home: bool = True, **given: Any
) -> Settings:
    """As `read_settings`; makes or tightens the folders of the service's state.

    needs_home: whether the home is needed even where all state is elsewhere. A folder that cannot
    be used also ends the process.
    """
    settings = read_settings(home, **given)
    try:
        if needs_home or settings.keeps_state_in_home:
            prepare_folder(f"{variable_of('home')} or --home", settings.home)
        if settings.blob_dir is not None and settings.blob_url is None:
            prepare_folder(variable_of("blob_dir"), settings.blob_dir)
    except InvalidSetting as invalid:
        _exit(invalid)
    return settings


def _exit(invalid: InvalidSetting) -> NoReturn:
    print(invalid, file=sys.stderr)
    raise SystemExit(2) from None
