"""Answers as ``graft predict`` shows them, and as it writes them into rows."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from graft._answers import Prediction, Predictions
from graft.cli.rows import Row
from graft.cli.screen import Screen, facts, table

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


def show_answers(screen: Screen, answers: Predictions, inputs: Sequence[str], *, by: str, name: str = "input") -> None:
    """Show answers as a table, an input a row, and why below them; `by` says who answered."""
    for warning in answers.warnings:
        screen.note(f"Note: {warning.detail}")
    columns, cells = cells_of(answers)
    columns, cells = _mixed(answers, columns, cells)
    view: list[Table | str] = [
        table((name, *columns), ((given, *own) for given, own in zip(inputs, cells, strict=True)))
    ]
    view[0].columns[0].no_wrap = False  # type: ignore[union-attr]
    for given, answer in zip(inputs, answers, strict=True):
        if why := because(answer):
            view += [f"\n{given}", facts(why)]
    value = [{name: given} if name != "input" else {} for given in inputs]
    value = [one | dict(answer.raw) for one, answer in zip(value, answers, strict=True)]
    guessed = any(answer.probability is not None and not answer.calibrated for answer in answers)
    unsure = " Its probabilities are guesses, not measured on held-out items." if guessed else ""
    screen.result(value, *view, f"\nAnswered by {by}.{unsure}")


def because(answer: Prediction) -> dict[str, object]:
    """Why it is answered so, by the kind of reason; empty where none was given."""
    near = ((f"{one.id} ({one.label})" if one.label else one.id, one.similarity) for one in answer.neighbours or ())
    found = {"attributes": answer.attributes, "made of": answer.sources, "near": tuple(near)}
    return {kind: _said(pairs) for kind, pairs in found.items() if pairs}


def _mixed(answers: Sequence[Prediction], columns: tuple[str, ...], cells: Cells) -> tuple[tuple[str, ...], Cells]:
    """With what each is a mixture of, where any is."""
    if all(answer.mixture is None for answer in answers):
        return columns, cells
    mixtures = (
        (_said(answer.mixture or ()), answer.entropy, answer.second[0] if answer.second else None) for answer in answers
    )
    return (*columns, "mixture", "entropy", "second"), (
        (*own, *mixture) for own, mixture in zip(cells, mixtures, strict=True)
    )


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
