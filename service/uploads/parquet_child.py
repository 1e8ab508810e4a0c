"""Parquet in a child process (see `isolated`): decides what the file holds, and reads or rewrites it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.uploads.isolated import answer
from service.uploads.limits import Limits
from service.uploads.media import Medium
from service.uploads.names import TEXT_NAMES, guessed
from service.uploads.parquet import opened, read_parquet
from service.uploads.parquet_media import media_columns, medium_of, rewrite_media
from service.uploads.parquet_rewrite import holds_vectors, rewrite
from service.uploads.text import read_text_here


def main() -> None:
    """Answers one request.

    In: `path`, `clean` (where to write), `filename`, `limits`, `modality` (None = guess), `text`, the arguments of
    `read_text_here`, or None where texts too are to be rewritten as a table, and `label`, the column of the labels of
    images and sounds (None = guess).
    Out: `modality`, and the fields of `TextItems`, of `MediaRewritten` or of `Rewritten`.
    """
    answer(_read)


def _read(request: dict[str, Any]) -> dict[str, Any]:
    path, limits = Path(request["path"]), Limits(**request["limits"])
    columns = read_parquet(path, limits).columns
    modality = request["modality"] or _guess(path, columns, request["text"], limits)
    if modality == "text" and request["text"] is not None:
        items = read_text_here(path, request["filename"], limits=limits, **request["text"])
        return {"modality": modality, **asdict(items)}
    if modality in {"image", "audio"}:
        medium: Medium = "image" if modality == "image" else "audio"
        media = rewrite_media(path, Path(request["clean"]), limits, medium=medium, label=request["label"])
        return {"modality": modality, **asdict(media)}
    found = rewrite(path, Path(request["clean"]), limits, vectors=modality == "vector")
    return {"modality": modality, **asdict(found)}


def _guess(path: Path, columns: tuple[str, ...], text: dict[str, Any], limits: Limits) -> str:
    """Texts where a column is called as they are; else files in a column of bytes, or one of lists of numbers."""
    if text["text"] is not None or guessed(columns, TEXT_NAMES) is not None:
        return "text"
    with opened(path) as file:
        schema = file.schema_arrow
    for column in media_columns(schema):
        medium = medium_of(path, column, limits)
        if medium is not None:
            return medium
    return "vector" if sum(holds_vectors(field.type) for field in schema) == 1 else "text"
