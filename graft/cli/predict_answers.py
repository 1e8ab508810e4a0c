"""Answers as ``graft predict`` shows them, and as it writes them into rows."""

from collections.abc import Iterator, Sequence

from graft._answers import Prediction
from graft.cli.rows import Row

SEPARATOR = "|"
"""Between the labels of a row in CSV and TSV, as the service writes them."""

Cells = Iterator[tuple[object, ...]]


def cells_of(answers: Sequence[Prediction]) -> tuple[tuple[str, ...], Cells]:
    """Columns of a table of answers, and the cells of each."""
    if answers and answers[0].value is not None:
        return ("value",), ((answer.value,) for answer in answers)
    if answers and answers[0].labels is not None:
        return ("labels", "most probable"), (
            (_said(answer.labels or ()) or "-", _said(answer.top)) for answer in answers
        )
    columns = ("label", "probability", "then")
    return columns, ((answer.label, answer.probability, _said(answer.top[1:])) for answer in answers)


def answered(answer: Prediction, top_k: int, *, texts: bool) -> Row:
    """An answer in the columns that the service adds to the rows of a file.

    Args:
        answer: To one input.
        top_k: Most probable labels of each row.
        texts: Whether cells are texts; labels are a list otherwise.
    """
    row: Row = {}
    if answer.value is not None:
        row["value"], top_k = answer.value, 0
    if answer.labels is not None:
        labels = [label for label, _ in answer.labels]
        row["labels"] = SEPARATOR.join(labels) if texts else labels
        top_k = top_k if top_k > 1 else 0
    return row | pairs(answer.top, top_k) | {"truncated": answer.truncated, "adapter": answer.adapter}


def pairs(top: Sequence[tuple[str, float]], top_k: int) -> Row:
    """The cells of the most probable labels; None where there are fewer."""
    row: Row = {}
    for place in range(top_k):
        behind = f"_{place + 1}" if place else ""
        label, share = top[place] if place < len(top) else (None, None)
        row |= {f"label{behind}": label, f"probability{behind}": share}
    return row


def _said(labels: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{label} {share:.3f}" for label, share in labels)
