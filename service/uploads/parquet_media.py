"""A stranger's Parquet file of images or sounds -> a clean one of their bytes, names and labels.

Files are a column of bytes, or of objects with a field `bytes` and perhaps `path`, as Hugging Face's datasets write
them. Labels that are numbers become their names where those are written in the file: in a column such as `label_name`,
or in the features that `datasets` leaves in the footer.

This runs in a child process (`parquet_child`), as `parquet_rewrite` does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import Problem
from service.errors import UploadRefused
from service.uploads.beside import Beside
from service.uploads.items import Reading
from service.uploads.limits import Limits
from service.uploads.media import HEAD_BYTES, Medium, kind_of
from service.uploads.names import CLASS_NAMES, IMAGE_NAMES, LABEL_NAMES, SOUND_NAMES, guessed, listed, named, seen
from service.uploads.parquet import opened, rows_at_once, too_many_bytes
from service.uploads.parquet_rewrite import Writing, plain_type
from service.uploads.parquet_values import holds_names, is_list

if TYPE_CHECKING:
    import pyarrow as pa

FILE, NAME, LABEL, GROUP, WEIGHT = "file", "name", "label", "group", "weight"
"""Columns of the clean file; the last two only where there are such."""


@dataclass(frozen=True)
class MediaRewritten:
    """What is in the clean file.

    Attributes:
        file_column, label_column: Where its files and labels come from.
        group_column, weight_column: The same of groups and weights; empty where there are none.
        rows: How many rows it has.
        problems: Rows that cannot be used; what is wrong there is null in the clean file.
        notes: What was decided.
    """

    file_column: str
    label_column: str
    group_column: str
    weight_column: str
    rows: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def media_columns(schema: "pa.Schema") -> list[str]:
    """Columns that may hold files."""
    return [field.name for field in schema if _bytes_type(field.type) is not None]


def medium_of(path: Path, column: str, limits: Limits) -> Medium | None:
    """What the first file in a column is; None where it is neither image nor sound."""
    with opened(path) as file:
        rows = rows_at_once(file, path, [column], limits)
        for batch in file.iter_batches(rows, columns=[column], use_threads=False):
            data, names = _files(batch.column(column))
            first = next(((data[at], names[at]) for at in range(len(data)) if data[at].is_valid), None)
            if first is not None:
                kind = kind_of(first[0].as_py()[:HEAD_BYTES], first[1].as_py() or "")
                return kind.medium if kind else None
    return None


def rewrite_media(path: Path, clean: Path, limits: Limits, *, medium: Medium, reading: Reading) -> MediaRewritten:
    """Writes the clean file.

    Args:
        path: The stranger's file, its footer checked (`read_parquet`).
        clean: Where to write.
        limits: How large each part may be.
        medium: What the files are.
        reading: Which columns are learned from; guessed where it does not say.

    Raises:
        UploadRefused: It has no column of files or of labels, or several; or none of those that were named.
        UploadTooLarge: More bytes than the limits allow.
        UploadUnreadable: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(path) as file:
        schema = file.schema_arrow
        files = _file_column(schema, medium)
        labels, words, notes = _label_column(schema, reading.label or reading.target)
        beside = Beside.named(schema.names, reading, file=files, label=labels)
        others = [labels, *beside.columns]
        rows = rows_at_once(file, path, [files, *others], limits)
        kinds = {name: _kind(schema, name, role) for role, name in {"label": labels, **beside.roles}.items()}
    plain = Writing(pa.schema(list(kinds.items())), limits)
    written = pa.schema(
        [
            *(
                (FILE, pa.large_binary()),
                (NAME, pa.string()),
                (LABEL, pa.string() if words and not is_list(kinds[labels]) else kinds[labels]),
            ),
            *((role, kinds[name]) for role, name in beside.roles.items()),
        ]
    )
    large = _Large(limits)
    dictionaries = [name for name in others if not is_list(kinds[name])]
    with opened(path, dictionaries) as file, pq.ParquetWriter(clean, written, compression="none") as sink:
        for batch in file.iter_batches(rows, columns=[files, *others], use_threads=False):
            data, names = _files(batch.column(files))
            kept = large.without(data, plain.rows)
            learned, *rest = plain.plain(batch.select(others)).columns
            sink.write_batch(pa.record_batch([kept, names, _worded(learned, words), *rest], schema=written))
    problems = sorted([*large.problems, *plain.problems], key=lambda problem: problem.row or 0)
    return MediaRewritten(
        *(files, labels, beside.group, beside.weight), rows=plain.rows, problems=tuple(problems), notes=tuple(notes)
    )


