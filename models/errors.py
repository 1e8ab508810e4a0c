"""What can go wrong, as the domain sees it.

    GraftError
    ├── InputError          the caller's; the message is safe to show and says what was seen, the limit and the remedy
    │   ├── BackboneUnknown   no such backbone is hosted
    │   ├── SourceRefused     a source that cannot become a backbone
    │   └── WrongInput        an item of another kind than the backbone takes
    └── InternalError       ours; the message is for the log, never for the caller
        ├── WeightsCorrupt    a file of weights is not the one that was recorded
        ├── ExportFailed      a trunk could not be turned into ONNX
        └── ExportMismatch    an exported graph does not compute what it was exported from

No class here knows HTTP: statuses live in ``service/errors.py``. ``adapters/errors.py`` and ``service/errors.py`` add
the errors of their own concerns under the same two roots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Problem:
    """One place in the caller's input that is wrong.

    Exactly one of `pointer` (RFC 6901, into a JSON body) and `row` (1-based, the header not counted) is set.
    """

    detail: str
    pointer: str | None = None
    row: int | None = None


class GraftError(Exception):
    """Root of every error raised on purpose."""

    code: ClassVar[str] = "internal"
    """Stable word for programs; never changes once published."""

    def __init__(self, message: str, *, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class InputError(GraftError):
    """The caller can mend it."""

    code = "invalid-input"


class InternalError(GraftError):
    """We have to mend it."""

    code = "internal"


class BackboneUnknown(InputError):
    """No backbone of that name is hosted."""

    code = "backbone-unknown"


class SourceRefused(InputError):
    """A source that cannot become a backbone: weights that are not there or are pickles, a graph of another form."""

    code = "source-refused"


class WrongInput(InputError):
    """An item is of another kind than the backbone takes."""

    code = "wrong-input"


class WeightsCorrupt(InternalError):
    """A file of weights is not the one that was recorded."""

    code = "weights-corrupt"


class ExportFailed(InternalError):
    """A trunk could not be turned into ONNX."""

    code = "export-failed"


class ExportMismatch(InternalError):
    """An exported graph does not compute what it was exported from."""

    code = "export-mismatch"
