"""A digest of the code that decides what a fit gives: two of the same give the same bytes from the same order."""

import functools
import hashlib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("adapters", "models")


@functools.cache
def code_digest(root: Path = _ROOT) -> str:
    """sha256 (hex) over names and bytes of the files of the packages that fit and embed.

    Cost: 5 ms, once a process.
    """
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.suffix in {".py", ".toml"}:
                digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
