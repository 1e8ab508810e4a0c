"""``graft doctor``: what is here, what is missing, and what to do about it."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer

from graft._client import Client
from graft._retry import Retry
from graft.cli.checks import EXTRAS, Check, cache, cores, disk, gpu, installed, memory, python, service, variables
from graft.cli.options import REFUSED, USAGE, AsJson, Url
from graft.cli.screen import Screen, table
from graft.cli.serve import Home


def doctor(url: Url = None, home: Home = Path(".graft"), as_json: AsJson = False) -> None:
    """Check this machine and the service; exits with 1 when a check fails."""
    screen = Screen(as_json)
    try:
        done = list(_checks(url, home.expanduser().resolve()))
    except ValueError as error:
        screen.failure(str(error))
        raise typer.Exit(USAGE) from error
    rows = ((check.status, check.name, check.seen, check.remedy or " ") for check in done)
    screen.result([asdict(check) for check in done], table(("", "check", "seen", "remedy"), rows))
    if any(check.status == "fail" for check in done):
        raise typer.Exit(REFUSED)


def _checks(url: str | None, home: Path) -> Iterator[Check]:
    yield python()
    yield from (installed(name) for name in EXTRAS)
    yield disk(home)
    yield cache(home)
    yield memory()
    yield cores()
    yield gpu()
    with Client(url, timeout_s=10.0, retry=Retry(attempts=1)) as client:
        yield from service(client, named=url is not None or "GRAFT_URL" in os.environ)
    yield variables(os.environ)
