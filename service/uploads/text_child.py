"""`read_text` as a child process does it (see `isolated`)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.uploads.isolated import answer
from service.uploads.limits import Limits
from service.uploads.text import read_text_here


def main() -> None:
    """Answers one request: the arguments of `read_text_here` as JSON."""
    answer(_read)


def _read(request: dict[str, Any]) -> dict[str, Any]:
    arguments = {**request, "path": Path(request["path"]), "limits": Limits(**request["limits"])}
    return asdict(read_text_here(**arguments))
