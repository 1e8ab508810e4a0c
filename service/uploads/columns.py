"""Which column is the text, and which the label?

Named columns are taken as named. Otherwise names that people use are looked for; failing that, a table of two columns
is decided by its content where that is clear. A guess that is not clear is an error with a remedy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from adapters.cells import number
from service.errors import UploadRefused
from service.uploads.names import LABEL_NAMES, TEXT_NAMES, guessed, named, quoted, seen
from service.uploads.rows import Row


@dataclass(frozen=True)
class Choice:
    """The two columns that are read, and whether either was a guess by content."""

    text: str
    label: str
    by_content: bool = False


def choose(
    columns: Sequence[str], sample: Sequence[Row], *, text: str | None, label: str | None, otherwise: str = ""
) -> Choice:
    """Chooses the text and the label column.

    Args:
        columns: All names, in the file's order.
        sample: First rows with all their cells; looked at only where names do not decide.
        text: Name given by the caller; `None` = guess.
        label: Likewise.
        otherwise: Sentence that ends the message where a column is not found: what else the file may be.

    Raises:
        UploadRefused: A given name is not there or not alone, or a guess is not clear.
    """
    given_text = None if text is None else named(columns, text, "text")
    given_label = None if label is None else named(columns, label, "label")
    text_column = given_text or guessed(columns, TEXT_NAMES, taken=given_label)
    label_column = given_label or guessed(columns, LABEL_NAMES, taken=text_column)
    by_content = False
    if (text_column is None) != (label_column is None) and len(set(columns)) == len(columns) == 2:
        other = columns[1 - columns.index(text_column or label_column or "")]
        text_column, label_column, by_content = text_column or other, label_column or other, True
    if text_column is None and label_column is None:
        text_column, label_column = _by_content(columns, sample, otherwise)
        by_content = True
    if text_column is None or label_column is None:
        raise _not_found(columns, "text" if text_column is None else "label", otherwise)
    if text_column == label_column:
        raise UploadRefused(f"The text and the label are the same column, {quoted(text_column)}. Name two columns.")
    if by_content and _all_numbers(text_column, sample):
        raise _not_found(columns, "text", otherwise)
    return Choice(text_column, label_column, by_content)


def _all_numbers(column: str, sample: Sequence[Row]) -> bool:
    cells = [row.cells.get(column) for row in sample]
    return bool(cells) and all(number(cell) is not None for cell in cells)


def _by_content(columns: Sequence[str], sample: Sequence[Row], otherwise: str) -> tuple[str, str]:
    """Of two columns, the one with clearly longer cells is the text, if the other one repeats its values."""
    if len(columns) != 2 or columns[0] == columns[1]:
        raise _not_found(columns, "text", otherwise)
    cells = {name: [str(row.cells.get(name) or "").strip() for row in sample] for name in columns}
    text, label = sorted(columns, key=lambda name: -_typical(cells[name]))
    if _looks_like_data(text, label, cells[text], cells[label]):
        raise UploadRefused(
            "The file seems to have no header: its first row looks like data. "
            "Add a first row with the names of the columns, such as 'text,label'."
        )
    clear = _typical(cells[text]) >= 2 * _typical(cells[label]) and len(set(cells[label])) < len(cells[label])
    if not clear:
        raise _not_found(columns, "text", otherwise)
    return text, label


def _typical(values: Sequence[str]) -> float:
    return median(map(len, values)) if values else 0.0


def _looks_like_data(text: str, label: str, texts: Sequence[str], labels: Sequence[str]) -> bool:
    """A header that is itself a row: its label occurs below it, or its text is a sentence as long as the others."""
    return label in labels or (text.count(" ") >= 2 and len(text) >= 0.5 * _typical(texts))


def _not_found(columns: Sequence[str], role: str, otherwise: str) -> UploadRefused:
    names = LABEL_NAMES if role == "label" else TEXT_NAMES
    return UploadRefused(
        f"No {role} column was found; {seen(columns)}. "
        f"Call it {quoted(names[0])}, or name it when uploading: {role}=<column>.{otherwise and ' '}{otherwise}"
    )
