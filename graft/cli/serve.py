"""``graft serve`` and ``graft worker``: start the service's processes from a checkout.

They replace this process by the service's own: a signal sent to `graft serve` reaches the service itself.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[Path, typer.Option("--home", envvar="GRAFT_HOME", help="Folder of all state.")]

CLIENT_ONLY = frozenset({"GRAFT_URL", "GRAFT_KEY"})
"""Variables that are the client's, and no business of the service."""

LEAVE = ("--timeout-graceful-shutdown", "30")
"""Seconds that calls under way have when the service is told to stop."""


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; one that others reach needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 3000,
    home: Home = Path(".graft"),
) -> None:
    """Start the service, with one worker beside it, from a checkout of Graft.

    On an address that other machines reach it starts only once there is a key (graft keys create --scopes admin).
    """
    start(["bentoml", "serve", "service.app:Graft", "--host", host, "--port", str(port), *LEAVE], home)


def worker(home: Home = Path(".graft")) -> None:
    """Start one more worker, from a checkout of Graft."""
    start(["service.jobs.worker"], home)


def start(module: list[str], home: Path) -> None:
    """Replace this process by ``python -m module...`` in the checkout's root."""
    root = checkout((Path(__file__).resolve().parents[2], Path.cwd()))
    if root is None:
        raise typer.BadParameter(
            "The service is not part of the installed package. Clone Graft's repository and run `make serve` there; "
            "this command line then reaches it with --url."
        )
    if importlib.util.find_spec("bentoml") is None:
        raise typer.BadParameter(
            f"The service's packages are missing from {sys.executable}. Run `make setup` in {root}, or install "
            "the extras: pip install -e '.[serve,fit]' -c constraints.txt"
        )
    env = environment(os.environ, home)
    os.chdir(root)
    os.execve(sys.executable, [sys.executable, "-m", *module], env)  # noqa: S606 - no shell is wanted, and nothing here is a caller's text


def checkout(candidates: tuple[Path, ...]) -> Path | None:
    """The first folder that is a checkout's root."""
    for folder in candidates:
        if (folder / "service" / "app.py").is_file() and (folder / "bentofile.yaml").is_file():
            return folder
    return None


def environment(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """The service's environment: the home made absolute, BentoML's usage reports off unless somebody wants them."""
    kept = {name: value for name, value in env.items() if name not in CLIENT_ONLY}
    return {"BENTOML_DO_NOT_TRACK": "True"} | kept | {"GRAFT_HOME": str(home.expanduser().resolve())}
