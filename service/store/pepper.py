"""The pepper: a secret beside the database, under which keys are hashed.

It is a file of its own so that a copy of the database alone lets nobody make a key. A backup needs both.
"""

import os
import secrets
from pathlib import Path

from models.durable import sync

FILE = "pepper"


class PepperLost(RuntimeError):
    """There are keys, and what they were hashed under is gone."""


def read_pepper(home: Path, *, may_make: bool) -> bytes:
    """The pepper of a home. Several processes may call it at once; they all get the same one.

    Args:
        home: Folder of all state.
        may_make: Make one where there is none.

    Raises:
        PepperLost: There is none, and none may be made.
    """
    path = home / FILE
    if not path.exists():
        if not may_make:
            raise PepperLost(
                f"{path} is gone, and the keys in the database cannot be checked without it. Put it back from a "
                "backup, or set GRAFT_KEY_PEPPER to what it held. If it is lost for good, start with "
                "GRAFT_BOOTSTRAP_KEY and make new keys; those that there were are void."
            )
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    """Write a new pepper for the owner alone, whole and durable, unless somebody else has just done so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{FILE}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
        sync(path.parent)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
