"""All settings, from `GRAFT_*` environment variables. Built once in each process's entry point and passed down.

An unknown `GRAFT_*` variable stops the start: a mistyped limit must not silently be the default. (pydantic-settings
ignores unknown environment variables even with ``extra="forbid"``, so the prefix is checked here.)
"""

import difflib
import math
import os
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.catalog import catalog
from service.cores import available_cores

CORES_OF_A_PROCESS = 8
"""Cores that one HTTP process keeps busy: a text takes 4 ms of a core in a session, and 0.5 ms in Python."""

PREFIX = "GRAFT_"
FOREIGN = frozenset({"GRAFT_URL", "GRAFT_KEY"})
"""Variables of the client, which may stand in the same environment."""


def _words(value: object) -> object:
    """A list as it is written in an environment variable: words with commas between them."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def _absolute(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Folders that mean the same wherever the service is started."""
    for folder in folders:
        if not folder.is_absolute():
            raise ValueError(f"{str(folder)!r} is not absolute; write each folder from the root, as in /srv/weights")
    return folders


def _catalogued(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse, before anything is started, what could never be hosted."""
    known = catalog()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else f", which has {', '.join(sorted(known))}"
            raise ValueError(f"there is no {name!r} in the catalogue{hint}")
    return names


Catalogued = Annotated[Words, AfterValidator(_catalogued)]
Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_words), AfterValidator(_absolute)]

MIN_SECRET_CHARS = 32


def _secret(value: SecretStr) -> SecretStr:
    """A secret that can stand in a header and cannot be guessed."""
    text = value.get_secret_value()
    if len(text) < MIN_SECRET_CHARS:
        raise ValueError(f"it has {len(text)} characters, the least is {MIN_SECRET_CHARS}: openssl rand -hex 32")
    if re.fullmatch(r"[!-~]+", text) is None:
        raise ValueError(
            "it may hold printable ASCII alone, without spaces or line breaks (a file written with echo ends in one; "
            "write it with printf)"
        )
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]


class SettingsUnknown(ValueError):
    """The environment has a `GRAFT_*` variable that no setting reads."""


class Settings(BaseSettings):
    """Everything that an operator can choose; frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # a secret that is refused must not be shown for it
    )

    home: Path = Path(".graft")
    """Folder of all state: database, blobs, exported backbones. Made when missing; must be on a local disk."""
    workers: int = Field(1, ge=0, le=1)
    """Worker processes started and supervised beside the HTTP process; 0 where workers run elsewhere."""
    backbones: Catalogued = Field(("minilm-l6", "scatter-2d", "logmel-stats"), min_length=1)
    """Backbones of the catalogue that everybody has from the start; the first trained one of a modality is default."""
    backbone_folders: Folders = ()
    """Absolute folders under which weights and word vectors may lie that callers host; none when left out."""
    max_backbone_bytes: int = Field(2**31 - 1, gt=0, lt=2**31)
    """Largest uploaded ONNX file of a backbone, in bytes; ONNX itself ends at 2 GiB."""
    allowed_hosts: Words = ("127.0.0.1", "localhost", "::1")
    """Host names that requests and pages may name (Host and Origin headers) as long as there is no key."""
    bootstrap_key: Secret | None = None
    """A key with every right, of at least 32 characters, that is never stored: the first key of a cluster."""
    key_pepper: Secret | None = None
    """Secret of at least 32 characters under which keys are hashed; the file `pepper` in the home where left out."""
    api_processes: int = Field(0, ge=0, le=256)
    """HTTP processes, each with its own sessions; 0 starts one for every eight cores."""
    encoder_lanes: int = Field(0, ge=0, le=256)
    """Batches that a backbone runs at the same time in an HTTP process; 0 shares the cores between the processes."""
    fit_threads: int = Field(0, ge=0)
    """Threads with which a fit embeds its items; 0 takes every core."""
    max_upload_bytes: int = Field(100 * 2**20, gt=0)
    """Largest uploaded file, in bytes."""
    max_rows: int = Field(100_000, gt=0)
    """Most rows in an uploaded file."""
    max_columns: int = Field(1_000, gt=0)
    """Most columns in an uploaded file."""
    max_cell_chars: int = Field(20_000, gt=0)
    """Longest text, in an upload or in a prediction, in characters."""
    max_image_pixels: int = Field(100_000_000, gt=0)
    """Largest image, in an upload or in a prediction, in pixels."""
    max_sound_s: float = Field(3_600.0, gt=0, allow_inf_nan=False)
    """Longest sound, in an upload or in a prediction, in seconds."""
    max_classes: int = Field(2_000, gt=1)
    """Most classes of one dataset."""
    max_body_bytes: int = Field(16 * 2**20, gt=0)
    """Largest JSON body, in bytes."""
    max_inputs: int = Field(1_000, gt=0)
    """Most inputs in one prediction call."""
    max_waiting: int = Field(20_000, gt=0)
    """Most inputs waiting for a backbone before calls are answered 429."""
    max_queued_jobs: int = Field(1_000, gt=0)
    """Most jobs waiting before new ones are answered 429."""
    max_fit_s: float = Field(600.0, gt=0)
    """Longest that a fit may be asked to take, in seconds."""
    max_host_step_s: float = Field(600.0, gt=0)
    """Longest that a tenant's backbone may be hosted without any progress before its job is ended, in seconds."""
    fit_memory_bytes: int = Field(8 * 2**30, gt=2**29)
    """Resident memory at which a fit is ended, in bytes."""
    cache_bytes: int = Field(2 * 2**30, ge=0)
    """Disk for embeddings that fits and predictions need not make again, in bytes; 0 keeps none."""
    gpu_memory_bytes: int = Field(0, ge=0)
    """Memory of a GPU that one session of a backbone may take, in bytes; 0 sets no cap."""
    heads_bytes: int = Field(2**30, gt=0)
    """Memory for heads held ready, in bytes, once for all HTTP processes; when half of it is full, heads that are no
    longer asked for are forgotten."""
    worker_timeout_s: float = Field(10.0, gt=1)
    """Silence after which a worker is taken for dead and its job moves on, in seconds."""
    min_free_bytes: int = Field(256 * 2**20, ge=0)
    """Free disk under which uploads and fits are answered 507, in bytes."""
    idempotency_ttl_s: float = Field(86_400.0, gt=0)
    """How long an Idempotency-Key is remembered, in seconds."""
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least severe level that is logged."""

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings.

        Raises:
            SettingsUnknown: A `GRAFT_*` variable that no setting reads; names the nearest one.
            pydantic.ValidationError: A value of the wrong kind or out of its range.
        """
        known = {PREFIX + name.upper() for name in cls.model_fields}
        for name in os.environ:
            if name.startswith(PREFIX) and name not in known | FOREIGN:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
                raise SettingsUnknown(f"{name} is set, and no setting reads it{hint}")
        return cls()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the registry."""
        return f"sqlite:///{self.home.resolve()}/registry.sqlite"

    @property
    def queue_url(self) -> str:
        """SQLAlchemy URL of the job queue; a file of its own, so that its polling never blocks the registry."""
        return f"sqlite:///{self.home.resolve()}/queue.sqlite"

    @property
    def backbones_dir(self) -> Path:
        """Folder of exported backbones."""
        return self.home.resolve() / "backbones"

    @property
    def metrics_dir(self) -> Path:
        """Folder in which the HTTP processes of one start count; emptied by the next start."""
        return self.home.resolve() / "metrics"

    @property
    def processes(self) -> int:
        """HTTP processes."""
        return self.api_processes or math.ceil(available_cores() / CORES_OF_A_PROCESS)

    @property
    def lanes(self) -> int:
        """Batches that run at the same time in an HTTP process."""
        return self.encoder_lanes or max(1, available_cores() // self.processes)

    @property
    def threads_for_fitting(self) -> int:
        """Threads of a fit."""
        return self.fit_threads or available_cores()
