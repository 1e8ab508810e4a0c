"""Several labels a row in NumPy's files: a matrix of marks, one column a class, and the names of the classes."""

from collections.abc import Sequence

from service.errors import UploadRefused, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.names import CLASSES_NAMES, guessed, quoted
from service.uploads.npy import Array
from service.uploads.rows import MOST_LISTED, Cell, Listed

_SAVE = "np.savez(path, embedding=vectors, label=marks, classes=names)"
_MARKS = "biuf"
"""NumPy's letters for truth values and numbers."""
_MATRIX = 2


def are_marks(array: Array, n: int) -> bool:
    """Whether the labels of n vectors have a column for each class."""
    return len(array.shape) == _MATRIX and array.shape[0] == n and array.shape[1] > 1 and array.dtype.kind in _MARKS


def marked(array: Array, arrays: Sequence[Array], limits: Limits) -> list[Cell]:
    """The names of the classes that each row is marked with.

    Args:
        array: (n, k) of 0 and 1, or of truth values.
        arrays: All of the file; `classes` holds the k names.
        limits: How many classes there may be.

    Raises:
        UploadRefused: There are no names, or not k of them; something else than 0 and 1; too many marks in a row.
    """
    k = array.shape[1]
    name = guessed([other.name for other in arrays], CLASSES_NAMES)
    classes = next((other for other in arrays if other.name == name), None)
    if classes is None or classes.shape != (k,) or classes.dtype.kind != "U" or k > limits.classes:
        seen = f"{quoted(classes.name)} has the shape {classes.shape}" if classes else "there is no array 'classes'"
        raise UploadRefused(
            f"The labels in {quoted(array.name)} have the shape {array.shape}, one column a class, and {seen}; it must "
            f"hold {k} names as text, at most {limits.classes}: {_SAVE}."
        )
    marks = array.load()
    if not ((marks == 0) | (marks == 1)).all():
        raise UploadRefused(f"The labels in {quoted(array.name)} have {k} columns and hold more than 0 and 1: {_SAVE}.")
    if int(marks.sum(axis=1).max(initial=0)) > MOST_LISTED:
        raise UploadRefused(f"A row in {quoted(array.name)} has more than {MOST_LISTED} labels, which is the limit.")
    try:
        names: list[str] = classes.load().tolist()
    except (ValueError, SystemError):  # which of them is up to the first such character
        raise UploadUnreadable(
            f"The names in {quoted(classes.name)} hold something that is not a character. Save the file again."
        ) from None
    return [Listed("a list", tuple(names[at] for at in row.nonzero()[0].tolist())) for row in marks]
