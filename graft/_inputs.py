"""What the caller has -> inputs of a prediction, as JSON.

text                                     -> itself
a mapping of columns                     -> an object; NaN is a missing value, dates are ISO text
numbers in a list, a tuple or an array   -> {"embedding": [...]}
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol


class Array(Protocol):
    """A NumPy array, or whatever becomes a list as one does."""

    def tolist(self) -> Any:
        """Its numbers."""
        ...


Input = str | Mapping[str, Any] | Sequence[float] | Array


def as_inputs(inputs: Iterable[Input], first: int = 0) -> list[Any]:
    """Inputs as the service takes them; `first` is the place of the first one among all.

    Raises:
        TypeError: One is nothing of all that; says which.
    """
    return [_input(given, place) for place, given in enumerate(inputs, start=first)]


def _input(given: Input, place: int) -> Any:
    if isinstance(given, str):
        return str(given)
    if isinstance(given, Mapping):
        return {str(name): _cell(cell) for name, cell in given.items()}
    plain = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(plain, list | tuple):
        return {"embedding": [_cell(number) for number in plain]}
    raise TypeError(
        f"Input {place} is {given!r:.80}; give texts, dicts of columns (the rows of a table), or sequences of numbers."
    )


def _cell(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, float) and plain != plain:  # noqa: PLR0124 - NaN is what does not equal itself
        return None
    return plain.isoformat() if hasattr(plain, "isoformat") else plain
