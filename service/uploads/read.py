"""A file of labelled items -> items, in every modality: the one entry for uploads.

sniff -> modality (said or guessed) -> text | tables | vectors | files (images and sounds)
"""

from pathlib import Path
from typing import Literal

import numpy as np

from service.errors import UploadRefused
from service.uploads.files import read_archive
from service.uploads.formats import open_json_table, open_text_table
from service.uploads.items import Items, Modality, Reading, TaskKind
from service.uploads.limits import Limits
from service.uploads.media_table import read_media
from service.uploads.names import TEXT_NAMES, guessed
from service.uploads.npy import open_arrays
from service.uploads.parquet_clean import clean_table, rewritten
from service.uploads.sniff import Format, sniff
from service.uploads.tables import read_table
from service.uploads.text import TextItems, as_request, from_json, read_text_here
from service.uploads.vector_sources import list_fields
from service.uploads.vectors import read_vectors

__all__ = ["Items", "Modality", "Reading", "TaskKind", "read_upload"]

_OR_A_TABLE = 'If it is a table with a column to predict, say so: "modality": "table", "target": "<column>".'

_WHAT = {
    "text": "texts",
    "table": "a table with a target",
    "vector": "vectors",
    "image": "images",
    "audio": "sounds",
}


def read_upload(path: Path, filename: str, reading: Reading, limits: Limits) -> Items:
    """Reads a file of labelled items. Blocks: call it from a worker thread.

    The modality is the caller's; else images or sounds where the file is an archive, or Parquet with a column of bytes
    that are one or the other and none called as texts are; texts where their column was named, and a table where a
    target was; vectors where the file is
    NumPy's or has one column of lists of numbers and none called as texts are; and texts otherwise.

    Args:
        path: The finished local file; beside it is room for a copy while Parquet is read.
        filename: What the caller called it; its suffix helps where the bytes leave a choice.
        reading: What the caller said about it.
        limits: How large it, and each part of it, may be.

    Raises:
        FormatUnsupported: It is a single image, a workbook, ..., or of a format that its modality does not have.
        UploadUnreadable: It is not what it says it is: encoding, quoting, structure.
        UploadTooLarge: It, or a part of it, is over a limit.
        UploadRefused: It was read and cannot be learned from; or the caller's words do not fit each other.
    """
    kind = sniff(path, filename, limits, archives=True)
    if kind in {"zip", "tar"}:
        return _read_archive(path, "zip" if kind == "zip" else "tar", reading, limits)
    modality = reading.modality or _said(reading)
    if modality is None and kind != "parquet":
        modality = _guess(path, kind, reading, limits)
    _check_words(reading, modality)
    if kind == "parquet":
        return _read_parquet(path, filename, modality, reading, limits)
    if modality == "text":
        return _of_texts(read_text_here(path, filename, reading, limits, otherwise=_otherwise(reading)))
    if modality == "vector":
        return _read_vectors(path, kind, reading, limits)
    if modality in {"image", "audio"}:
        raise UploadRefused(
            f"The file is {kind}, which holds no {_WHAT[modality]}. Send them as .zip or .tar, in one folder for each "
            "class or with a metadata.csv beside them, or as Parquet with a column of their bytes."
        )
    return read_table(open_text_table(path, kind, limits, named_by=None), reading, limits)


def _said(reading: Reading) -> Modality | None:
    """The modality that the caller's words mean."""
    if reading.columns or (reading.target is not None and reading.text is None):
        return "table"
    return "text" if reading.target is not None else None


def _read_archive(path: Path, kind: Literal["zip", "tar"], reading: Reading, limits: Limits) -> Items:
    if reading.modality not in {None, "image", "audio"}:
        raise UploadRefused(
            f"The file is an archive, in which images or sounds are sent, and 'modality' is {reading.modality!r}. "
            "Send texts, tables and vectors as a file of their own."
        )
    _check_words(reading, reading.modality or "image")
    return read_archive(path, kind, reading, limits)


def _guess(path: Path, kind: Format, reading: Reading, limits: Limits) -> Modality:
    if kind in {"npy", "npz"}:
        return "vector"
    if kind in {"jsonl", "json"} and reading.text is None:
        table = open_json_table(path, kind, limits)
        if len(list_fields(table)) == 1 and guessed(table.columns, TEXT_NAMES) is None:
            return "vector"
    return "text"


def _check_words(reading: Reading, modality: Modality | None) -> None:
    """Refuses words that mean nothing in a modality, instead of passing over them."""
    foreign: dict[str | None, dict[str, object]] = {
        "text": {"label": reading.label if reading.target is not None else None, "columns": reading.columns},
        "table": {"text": reading.text, "label": reading.label if reading.target is not None else None},
        "vector": {"text": reading.text, "columns": reading.columns},
        "image": {"text": reading.text, "columns": reading.columns},
        "audio": {"text": reading.text, "columns": reading.columns},
        None: {},
    }
    if given := [word for word, value in foreign[modality].items() if value]:
        what = _WHAT[modality or "text"]
        remedy = "Leave it out." if modality in {"table", "image", "audio"} else f"Leave it out. {_OR_A_TABLE}"
        raise UploadRefused(f"'{given[0]}' was given, which means nothing for {what}. {remedy}")


def _otherwise(reading: Reading) -> str:
    return _OR_A_TABLE if reading.modality is None else ""


def _read_parquet(path: Path, filename: str, modality: Modality | None, reading: Reading, limits: Limits) -> Items:
    clean = path.with_name(f"{path.name}.clean")
    try:
        words = as_request(reading, _otherwise(reading))
        reply = rewritten(path, clean, filename, limits, modality=modality, words=words)
        found = reply.pop("modality")
        if found == "text":
            _check_words(reading, "text")
            return _of_texts(from_json(reply))
        if found in {"image", "audio"}:
            _check_words(reading, found)
            return read_media(clean, reply, "image" if found == "image" else "audio", reading, limits)
        table = clean_table(clean, reply)
        if found == "vector":
            return read_vectors(table, "parquet", reading, limits)
        return read_table(table, reading, limits)
    finally:
        clean.unlink(missing_ok=True)


def _read_vectors(path: Path, kind: Format, reading: Reading, limits: Limits) -> Items:
    if kind in {"npy", "npz"}:
        return read_vectors(open_arrays(path, kind, limits), kind, reading, limits)
    if kind in {"jsonl", "json"}:
        return read_vectors(open_json_table(path, kind, limits), kind, reading, limits)
    raise UploadRefused(
        "The file is delimited text, which holds no vectors. Send them as .npz, Parquet or JSON Lines "
        '({"embedding": [...], "label": ...}), or, with one column a number, as a table: '
        '"modality": "table", "target": "<column>".'
    )


def _of_texts(read: TextItems) -> Items:
    return Items(
        modality="text",
        task=read.task,
        rows=read.rows,
        bad=read.bad,
        bad_count=read.bad_count,
        format=read.format,
        columns=read.columns,
        quality=read.quality,
        labels=read.labels,
        label_sets=read.label_sets,
        targets=None if read.targets is None else np.array(read.targets, dtype=np.float64),
        groups=read.groups,
        weights=None if read.weights is None else np.array(read.weights, dtype=np.float64),
        texts=read.texts,
    )
