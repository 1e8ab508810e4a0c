"""Folders of an archive as labels: each file belongs to the class that its folder is named for.

cats/1.jpg            class cats
data/cats/1.jpg       class cats, where all files lie in the one folder `data`
cats/indoor/1.jpg     class cats: folders within a class's folder say nothing
1.jpg                 no class: a bad file
train/..., test/...   refused: what is learned from is one of them
_unlabelled/...       refused: nothing is learned from items without labels
"""

from collections.abc import Sequence

from service.errors import UploadRefused
from service.uploads.archives import Member
from service.uploads.names import listed, quoted

UNLABELLED = "_unlabelled"
_SPLITS = {
    *("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "holdout"),
}


def top_of(paths: Sequence[tuple[str, ...]]) -> int:
    """How many folders all files lie in together, above those that tell them apart.

    Args:
        paths: Folders and name of each file; one or more.
    """
    depth = 0
    while (
        all(len(path) > depth + 1 for path in paths)
        and len({path[depth] for path in paths}) == 1
        and any(len(path) > depth + 2 for path in paths)
    ):
        depth += 1
    return depth


def labels_of(members: Sequence[Member]) -> tuple[list[str | None], list[str]]:
    """The label of each file, None where no folder names it, and what is to be said of all of them.

    Raises:
        UploadRefused: The folders are no classes.
    """
    paths = [member.parts for member in members]
    top = top_of(paths)
    folders = list(dict.fromkeys(path[top] for path in paths if len(path) > top + 1))
    if not folders:
        raise UploadRefused(
            f"The files lie in no folders that name their classes; the first is {quoted(members[0].path)}. Put each "
            "in a folder named for its class, or add a metadata.csv with the columns file_name and label."
        )
    _refuse_splits(folders)
    if UNLABELLED in folders:
        raise UploadRefused(
            f"The folder {quoted(UNLABELLED)} holds items without labels, from which nothing is learned here. "
            "Leave it out."
        )
    labels = [path[top] if len(path) > top + 1 else None for path in paths]
    deep = sorted({"/".join(path[top : top + 2]) for path in paths if len(path) > top + 2})
    notes = [f"Folders within a class's folder belong to that class: {listed(deep)}."] if deep else []
    return labels, notes


def _refuse_splits(folders: Sequence[str]) -> None:
    if len(folders) > 1 and all(folder.casefold() in _SPLITS for folder in folders):
        raise UploadRefused(
            f"The archive holds the parts of a data set, {listed(folders)}, and not the folders of its classes. Send "
            "the part to learn from by itself; reports are cross-validated and need no other."
        )
