"""Is this host's worker alive? Exit code 0 when it has been heard of lately; else 1, with a sentence: a liveness probe.

    python -m service.jobs.alive --within 120

A worker answers no HTTP. What shows that it lives is its heartbeat in the registry, once a second from a thread that
does not fit. Cost: 0.4 s of CPU, nearly all of it imports.
"""

import argparse
import socket
import sys
import time

from sqlalchemy.exc import OperationalError

from service.database.engine import open_engine
from service.registry import workers
from service.settings import Settings

WITHIN_S = 120.0
"""Longer than a heartbeat may wait for the database's lock (`engine.BUSY_TIMEOUT_S`)."""


def silence(database_url: str, host: str, within_s: float, now_s: float) -> str | None:
    """Why the worker of a host is taken for dead; None when it is alive.

    Args:
        database_url: SQLAlchemy URL of the registry.
        host: The host's name, as the worker registered it.
        within_s: Longest silence of a worker that lives, in seconds.
        now_s: The time, in seconds since the epoch.
    """
    engine = open_engine(database_url)
    try:
        heard_s = workers.heard_of(engine, host)
    except OperationalError as error:  # the first start has made no tables yet, or the disk is gone
        return f"The registry cannot be read ({error.orig})."
    finally:
        engine.dispose()
    if heard_s is None:
        return f"No worker of {host} has registered."
    if now_s - heard_s > within_s:
        return f"The worker of {host} was last heard of {now_s - heard_s:.0f} s ago; the limit is {within_s:.0f} s."
    return None


def main() -> None:
    """Look once."""
    parser = argparse.ArgumentParser(description="Exit code 0 when this host's worker is alive.")
    parser.add_argument("--within", type=float, default=WITHIN_S, metavar="SECONDS", help="longest silence allowed")
    within_s = parser.parse_args().within
    sys.exit(silence(Settings.from_environment().database_url, socket.gethostname(), within_s, time.time()))


if __name__ == "__main__":
    main()
