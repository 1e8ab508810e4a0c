"""Files that are whole or not there, folders that one process holds: what hosting needs of the disk."""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_ABANDONED_S: Final = 60


def write_synced(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, and wait until it lies on the disk."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sync(path)


def replace_file(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is the old one or the new one at any moment."""
    new = path.with_name(f".{path.name}.new")
    write_synced(new, content)
    new.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, lie on the disk."""
    with opened(path) as descriptor:
        os.fsync(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes on a file, made where it is missing.

    The system frees it when a process dies.
    """
    path.touch()
    with locked_folder(path):
        yield


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """The same on a folder that is there: no other process holds it, but for who removes it without asking.

    Raises:
        FileNotFoundError: It is not there.
    """
    with opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def own_staging(folder: Path) -> Iterator[Path]:
    """A new folder of this process alone. Those that killed processes left are removed."""
    remove_abandoned(folder)
    staging = folder / f".added-{uuid.uuid4().hex}"
    staging.mkdir()
    try:
        with locked_folder(staging):
            yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes left of their `own_staging`."""
    for left in folder.glob(".added-*"):
        _remove_abandoned(left)


def _remove_abandoned(staging: Path) -> None:
    """Remove a staging folder that no living process holds; a new one is not held yet."""
    with suppress(OSError), opened(staging) as descriptor:
        if time.time() - staging.stat().st_mtime > _ABANDONED_S:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(staging, ignore_errors=True)
