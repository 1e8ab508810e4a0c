"""`read_text` as a child process does it (see `isolated`)."""

from dataclasses import asdict
from typing import Any

from service.uploads.isolated import answer
from service.uploads.limits import Limits
from service.uploads.text import from_request


def main() -> None:
    """Answers one request: `path`, `filename`, `limits` and what `text.as_request` says."""
    answer(_read)


def _read(request: dict[str, Any]) -> dict[str, Any]:
    return asdict(from_request(request, Limits(**request["limits"])))
