"""The columns that an answer adds to a file: their names, which are never the file's own, and their cells."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.serving.facts import Facts

_PREFIX = "predicted_"


@dataclass(frozen=True)
class AnswerColumn:
    """One column of an answer.

    Attributes:
        name: As it is written.
        holds: What its cells are; any may be None, where a row has no answer.
    """

    name: str
    holds: Literal["text", "texts", "number", "flag"]


@dataclass(frozen=True)
class AnswerColumns:
    """The columns of a file's answer, in order.

    Attributes:
        columns: ``label`` and ``probability`` (with `top_k` also ``label_2``, ``probability_2``, ...) or ``value``;
            ``labels`` where a row has any number of them, and with a `top_k` above 1 those others behind it;
            ``truncated`` of texts; ``adapter``; ``warnings``. A name that the file has gets ``predicted_`` in front.
        top_k: Most probable labels of each row; 0 for a regression.
        multilabel: Whether ``labels`` is there.
        truncates: Whether ``truncated`` is there.
        adapter: What stands under ``adapter``.
    """

    columns: tuple[AnswerColumn, ...]
    top_k: int
    multilabel: bool
    truncates: bool
    adapter: str

    @classmethod
    def of(cls, facts: Facts, top_k: int, taken: Collection[str]) -> "AnswerColumns":
        """The columns of an adapter's answer.

        Args:
            facts: Of the version that answers.
            top_k: Most labels of each row.
            taken: Names that the file has.
        """
        listed = min(top_k, len(facts.classes)) if top_k > 1 or not facts.multilabel else 0
        truncates = facts.modality == "text"
        columns = [
            AnswerColumn(_free(column.name, taken), column.holds)
            for column in _columns(facts, listed, truncates=truncates)
        ]
        return cls(tuple(columns), listed, facts.multilabel, truncates, f"{facts.name}:{facts.number}")

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self.columns)

    def cells(self, prediction: Mapping[str, Any] | None, warnings: str) -> tuple[Any, ...]:
        """The cells of one row.

        Args:
            prediction: As it goes over the wire in JSON; None where the row has no answer.
            warnings: What is to be said of the row; empty where all is well.
        """
        if prediction is None:
            return (*[None] * (len(self.columns) - 1), warnings)
        truncated = (prediction.get("truncated", False),) if self.truncates else ()
        return (*self._answer(prediction), *truncated, self.adapter, warnings)

    def _answer(self, prediction: Mapping[str, Any]) -> Sequence[Any]:
        labels = ([label for label, _ in prediction["labels"]],) if self.multilabel else ()
        if not self.top_k and not self.multilabel:
            return (prediction["value"],)
        return [*labels, *(cell for pair in prediction["top"][: self.top_k] for cell in pair)]


def _columns(facts: Facts, top_k: int, *, truncates: bool) -> Iterator[AnswerColumn]:
    if facts.multilabel:
        yield AnswerColumn("labels", "texts")
    elif not facts.classes:
        yield AnswerColumn("value", "number")
    for place in range(1, top_k + 1):
        behind = "" if place == 1 else f"_{place}"
        yield AnswerColumn(f"label{behind}", "text")
        yield AnswerColumn(f"probability{behind}", "number")
    if truncates:
        yield AnswerColumn("truncated", "flag")
    yield AnswerColumn("adapter", "text")
    yield AnswerColumn("warnings", "text")


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name = _PREFIX + name
    return name
