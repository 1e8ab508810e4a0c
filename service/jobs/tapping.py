"""The first half of a fit: which backbone, and the items of the dataset at its tap.

    items -> (rank ->) embed -> task

Rows of a table and vectors have no backbone: they are at their tap already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from adapters.base import F32, I64, Part, Task
from adapters.dataset import (
    groups_of,
    groups_of_rows,
    groups_of_vectors,
    humanise,
    joined_groups,
)
from models.base import Backbone
from models.batching import embed
from models.catalog import Entry
from models.session import cuda_devices
from service.jobs.embedding import POOLED, Embedded, Embedder
from service.jobs.order import Order
from service.jobs.progress import OnStage
from service.jobs.rank import RankOrder, rank_backbones
from service.jobs.targets import targets
from service.registry.items import Packed
from service.store.blobs import Blobs

BLOCKS = "blocks"
"""Tap of the pooled activations of all blocks, one after the other."""


@dataclass(frozen=True)
class Chosen:
    """The backbone of a fit.

    Attributes:
        name: Its name; empty where there is none.
        digest: Its digest; empty where the name alone is known.
        table: What was compared, best first; empty where nothing was.
        why: Why it was chosen; empty likewise.
    """

    name: str
    digest: str
    table: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""


@dataclass(frozen=True)
class Tapped:
    """The items of a dataset at their tap.

    Attributes:
        task: What is learned from.
        name: Of the tap.
        backbone, digest: Name and digest of the backbone; empty where there is none.
        facts: What the report says of it.
        parts: What is taken of the tap's embedding; all of it where empty.
        backbones: Of several whose embeddings stand side by side, each one; see `Manifest.backbones`.
        ids: (n,) what the upload calls each item: the row it came from, or the name of its file.
    """

    task: Task
    name: str
    backbone: str = ""
    digest: str = ""
    facts: dict[str, Any] = field(default_factory=lambda: {"backbone": None})
    parts: tuple[tuple[int, int], ...] = ()
    backbones: list[dict[str, Any]] = field(default_factory=list)
    ids: Sequence[str | int] = ()


@dataclass(frozen=True)
class Means:
    """What a fit works with.

    Attributes:
        blobs: Where the parents' heads lie.
        embedder: Embeds items.
        report: Hears how far a stage is.
        check: Called often; whatever it raises ends the fit.
        left_s: Seconds that are left to try more.
        say: Hears what the report is to say.
    """

    blobs: Blobs
    embedder: Embedder
    report: OnStage
    check: Callable[[], None]
    left_s: Callable[[], float]
    say: Callable[[str], None]


def choose(order: Order, items: Packed, means: Means) -> Chosen:
    """The backbone that is named, the only candidate, or the best one.

    Raises:
        TaskUnsupported: There are several candidates, and no way to rank them; see `rank_backbones`.
    """
    digests = {candidate[0]: candidate[1] for candidate in order.candidates}
    if not digests:
        return Chosen(order.backbone, order.backbone_digest)
    if len(digests) == 1:
        return Chosen(*next(iter(digests.items())))
    ranking = RankOrder(
        job=order.job,
        dataset=order.dataset,
        blob=order.blob,
        facts=order.facts,
        tenant=order.tenant,
        candidates=order.candidates,
        seed=order.seed,
        long=order.long,
    )
    ranked = rank_backbones(ranking, items, means.embedder, lambda share: means.report("rank", share), means.check)
    name = ranked["recommended"]
    return Chosen(name, digests[name], ranked["backbones"], ranked["why"])


def bring(order: Order, chosen: Chosen, items: Packed, means: Means) -> Tapped:
    """The items at the tap that their modality has.

    Raises:
        NotReady: The backbone is named and not hosted here.
        SourceRefused: Its blocks are wanted, and what it was made of gives none.
    """
    aim = targets(order, items, means.blobs)
    classes, y = aim.classes, aim.y
    fields: dict[str, Any] = {
        "seed": order.seed,
        "check": means.check,
        "left_s": means.left_s,
        "say": means.say,
        "weights": items.weights,
        "parent": aim.parent,
        "signatures": aim.signatures,
        "device": "cuda" if cuda_devices() else "cpu",
    }
    if items.table is not None:
        groups = groups_in(items, groups_of_rows(items.table))
        return Tapped(Task.of_rows(items.schema, items.table, y, classes, groups, **fields), "row")
    if items.vectors is not None:
        groups = groups_in(items, groups_of_vectors(items.vectors))
        return Tapped(Task(items.vectors, y, classes, groups, **fields), "vector", ids=items.ids)
    return _embedded(order, chosen, items, Task(_NOTHING, y, classes, _NO_GROUPS, **fields), means)


_NOTHING, _NO_GROUPS = np.empty((0, 0), np.float32), np.empty(0, np.int64)


def groups_in(items: Packed, copies: I64) -> I64:
    """Copies of an item stay together, and so do the rows of each group that the caller named."""
    return copies if items.groups is None else joined_groups(copies, groups_of(items.groups))


def _embedded(order: Order, chosen: Chosen, items: Packed, bare: Task, means: Means) -> Tapped:
    """`bare` with the items' embeddings."""
    embedder, content = means.embedder, items.files or items.texts
    digest = chosen.digest or embedder.digest(chosen.name)
    fixed = tuple((first, behind) for given in order.parents for first, behind in given["parts"])
    tap = BLOCKS if order.tap == BLOCKS or fixed else POOLED
    entry = Entry.from_dict(order.entries[chosen.name]) if chosen.name in order.entries else None
    if tap == BLOCKS:
        embedder.add_tap(entry, digest, tap, lambda share: means.report("embed", share / 2))
    backbone = embedder.backbone(digest, tap)
    embedded = embedder.embed(
        backbone,
        content,
        tenant=order.tenant,
        long=order.long,
        on_progress=lambda share: means.report("embed", share),
        check=means.check,
        tap=tap,
    )
    if order.described and bare.signatures is not None and tap == POOLED:
        names: F32 | None = bare.signatures.values
    else:
        names = embedded_names(order, backbone, bare.classes, means)
    task = replace(bare, z=embedded.z, names=names, groups=groups_in(items, groups_of(content)))
    if fixed:
        task = replace(task, z=taken(task.z, fixed), names=None if names is None else taken(names, fixed))
    elif tap == BLOCKS:
        task = replace(task, parts=_parts(backbone.card.parts))
    if entry is not None and order.long == "truncate":
        task = replace(task, tuning=embedder.tuning(entry, digest, content), at=np.arange(items.n))
    if order.peft:
        task = replace(task, peft={name: means.blobs.get(blob) for name, blob in order.peft.items()})
    return Tapped(task, tap, chosen.name, digest, _facts(order, chosen, digest, tap, embedded), fixed, ids=items.ids)


