"""The first half of a fit that averages published versions: their files, and the items as each of them takes them.

versions -> spaces (backbone, tap) -> embeddings side by side -> task with members
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.dataset import encode_label_sets, encode_labels, groups_of, groups_of_vectors
from adapters.ensembles.members import Member
from adapters.errors import RequirementMissing
from models.catalog import Entry
from service.jobs.order import Order
from service.jobs.tapping import BLOCKS, Means, Tapped, embedded_names, groups_in, taken
from service.registry.items import Packed

_SPACE = ("backbone", "backbone_digest", "tap", "parts", "long")
"""What tells one embedding of an item from another."""


@dataclass(frozen=True)
class _Placed:
    """An embedding among those that stand side by side."""

    first: int
    z: F32
    names: F32 | None

    @property
    def behind(self) -> int:
        return self.first + int(self.z.shape[1])


def bring_members(order: Order, items: Packed, means: Means) -> Tapped:
    """The items in the space of every member, and the members.

    Raises:
        NotReady: The backbone of a member is not hosted here.
        RequirementMissing: A row has a label that no member knows.
    """
    classes = () if order.facts.get("task") == "regression" else known_classes(order.members)
    y = _learned(items, classes)
    content = items.files or items.texts
    if items.vectors is not None:
        space: dict[str, Any] = {}
        placed = {_key(order.members[0]): _Placed(0, items.vectors, None)}
        groups = groups_of_vectors(items.vectors)
    else:
        placed = _spaces(order, content, classes, means)
        space = order.members[0]
        groups = groups_of(content)
    task = Task(
        np.concatenate([one.z for one in placed.values()], axis=1),
        y,
        classes,
        groups_in(items, groups),
        seed=order.seed,
        check=means.check,
        left_s=means.left_s,
        say=means.say,
        weights=items.weights,
        members=tuple(_member(order, given, placed[_key(given)], means) for given in order.members),
    )
    several = len(placed) > 1
    return Tapped(
        task,
        space.get("tap", "vector"),
        space.get("backbone", ""),
        space.get("backbone_digest", ""),
        {"backbone": None}
        if not space
        else {"backbone": {"id": space["backbone"], "digest": space["backbone_digest"]}},
        () if several or not space else tuple((first, behind) for first, behind in space["parts"]),
        [_told(given) for given in _distinct(order.members)] if several else [],
        items.ids,
    )


def known_classes(members: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the members answer, in the order of the first that does, as their labels are called here."""
    called = [member["labels"].get(name, name) for member in members for name in member["classes"]]
    return tuple(dict.fromkeys(name for name in called if name is not None))


def _learned(items: Packed, classes: tuple[str, ...]) -> I64 | F64 | Mask:
    if items.targets is not None:
        return items.targets
    sets = items.label_sets
    found, y = encode_labels(items.labels, classes) if sets is None else encode_label_sets(sets, classes)
    if unknown := found[len(classes) :]:
        raise RequirementMissing(
            f"{len(unknown)} label(s) of the dataset are known to none of the versions that are averaged: "
            f"{', '.join(repr(name[:60]) for name in unknown[:5])}. Leave their rows out, or say in 'labels' what a "
            "version calls them."
        )
    return y


def _spaces(
    order: Order, content: Sequence[Any], classes: tuple[str, ...], means: Means
) -> dict[tuple[Any, ...], _Placed]:
    """The items in each space, one after the other."""
    placed: dict[tuple[Any, ...], _Placed] = {}
    first, distinct = 0, _distinct(order.members)
    for done, given in enumerate(distinct):
        z, names = _embedded(order, given, content, classes, means, done / len(distinct))
        placed[_key(given)] = _Placed(first, z, names)
        first += z.shape[1]
    return placed


def _embedded(
    order: Order,
    given: Mapping[str, Any],
    content: Sequence[Any],
    classes: tuple[str, ...],
    means: Means,
    begun: float,
) -> tuple[F32, F32 | None]:
    embedder, digest, tap = means.embedder, given["backbone_digest"], given["tap"]
    if tap == BLOCKS:
        entry = order.entries.get(given["backbone"])
        embedder.add_tap(None if entry is None else Entry.from_dict(entry), digest, tap, lambda _share: None)
    backbone = embedder.backbone(digest, tap)
    embedded = embedder.embed(
        backbone,
        content,
        tenant=order.tenant,
        long=given["long"],
        on_progress=lambda share: means.report("embed", begun + (1 - begun) * share),
        check=means.check,
        tap=tap,
    )
    names = embedded_names(order, backbone, classes, means)
    if not given["parts"]:
        return embedded.z, names
    return taken(embedded.z, given["parts"]), None if names is None else taken(names, given["parts"])


def _member(order: Order, given: Mapping[str, Any], at: _Placed, means: Means) -> Member:
    return Member(
        name=given["ref"],
        onnx=means.blobs.get(given["blob"]),
        classes=tuple(given["classes"]),
        method=given["method"],
        first=at.first,
        behind=at.behind,
        saw=bool(order.dataset) and given["dataset"] == order.dataset,
        names=at.names,
        labels=given["labels"],
    )


def _key(given: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(str(given[name]) for name in _SPACE)


def _distinct(members: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One member of each space, in the order of the first of each."""
    distinct: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for given in members:
        distinct.setdefault(_key(given), given)
    return list(distinct.values())


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _SPACE}
