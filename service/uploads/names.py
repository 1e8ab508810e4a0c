"""Names of columns: the ones that people use, finding one by its name, and saying which there are."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from service.errors import UploadRefused

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
_TARGETS_FIRST = ("target", "label", "class", "y")
TARGET_NAMES = (*_TARGETS_FIRST, *(name for name in LABEL_NAMES if name not in _TARGETS_FIRST))
"""The same for a table's target: there, a category is more often a feature."""
EMBEDDING_NAMES = ("embedding", "embeddings", "vector", "vectors", "x", "features")
"""Names of a column or an array of vectors, the surest first."""
FILE_NAMES = (
    "filename",
    "file",
    "filepath",
    "path",
    "image",
    "audio",
    "img",
    "sound",
    "clip",
    "imagepath",
    "audiopath",
)
"""Names of a column of files' names, the surest first."""
IMAGE_NAMES = ("image", "img", "picture", "photo", "pixels", "file", "bytes", "content", "data")
"""Names of a column of images as bytes, the surest first."""
SOUND_NAMES = ("audio", "sound", "clip", "speech", "wav", "file", "bytes", "content", "data")
"""The same for sounds."""
CLASS_NAMES = ("labelname", "classname", "categoryname", "labeltext", "labelstr")
"""Names of a column with the words for labels that are numbers."""
CLASSES_NAMES = ("classes", "classnames", "labelnames", "names")
"""Names of an array of the names of classes, beside labels with a column for each."""
GROUP_NAMES = ("group", "groups")
"""Names of an array of groups beside vectors."""
WEIGHT_NAMES = ("weight", "weights", "sampleweight", "sampleweights")
"""Names of an array of weights beside vectors."""
_SHOWN_COLUMNS = 20
_SHOWN_CHARS = 40
_COMPARED_COLUMNS = 1000


def named(columns: Sequence[str], name: str, role: str) -> str:
    """The column of exactly that name, else the only one that differs in case or surrounding blanks alone.

    Args:
        columns: All names, in the file's order.
        name: The name that was asked for.
        role: What it is asked for as (text, label, ...), for the message.

    Raises:
        UploadRefused: It is not there, or not alone.
    """
    wanted = name.strip().casefold()
    found = [column for column in columns if column == name]
    found = found or [column for column in columns if column.strip().casefold() == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise twice(found[0])
    close = get_close_matches(wanted, [column.casefold() for column in columns[:_COMPARED_COLUMNS]], n=1)
    meant = [column for column in columns if close and column.casefold() == close[0]]
    hint = f" Did you mean {quoted(meant[0])}?" if meant else ""
    raise UploadRefused(f"There is no {role} column {quoted(name)}; {seen(columns)}.{hint}")


def guessed(columns: Sequence[str], names: Sequence[str], *, taken: str | None = None) -> str | None:
    """The column with the surest of `names`, whatever its case and punctuation; `taken` is passed over.

    Raises:
        UploadRefused: Several columns have it.
    """
    for name in names:
        found = [column for column in columns if _plain(column) == name and column != taken]
        if len(found) > 1:
            raise twice(found[0])
        if found:
            return found[0]
    return None


def check_different(columns: Sequence[str]) -> None:
    """Makes sure that no two columns have the same name.

    Raises:
        UploadRefused: Two have.
    """
    earlier = set()
    for column in columns:
        if column in earlier:
            raise twice(column)
        earlier.add(column)


def check_apart(roles: Mapping[str, str]) -> None:
    """Makes sure that no column has two roles.

    Args:
        roles: Column of each role, in the words of a message.

    Raises:
        UploadRefused: One has.
    """
    of: dict[str, str] = {}
    for role, column in roles.items():
        if column in of:
            raise UploadRefused(
                f"The {of[column]} and the {role} are the same column, {quoted(column)}. Name two columns."
            )
        of[column] = role


def twice(name: str) -> UploadRefused:
    """The error for a name that several columns have."""
    return UploadRefused(f"More than one column is called {quoted(name)}. Give each column a name of its own.")


def seen(columns: Sequence[str]) -> str:
    """The columns that there are, as the end of a sentence."""
    return f"the columns are {listed(columns)}"


def listed(columns: Sequence[str]) -> str:
    """The first 20 names, and how many more there are."""
    shown = ", ".join(quoted(name) for name in columns[:_SHOWN_COLUMNS])
    return shown + (f" and {len(columns) - _SHOWN_COLUMNS} more" if len(columns) > _SHOWN_COLUMNS else "")


def quoted(name: str) -> str:
    """A name in quotes, cut to 40 characters."""
    return f"'{name}'" if len(name) <= _SHOWN_CHARS else f"'{name[:_SHOWN_CHARS]}…'"


def _plain(column: str) -> str:
    return "".join(char for char in column.casefold() if char.isalnum())
