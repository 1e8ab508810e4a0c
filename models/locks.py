"""The lock file: what each revision of the hub meant when it was first downloaded.

{"BAAI/bge-small-en-v1.5@main": {"commit": "5c38...", "files": {"config.json": "<sha256>", ...}}}
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from models.durable import locked, replace_file
from models.errors import WeightsCorrupt

LOCK_NAME: Final = "lock.json"


@dataclass(frozen=True)
class Lock:
    """One downloaded revision.

    Attributes:
        commit: Full hash.
        files: sha256 (hex) of every file that was taken, by name.
    """

    commit: str
    files: Mapping[str, str]


def read_locks(path: Path) -> dict[str, Lock]:
    """Every lock, by ``repo@revision``; none where there is no file.

    Raises:
        WeightsCorrupt: The file is not a lock file.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {key: Lock(str(fields["commit"]), dict(fields["files"])) for key, fields in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(
            f"{path} cannot be read ({error}). Restore it, or move it away: then every revision is locked anew."
        ) from error


def add_lock(path: Path, key: str, lock: Lock) -> None:
    """Add one lock; those that are there are kept, of one key the first. A crash leaves the old file or the new one."""
    with locked(path.with_name(f".{path.name}.lock")):
        locks = {key: lock} | read_locks(path)
        replace_file(path, {name: asdict(each) for name, each in locks.items()})
