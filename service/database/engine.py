"""One engine a process, and the migration to the newest schema.

SQLite runs in WAL mode so that readers never wait for a writer. A transaction that writes starts with BEGIN IMMEDIATE:
a deferred one that upgrades later fails with SQLITE_BUSY at once, whatever the timeout is.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_S = 30


def _on_connect(connection: Any, _record: Any) -> None:
    """Make a new SQLite connection durable, concurrent, and ours to begin transactions on."""
    connection.isolation_level = None  # the driver must not begin transactions by itself
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged version survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    """Begin a transaction: one that will write takes the lock at once."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def open_engine(url: str) -> Engine:
    """Open the database at `url`; its folder is made when missing."""
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: it holds the write lock from its first statement."""
    with engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the lock file beside a database: one process migrates, the others wait."""
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Several processes may call it at once."""
    from alembic import command

    with locked(url):
        command.upgrade(alembic_config(url), "head")


def alembic_config(url: str) -> "Config":
    """Alembic's configuration without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config
