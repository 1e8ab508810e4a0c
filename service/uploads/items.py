"""How an upload is to be read, and what came of it, in every modality."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.columns import Rows, Schema
from models.errors import Problem
from service.uploads.quality import Quality

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

Modality = Literal["text", "table", "vector", "image", "audio"]
TaskKind = Literal["classification", "multilabel", "regression"]


@dataclass(frozen=True)
class Reading:
    """What the caller said about a file; all that was left open is guessed.

    Attributes:
        modality: What the items are.
        text: Column of the texts.
        label: Column (or array) of the labels.
        target: Column of a target, words or numbers; given alone, it says that the file is a table.
        task: Whether one class, any number of classes, or a number is learned of each item.
        group: Column (or array) that says which rows belong together; they are never split across folds.
        weight: Column (or array) of how much each row counts.
        columns: Kinds of a table's columns: number, boolean, date, category or ignore, by name.
        strict: Refuse the file for a single bad row.
    """

    modality: Modality | None = None
    text: str | None = None
    label: str | None = None
    target: str | None = None
    task: TaskKind | None = None
    group: str | None = None
    weight: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True)
class Items:
    """The labelled items of one upload: n of them, in the file's order.

    Attributes:
        modality: Which of `texts`, `files`, `vectors` and `table` holds them.
        task: Which of `labels`, `label_sets` and `targets` holds what is learned.
        rows: (n,) row of each item in the file, 1-based, the header not counted; of folders in an archive, the number
            of the file among its items, in the order of their paths.
        bad: The bad rows that are listed, each with its row number and reason.
        bad_count: All bad rows.
        format: ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet``, ``npy``, ``npz``, ``zip`` or ``tar``.
        columns: Column of each role: text and label, target, embedding and label, or file and label; empty where
            folders are the labels; and group and weight where there are such.
        quality: What was noticed.
        labels: (n,) class names; empty where each item has not one.
        label_sets: (n,) any number of class names each; None where it is one, or a number.
        targets: (n,) finite float64; None where classes are learned.
        groups: (n,) what each item belongs to; None where nothing was said of it.
        weights: (n,) finite float64, none negative and not all zero; None where all count alike.
        texts: (n,) as they came, surrounding blanks included.
        files: (n,) files of images or sounds, byte by byte as they came.
        names: (n,) where each file lies in the archive, or what Parquet calls it.
        media: Of files: how many there are of each format, and how large they are.
        vectors: (n, d) float32, finite.
        table: n typed rows.
        schema: Their columns.
    """

    modality: Modality
    task: TaskKind
    rows: tuple[int, ...]
    bad: tuple[Problem, ...]
    bad_count: int
    format: str
    columns: dict[str, str]
    quality: Quality
    labels: tuple[str, ...] = ()
    label_sets: tuple[tuple[str, ...], ...] | None = None
    targets: F64 | None = None
    groups: tuple[str, ...] | None = None
    weights: F64 | None = None
    texts: tuple[str, ...] = ()
    files: tuple[bytes, ...] = ()
    names: tuple[str, ...] = ()
    media: Mapping[str, Any] | None = None
    vectors: F32 | None = None
    table: Rows | None = None
    schema: Schema = ()

    @property
    def n(self) -> int:
        """Items."""
        return len(self.rows)

    @property
    def notes(self) -> list[str]:
        """What was decided for the caller, and what a careful reader would have noticed, in sentences."""
        return self.quality["notes"]
