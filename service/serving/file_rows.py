"""From the rows of a file to predictions, a batch at a time: what each modality takes of a row.

text     the column of the texts; a row whose text cannot be used has no answer, and says why
table    the columns that the adapter knows; what is missing or odd in a row is said of that row
vector   the vector itself
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from adapters.base import F32
from adapters.columns import Schema, type_rows
from models.long import Long
from service.errors import Busy
from service.serving.directory import Served
from service.serving.prediction import Predictor
from service.serving.taps import Doubts
from service.uploads.cells import Bad, as_text
from service.uploads.jsonlines import as_cell
from service.uploads.limits import Limits
from service.uploads.rows_in import Batch, Incoming

PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Pauses before the same texts are tried again while the backbone has too much to do; then the answer breaks off."""

Prediction = Mapping[str, Any]
Cells = list[tuple[Prediction | None, str]]
"""(n,) prediction of each row, None where it has none, and what is to be said of it."""


@dataclass(frozen=True)
class Asking:
    """Who answers, and what is asked of it."""

    predictor: Predictor
    served: Served
    top_k: int
    long: Long | None = None

    async def of(self, inputs: Sequence[Any]) -> tuple[Sequence[Prediction], Doubts]:
        """The answers to some inputs, as a JSON call would have them."""
        answers = await self.predictor.answer(self.served, inputs, self.top_k, self.long)
        return answers.predictions, answers.warnings


class FileRows(ABC):
    """The rows of a file as one modality takes them."""

    @abstractmethod
    async def answer(self, asking: Asking, batch: Batch) -> Cells:
        """The answers to a batch.

        Raises:
            Busy: The backbone had too much to do for half a minute.
            NotReady: It is not there, or the service stops.
        """


@dataclass(frozen=True)
class TextRows(FileRows):
    """Texts, from one column."""

    column: str
    limits: Limits

    async def answer(self, asking: Asking, batch: Batch) -> Cells:
        """See `FileRows`; rows without a usable text are not asked."""
        texts = [as_text(as_cell(row.get(self.column)), self.limits) for row in batch.rows]
        usable = [text for text in texts if not isinstance(text, Bad)]
        found = iter(await _patiently(asking, usable, iter(PAUSES_S)) if usable else ())
        return [(None, _unanswered(text)) if isinstance(text, Bad) else (next(found), "") for text in texts]


async def _patiently(asking: Asking, texts: Sequence[str], pauses: Iterator[float]) -> Sequence[Prediction]:
    """Asks again where there was too much to do, in halves: all at once may never fit."""
    while True:
        try:
            predictions, _ = await asking.of(texts)
        except Busy:
            pause_s = next(pauses, None)
            if pause_s is None:
                raise
        else:
            return predictions
        await asyncio.sleep(pause_s)
        if (half := len(texts) // 2) > 0:
            return [*await _patiently(asking, texts[:half], pauses), *await _patiently(asking, texts[half:], pauses)]


def _unanswered(text: Bad) -> str:
    return f"No answer: {text.reason}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


@dataclass(frozen=True)
class TableRows(FileRows):
    """Rows of a table, by the columns that the adapter knows."""

    incoming: Incoming
    schema: Schema

    async def answer(self, asking: Asking, batch: Batch) -> Cells:
        """See `FileRows`."""
        inputs = await asyncio.to_thread(self._inputs, batch)
        predictions, doubts = await asking.of(inputs)
        said = await asyncio.to_thread(_said, self.schema, inputs, doubts)
        return list(zip(predictions, said, strict=True))

    def _inputs(self, batch: Batch) -> list[dict[str, Any]]:
        # All columns in every row: one that no row of a batch has is the file's matter, not the batch's.
        blank = dict.fromkeys(column.name for column in self.schema)
        return [blank | row for row in self.incoming.inputs(batch, self.schema)]


def _said(schema: Schema, inputs: Sequence[Mapping[str, Any]], doubts: Doubts) -> list[str]:
    """What is to be said of each row.

    Doubts are about all rows of a call and list the first few, so the cells of a doubted column are looked at again,
    each by itself.
    """
    said: list[list[str]] = [[] for _ in inputs]
    listed = {doubt["column"]: doubt for doubt in doubts if "column" in doubt}
    for column in schema:
        doubt = listed.get(column.name)
        if doubt is None:
            continue
        for place in doubt["inputs"] if doubt["count"] <= len(doubt["inputs"]) else range(len(inputs)):
            _, found = type_rows((column,), {column.name: [inputs[place][column.name]]}, 1)
            said[place] += [_sentence(item.detail) for item in found]
    return ["; ".join(sentences) for sentences in said]


@dataclass(frozen=True)
class VectorRows(FileRows):
    """Vectors, of the adapter's own width."""

    async def answer(self, asking: Asking, batch: Batch) -> Cells:
        """See `FileRows`."""
        answers = await asking.predictor.answer_vectors(asking.served, cast(F32, batch.vectors), asking.top_k)
        return [(prediction, "") for prediction in answers.predictions]
