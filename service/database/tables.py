"""The tables, as SQLAlchemy Core. Times are seconds since the epoch (UTC) as floats; JSON columns hold plain values.

datasets      what was uploaded (items live in a blob)
jobs          what was asked for, and how far it is
adapters      one row a name; counts the versions so that a number is never given twice
versions      published versions; one job publishes one version, never two
aliases       movable names of versions
events        append-only: what serving processes follow
requests      Idempotency-Keys and the resource each one made
workers       heartbeats
backbones     what tenants host beside the operator's; where hosting stands is told by its job
signatures    tables of classes and attributes (in blobs); the same content of one tenant is one row
keys          who may call: a keyed hash of each key, never the key
"""

from sqlalchemy import (
    JSON,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    Column("fingerprint", String(64), nullable=False, comment="sha256 over the file and the options it was read with"),
    Column("sha256", String(64), nullable=False, comment="of the file as it came"),
    Column("blob", String(64), nullable=False, comment="digest of the items (Parquet)"),
    Column("facts", JSON, nullable=False, comment="modality, counts, columns, quality, problems"),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("tenant", "fingerprint"),
    Index(None, "tenant", "id"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("adapter", String(100), nullable=False),
    Column("request", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("stage", String(40), nullable=False),
    Column("progress", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("version", Integer),
    Column("error", JSON),
    Column("result", JSON, comment="what it found, where that is no version"),
    Column("seconds", JSON, nullable=False, comment="per stage"),
    Column("cancel_at", Float, comment="when somebody asked to stop it"),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Index(None, "tenant", "id"),
    Index(None, "state"),
)

adapters = Table(
    "adapters",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("versions_made", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("job", String(40), nullable=False, unique=True),
    Column("manifest", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("promoted", JSON, nullable=False, comment="whether `live` moved to it, and why"),
    Column("created_at", Float, nullable=False),
    ForeignKeyConstraint(["tenant", "name"], ["adapters.tenant", "adapters.name"]),
)

aliases = Table(
    "aliases",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("revision", Integer, nullable=False, comment="the ETag: one more at each switch"),
    ForeignKeyConstraint(["tenant", "name", "version"], ["versions.tenant", "versions.name", "versions.number"]),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("adapter", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)

requests = Table(
    "requests",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("resource", String(40), nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "created_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("stopped_at", Float),
)

backbones = Table(
    "backbones",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("entry", JSON, nullable=False, comment="source and options, as they were asked for"),
    Column("blobs", JSON, nullable=False, comment="digests of what was uploaded for it"),
    Column("job", String(40), nullable=False, comment="the job that hosts it"),
    Column("card", JSON, comment="once it is hosted"),
    Column("created_at", Float, nullable=False),
)

signatures = Table(
    "signatures",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(40), primary_key=True, comment="digest of what they say"),
    Column("name", String(200), nullable=False),
    Column("blob", String(64), nullable=False, comment="digest of the table (safetensors)"),
    Column("facts", JSON, nullable=False, comment="counts, groups, backbone, notes"),
    Column("created_at", Float, nullable=False),
    Index(None, "blob"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(12), primary_key=True, comment="public; a part of the key's text"),
    Column("tenant", String(64), nullable=False),
    Column("name", String(100), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("digest", String(64), nullable=False, comment="HMAC-SHA256 of the key's text under the pepper"),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
    Index(None, "tenant", "id"),
)
