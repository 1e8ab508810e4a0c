"""Parquet in a child process (see `isolated`): decides what the file holds, and reads or rewrites it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.uploads.isolated import answer
from service.uploads.limits import Limits
from service.uploads.names import TEXT_NAMES, guessed
from service.uploads.parquet import opened, read_parquet
from service.uploads.parquet_rewrite import holds_vectors, rewrite
from service.uploads.text import read_text_here


def main() -> None:
    """Answers one request.

    In: `path`, `clean` (where to write), `filename`, `limits`, `modality` (None = guess), and `text`, the arguments of
    `read_text_here`, or None where texts too are to be rewritten as a table.
    Out: `modality`, and the fields of `TextItems` or of `Rewritten`.
    """
    answer(_read)


def _read(request: dict[str, Any]) -> dict[str, Any]:
    path, limits = Path(request["path"]), Limits(**request["limits"])
    columns = read_parquet(path, limits).columns
    modality = request["modality"] or _guess(path, columns, request["text"])
    if modality == "text" and request["text"] is not None:
        items = read_text_here(path, request["filename"], limits=limits, **request["text"])
        return {"modality": modality, **asdict(items)}
    found = rewrite(path, Path(request["clean"]), limits, vectors=modality == "vector")
    return {"modality": modality, **asdict(found)}


def _guess(path: Path, columns: tuple[str, ...], text: dict[str, Any]) -> str:
    """Vectors where there is one column of lists of numbers, and none that is called as texts are."""
    with opened(path) as file:
        vectors = [field.name for field in file.schema_arrow if holds_vectors(field.type)]
    texts = text["text"] is not None or guessed(columns, TEXT_NAMES) is not None
    return "vector" if len(vectors) == 1 and not texts else "text"