def embedded_names(order: Order, backbone: Backbone, classes: Sequence[str], means: Means) -> F32 | None:
    """(k, d) class names as words; None where a backbone does not embed texts, and a name says nothing to it."""
    if order.facts["modality"] != "text" or not classes:
        return None
    names, _ = embed(backbone, [humanise(name) for name in classes], check=means.check)
    return names


def taken(z: F32, parts: Sequence[tuple[int, int]]) -> F32:
    """Some neighbouring columns of (n, D), one piece after the other."""
    return np.concatenate([z[:, first:behind] for first, behind in parts], axis=1)


def _parts(widths: Mapping[str, int]) -> tuple[Part, ...]:
    ends = np.cumsum([0, *widths.values()]).tolist()
    return tuple(Part(name, *ends[at : at + 2]) for at, name in enumerate(widths))


def _facts(order: Order, chosen: Chosen, digest: str, tap: str, embedded: Embedded) -> dict[str, Any]:
    about = {"id": chosen.name, "digest": digest, "tap": tap}
    facts: dict[str, Any] = {"long": order.long, "truncated_items": int(embedded.cut.sum())}
    if chosen.table:
        return {"backbone": about | {"why": chosen.why}, "backbones": chosen.table, **facts}
    return {"backbone": about, **facts}
