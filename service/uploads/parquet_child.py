"""Parquet in a child process (see `isolated`): decides what the file holds, and reads or rewrites it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.uploads.isolated import answer
from service.uploads.items import Reading
from service.uploads.limits import Limits
from service.uploads.media import Medium
from service.uploads.names import LABEL_NAMES, TARGET_NAMES, TEXT_NAMES, guessed
from service.uploads.parquet import opened, read_parquet
from service.uploads.parquet_media import media_columns, medium_of, rewrite_media
from service.uploads.parquet_rewrite import holds_vectors, rewrite
from service.uploads.text import from_request


def main() -> None:
    """Answers one request.

    In: `path`, `clean` (where to write), `filename`, `limits`, `modality` (None = guess), and `words`, what the caller
    said about labelled items (`text.as_request`), or None where every file is to be rewritten as a table of no labels.
    Out: `modality`, and the fields of `TextItems`, of `MediaRewritten` or of `Rewritten`.
    """
    answer(_read)


def _read(request: dict[str, Any]) -> dict[str, Any]:
    path, limits = Path(request["path"]), Limits(**request["limits"])
    columns = read_parquet(path, limits).columns
    words = request["words"]
    if words is None:
        found = rewrite(path, Path(request["clean"]), limits, vectors=request["modality"] == "vector")
        return {"modality": request["modality"], **asdict(found)}
    reading = Reading(**words["reading"])
    modality = request["modality"] or _guess(path, columns, reading, limits)
    if modality == "text":
        return {"modality": modality, **asdict(from_request({**request, **words}, limits))}
    if modality in {"image", "audio"}:
        medium: Medium = "image" if modality == "image" else "audio"
        media = rewrite_media(path, Path(request["clean"]), limits, medium=medium, reading=reading)
        return {"modality": modality, **asdict(media)}
    label = _label(columns, reading, TARGET_NAMES if modality == "table" else LABEL_NAMES)
    found = rewrite(path, Path(request["clean"]), limits, vectors=modality == "vector", label=label)
    return {"modality": modality, **asdict(found)}


def _label(columns: Sequence[str], reading: Reading, names: Sequence[str]) -> str | None:
    """The column that may hold several labels a row; where it is not there, the parent says so."""
    given = reading.target or reading.label
    if given is None:
        return guessed(columns, names)
    wanted = given.strip().casefold()
    return next((name for name in columns if name == given or name.strip().casefold() == wanted), None)


def _guess(path: Path, columns: tuple[str, ...], reading: Reading, limits: Limits) -> str:
    """Texts where a column is called as they are; else files in a column of bytes, or one of lists of numbers."""
    if reading.text is not None or guessed(columns, TEXT_NAMES) is not None:
        return "text"
    with opened(path) as file:
        schema = file.schema_arrow
    for column in media_columns(schema):
        medium = medium_of(path, column, limits)
        if medium is not None:
            return medium
    label = _label(columns, reading, LABEL_NAMES)
    lists = [field.name for field in schema if holds_vectors(field.type)]
    others = [name for name in lists if name != label]
    return "vector" if len(others or lists) == 1 else "text"
