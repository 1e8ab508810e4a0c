"""A published version as a part of an ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from adapters.base import F32, Mask
from adapters.errors import RequirementMissing

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Member:
    """A version that is averaged.

    Attributes:
        name: Its reference, such as ``intents:3``.
        onnx: Its published file.
        classes: Its classes, in the order of its answers.
        method: It, with all parameters, as JSON.
        first, behind: Its columns of `Task.z`: embeddings of several backbones stand side by side.
        saw: Whether it was fitted to the very dataset of the task: its scores of these rows tell nothing, and it is
            fitted again on folds.
        names: (k, behind - first) the task's class names as its backbone embeds them; None where it embeds no texts.
        labels: What its labels are called in the task, where they are called otherwise; ``None`` for one to leave out.
    """

    name: str
    onnx: bytes
    classes: tuple[str, ...]
    method: Mapping[str, Any]
    first: int
    behind: int
    saw: bool = False
    names: F32 | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)


def placement(member: Member, classes: Sequence[str]) -> F32:
    """Where the member's answers go.

    Args:
        member: Whose.
        classes: Of the task, k.

    Returns:
        (k', k) float32, one where a label of the member is a class of the task. Several labels may be one class: their
        probabilities add up. A label that is left out, or is no class here, has a row of zeros: its probability is
        lost, so that the member says less about an item that it holds for something else.
    """
    place = {name: number for number, name in enumerate(classes)}
    result = np.zeros((len(member.classes), len(classes)), dtype=np.float32)
    for row, name in enumerate(member.classes):
        called = member.labels.get(name, name)
        if called in place:
            result[row, place[called]] = 1.0
    return result


def placements(members: Sequence[Member], classes: Sequence[str]) -> tuple[F32, ...]:
    """`placement` of each; of numbers, which have no classes, each value in its place."""
    if not classes:
        return tuple(np.ones((1, 1), dtype=np.float32) for _ in members)
    return tuple(placement(member, classes) for member in members)


def known(placed: Sequence[F32]) -> Mask:
    """(m, k) which classes each member has a label for."""
    return np.stack([one.any(axis=0) for one in placed])


def admit_members(members: Sequence[Member], classes: Sequence[str], width: int) -> None:
    """Refuse what has no average.

    Args:
        members: To average.
        classes: Of the task; none for a regression.
        width: Of the task's embeddings.

    Raises:
        RequirementMissing: Fewer than two members; one that answers numbers where classes are asked for, or classes
            where numbers are; a label map that names what is not there; members without a class in common; a class
            that none of them knows; columns that the task has not.
    """
    if len(members) < 2:
        raise RequirementMissing(f"An average needs at least two versions, and {len(members)} was named. Name more.")
    for member in members:
        _admit(member, classes, width)
    if classes:
        _admit_overlap(members, classes)


def _admit(member: Member, classes: Sequence[str], width: int) -> None:
    if bool(member.classes) != bool(classes):
        answers, asked = ("classes", "numbers") if member.classes else ("numbers", "classes")
        raise RequirementMissing(f"{member.name} answers {answers}, and {asked} are averaged here. Leave it out.")
    if strangers := [name for name in member.labels if name not in member.classes]:
        raise RequirementMissing(
            f"'labels' renames {_list(strangers)} of {member.name}, which has no such label; it has "
            f"{_list(member.classes)}."
        )
    called = [name for name in member.labels.values() if name is not None and name not in classes]
    if called:
        raise RequirementMissing(
            f"'labels' calls labels of {member.name} {_list(called)}, which are no classes here; the classes are "
            f"{_list(classes)}."
        )
    if member.behind > width:
        raise RequirementMissing(
            f"{member.name} takes columns up to {member.behind} and the embeddings here are {width} wide: they are of "
            "another backbone or tap."
        )


def _admit_overlap(members: Sequence[Member], classes: Sequence[str]) -> None:
    """Each is tied to each, if by others between them; and together they know all classes."""
    knows = known(placements(members, classes))
    for member, own in zip(members, knows, strict=True):
        if not own.any():
            raise RequirementMissing(
                f"{member.name} knows none of the classes here: it has {_list(member.classes)}, here are "
                f"{_list(classes)}. Say in 'labels' what its labels are called, or leave it out."
            )
    part = _parts(knows)
    for one, other in combinations(range(len(members)), 2):
        if part[one] != part[other]:
            raise RequirementMissing(
                f"{members[one].name} and {members[other].name} have no label in common, so there is nothing to "
                f"average: {_list(members[one].classes)} and {_list(members[other].classes)}. Say in 'labels' which of "
                "them mean the same, or leave one out."
            )
    lacking = np.flatnonzero(~np.any(knows, axis=0))
    nobody = [classes[int(number)] for number in lacking]
    if nobody:
        raise RequirementMissing(
            f"No version knows the class(es) {_list(nobody)}. Leave their rows out, or average a version that does."
        )


def _parts(knows: Mask) -> list[int]:
    """Of each member the first one that it is tied to by classes in common, if by others between them."""
    part = list(range(len(knows)))
    for one, other in combinations(range(len(knows)), 2):
        if (knows[one] & knows[other]).any():
            joined, kept = max(part[one], part[other]), min(part[one], part[other])
            part = [kept if number == joined else number for number in part]
    return part


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