class _Large:
    """Counts the bytes of all files, and leaves out single ones that are over the limit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self.problems: list[Problem] = []

    def without(self, data: "pa.Array", before: int) -> "pa.Array":
        """The files, null where one is too large; `before` rows have gone by."""
        import pyarrow as pa
        import pyarrow.compute as pc

        sizes = pc.binary_length(data)
        self._bytes += pc.sum(sizes).as_py() or 0
        if self._bytes > self._limits.bytes:
            raise too_many_bytes("The files", f"at least {self._bytes}", self._limits)
        large = pc.fill_null(pc.greater(sizes, self._limits.file_bytes), False)
        for at in pc.indices_nonzero(large).to_pylist():
            detail = f"the file has {sizes[at]} bytes; the limit for one is {self._limits.file_bytes}"
            self.problems.append(Problem(detail, row=before + at + 1))
        return pc.if_else(large, pa.scalar(None, data.type), data)


def _files(column: "pa.Array") -> tuple["pa.Array", "pa.Array"]:
    """Bytes and names of a column of files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    names = pa.nulls(len(column), pa.string())
    if pa.types.is_struct(column.type):
        fields = [field.name for field in column.type]
        if "path" in fields and pa.types.is_string(column.type.field("path").type):
            names = pc.struct_field(column, "path")
        column = pc.struct_field(column, "bytes")
    return column.cast(pa.large_binary()), names


def _bytes_type(kind: "pa.DataType") -> "pa.DataType | None":
    """The type of the bytes in a column of files; None where it is none."""
    from pyarrow import types

    if types.is_struct(kind):
        inner = [field.type for field in kind if field.name == "bytes"]
        return _bytes_type(inner[0]) if len(inner) == 1 and not types.is_struct(inner[0]) else None
    is_binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return kind if is_binary else None


def _kind(schema: "pa.Schema", column: str, role: str) -> "pa.DataType":
    """The plain type of a column of labels, groups or weights."""
    import pyarrow as pa

    given = schema.field(column).type
    if role == "label" and holds_names(given):
        return pa.list_(pa.string())
    kind = plain_type(given, vectors=False)
    if kind is None:
        raise UploadRefused(
            f"The column '{column}' does not hold one word or number a row; name another: {role}=<column>."
        )
    return kind


def _file_column(schema: "pa.Schema", medium: Medium) -> str:
    columns = media_columns(schema)
    if not columns:
        raise UploadRefused(f"No column holds the bytes of files; {seen(schema.names)}. Write them there as bytes.")
    name = columns[0] if len(columns) == 1 else guessed(columns, IMAGE_NAMES if medium == "image" else SOUND_NAMES)
    if name is None:
        raise UploadRefused(f"Several columns hold files: {listed(columns)}. Call the one to use '{medium}'.")
    return name


def _label_column(schema: "pa.Schema", label: str | None) -> tuple[str, Sequence[str], list[str]]:
    """The column of labels, the words for its numbers where the footer has them, and what was decided."""
    name = named(schema.names, label, "label") if label else guessed(schema.names, LABEL_NAMES)
    if name is None:
        raise UploadRefused(
            f"No label column was found; {seen(schema.names)}. Call it 'label', or name it when uploading: "
            "label=<column>."
        )
    words = _class_names(schema, name)
    if not words and label is None and _is_whole(schema.field(name).type):
        spelled = guessed(schema.names, CLASS_NAMES)
        if spelled is not None:
            return spelled, [], [f"Labels are those of '{spelled}', which are the words for the numbers in '{name}'."]
    return name, words, []


def _class_names(schema: "pa.Schema", column: str) -> list[str]:
    """The words that `datasets` writes for a column of class numbers, or of lists of them."""
    kind = schema.field(column).type
    if not _is_whole(kind.value_type if is_list(kind) else kind):
        return []
    try:
        told: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = told["info"]["features"][column]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        names = feature["names"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _is_whole(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind))


def _worded(labels: "pa.Array", words: Sequence[str]) -> "pa.Array":
    """Class numbers, or lists of them, as their words; one without a word is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not words:
        return labels
    if is_list(labels.type):
        of = {str(at): word for at, word in enumerate(words)}
        lists = ([of.get(name) for name in row] if row is not None else None for row in labels.to_pylist())
        return pa.array(list(lists), labels.type)
    known = pc.and_(pc.greater_equal(labels, 0), pc.less(labels, len(words)))
    return pc.take(pa.array(words, pa.string()), pc.if_else(known, labels, pa.scalar(None, labels.type)))
