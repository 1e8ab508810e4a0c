"""What predictions answer, as frozen values; see `graft._types`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from graft._types import Json, Wire, fields_of


@dataclass(frozen=True)
class Prediction(Wire):
    """One answer.

    A classification has `label`, its `probability`, and `top`: (label, probability), best first. Where an input has any
    number of labels, `labels` are those that reach their thresholds, (label, probability), best first, and `label` and
    `probability` are None. A regression has `value`. `labels` is None in both others. `truncated` says that the end of
    a text was left out; `adapter` is the version that answered.
    """

    label: str | None = None
    probability: float | None = None
    id: str = ""
    top: tuple[tuple[str, float], ...] = ()
    truncated: bool = False
    adapter: str = ""
    calibrated: bool = False
    value: float | None = None
    labels: tuple[tuple[str, float], ...] | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data)
        known["top"] = tuple((label, probability) for label, probability in data.get("top") or ())
        if "labels" in known:
            known["labels"] = tuple((label, probability) for label, probability in known["labels"])
        return cls(**known)


@dataclass(frozen=True)
class InputWarning(Wire):
    """Something odd about inputs that were answered all the same.

    `inputs` are the first few that it is about, counted from 0, and `count` is all of them; `column` is the column of a
    table.
    """

    detail: str = ""
    column: str | None = None
    inputs: tuple[int, ...] = ()
    count: int | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        return cls(**fields_of(cls, data) | {"inputs": tuple(data.get("inputs") or ())})


class Predictions(list[Prediction]):
    """The answers to some inputs, in their order: a list, with `warnings` about the inputs beside it."""

    def __init__(self, answers: Iterable[Prediction] = (), warnings: Iterable[InputWarning] = ()) -> None:
        super().__init__(answers)
        self.warnings = tuple(warnings)


@dataclass(frozen=True)
class PredictedFile:
    """What became of a file: `rows` of it were answered by the version `adapter`; `warnings` are about all of it."""

    adapter: str
    rows: int
    warnings: tuple[str, ...] = ()
