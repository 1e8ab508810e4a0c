"""Which column is the text, and which the label?

Named columns are taken as named. Otherwise names that people use are looked for; failing that, a table of two columns
is decided by its content where that is clear. A guess that is not clear is an error with a remedy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from statistics import median

from service.errors import UploadRefused
from service.uploads.rows import Row

TEXT_NAMES = (
    *("text", "sentence", "utterance", "content", "message", "body", "question", "query", "comment", "review"),
    *("document", "description", "input", "subject", "title", "tweet", "prompt"),
)
"""Names of a text column, the surest first."""
LABEL_NAMES = (
    *("label", "class", "category", "intent", "target", "tag", "labelname", "classname", "categoryname", "labels"),
    *("output", "topic", "sentiment", "y"),
)
"""Names of a label column, the surest first."""
_SHOWN_COLUMNS = 20
_SHOWN_CHARS = 40


@dataclass(frozen=True)
class Choice:
    """The two columns that are read, and whether either was a guess by content."""

    text: str
    label: str
    by_content: bool = False


def choose(columns: Sequence[str], sample: Sequence[Row], *, text: str | None, label: str | None) -> Choice:
    """Chooses the text and the label column.

    Args:
        columns: All names, in the file's order.
        sample: First rows with all their cells; looked at only where names do not decide.
        text: Name given by the caller; `None` = guess.
        label: Likewise.

    Raises:
        UploadRefused: A given name is not there or not alone, or a guess is not clear.
    """
    given_text = None if text is None else _named(columns, text, "text")
    given_label = None if label is None else _named(columns, label, "label")
    text_column = given_text or _guessed(columns, TEXT_NAMES, taken=given_label)
    label_column = given_label or _guessed(columns, LABEL_NAMES, taken=text_column)
    by_content = False
    if (text_column is None) != (label_column is None) and len(set(columns)) == len(columns) == 2:
        other = columns[1 - columns.index(text_column or label_column or "")]
        text_column, label_column, by_content = text_column or other, label_column or other, True
    if text_column is None and label_column is None:
        text_column, label_column = _by_content(columns, sample)
        by_content = True
    if text_column is None or label_column is None:
        raise _not_found(columns, "text" if text_column is None else "label")
    if text_column == label_column:
        raise UploadRefused(f"The text and the label are the same column, {_quoted(text_column)}. Name two columns.")
    return Choice(text_column, label_column, by_content)


def _named(columns: Sequence[str], name: str, role: str) -> str:
    """The column of exactly that name, else the only one that differs in case or surrounding blanks alone."""
    wanted = name.strip().casefold()
    found = [column for column in columns if column == name]
    found = found or [column for column in columns if column.strip().casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise _twice(found[0])
    close = get_close_matches(wanted, [column.casefold() for column in columns[:1000]], n=1)
    meant = [column for column in columns if close and column.casefold() == close[0]]
    hint = f" Did you mean {_quoted(meant[0])}?" if meant else ""
    raise UploadRefused(f"There is no {role} column {_quoted(name)}; {_seen(columns)}.{hint}")


def _guessed(columns: Sequence[str], names: Sequence[str], *, taken: str | None) -> str | None:
    for name in names:
        found = [column for column in columns if _plain(column) == name and column != taken]
        if len(found) > 1:
            raise _twice(found[0])
        if found:
            return found[0]
    return None


def _plain(column: str) -> str:
    return "".join(char for char in column.casefold() if char.isalnum())


def _by_content(columns: Sequence[str], sample: Sequence[Row]) -> tuple[str, str]:
    """Of two columns, the one with clearly longer cells is the text, if the other one repeats its values."""
    if len(columns) != 2 or columns[0] == columns[1]:
        raise _not_found(columns, "text")
    cells = {name: [str(row.cells.get(name) or "").strip() for row in sample] for name in columns}
    text, label = sorted(columns, key=lambda name: -_typical(cells[name]))
    if _looks_like_data(text, label, cells[text], cells[label]):
        raise UploadRefused(
            "The file seems to have no header: its first row looks like data. "
            "Add a first row with the names of the columns, such as 'text,label'."
        )
    clear = _typical(cells[text]) >= 2 * _typical(cells[label]) and len(set(cells[label])) < len(cells[label])
    if not clear:
        raise _not_found(columns, "text")
    return text, label


def _typical(values: Sequence[str]) -> float:
    return median(map(len, values)) if values else 0.0


def _looks_like_data(text: str, label: str, texts: Sequence[str], labels: Sequence[str]) -> bool:
    """A header that is itself a row: its label occurs below it, or its text is a sentence as long as the others."""
    return label in labels or (text.count(" ") >= 2 and len(text) >= 0.5 * _typical(texts))


def _not_found(columns: Sequence[str], role: str) -> UploadRefused:
    names = LABEL_NAMES if role == "label" else TEXT_NAMES
    return UploadRefused(
        f"No {role} column was found; {_seen(columns)}. "
        f"Call it {_quoted(names[0])}, or name it when uploading: {role}=<column>."
    )


def _twice(name: str) -> UploadRefused:
    return UploadRefused(f"More than one column is called {_quoted(name)}. Give each column a name of its own.")


def _seen(columns: Sequence[str]) -> str:
    shown = ", ".join(_quoted(name) for name in columns[:_SHOWN_COLUMNS])
    more = f" and {len(columns) - _SHOWN_COLUMNS} more" if len(columns) > _SHOWN_COLUMNS else ""
    return f"the columns are {shown}{more}"


def _quoted(name: str) -> str:
    return f"'{name}'" if len(name) <= _SHOWN_CHARS else f"'{name[:_SHOWN_CHARS]}…'"
