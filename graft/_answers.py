"""What predictions answer, as frozen values; see `graft._types`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from graft._types import Json, Wire, fields_of

Shares = tuple[tuple[str, float], ...]
"""Names, each with a share or a probability."""


@dataclass(frozen=True)
class Neighbour(Wire):
    """An item that a version was fitted to and that is near an input.

    `id` names it in its dataset, `label` is what it was labelled with, and `similarity` the cosine of the two.
    """

    id: str = ""
    label: str | None = None
    similarity: float = 0.0

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        return cls(**fields_of(cls, data) | {"id": str(data.get("id", ""))})


@dataclass(frozen=True)
class Prediction(Wire):
    """One answer.

    A classification has `label`, its `probability`, and `top`: (label, probability), best first. Where an input has any
    number of labels, `labels` are those that reach their thresholds, (label, probability), best first, and `label` and
    `probability` are None. A regression has `value`. `labels` is None in both others. `truncated` says that the end of
    a text was left out; `adapter` is the version that answered.

    Of versions that average source classes (``conse``) `mixture` has the classes that an input is an average of and
    their shares, largest first; `entropy` says in nats how widely it is spread over all of them, and `second` is the
    class of the second mode with its share, None where there is but one. With ``explain=True`` there are, as far as the
    version can tell: `attributes`, what a zero-shot version takes the input's to be, each with its probability or
    value; `sources`, the classes that it was averaged over and their weights; `neighbours`, the items nearest to it
    that the version was fitted to. None where there is nothing of it.
    """

    label: str | None = None
    probability: float | None = None
    id: str = ""
    top: tuple[tuple[str, float], ...] = ()
    truncated: bool = False
    adapter: str = ""
    calibrated: bool = False
    value: float | None = None
    labels: Shares | None = None
    mixture: Shares | None = None
    entropy: float | None = None
    second: tuple[str, float] | None = None
    attributes: Shares | None = None
    sources: Shares | None = None
    neighbours: tuple[Neighbour, ...] | None = None

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """Build the value from a decoded JSON object."""
        known = fields_of(cls, data) | {"top": _shares(data.get("top") or ())}
        for name in ("labels", "mixture", "attributes", "sources"):
            if name in known:
                known[name] = _shares(known[name])
        if "second" in known:
            name, share = known["second"]
            known["second"] = (name, share)
        if "neighbours" in known:
            known["neighbours"] = tuple(Neighbour.from_json(one) for one in known["neighbours"])
        return cls(**known)


def _shares(pairs: Iterable[tuple[str, float]]) -> Shares:
    return tuple((name, share) for name, share in pairs)


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
