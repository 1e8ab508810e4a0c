"""The first half of a fit: which backbone, and the items of the dataset at its tap.

    items -> (rank ->) embed -> task

Rows of a table and vectors have no backbone: they are at their tap already.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from adapters.base import F64, I64, Task
from adapters.dataset import encode_labels, groups_of, groups_of_rows, groups_of_vectors, humanise
from models.batching import embed
from service.jobs.embedding import TAP, Embedder
from service.jobs.rank import RankOrder, rank_backbones
from service.registry.items import Packed

if TYPE_CHECKING:
    from service.jobs.fit import OnStage, Order


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
    """

    task: Task
    name: str
    backbone: str = ""
    digest: str = ""
    facts: dict[str, Any] = field(default_factory=lambda: {"backbone": None})


def choose(order: "Order", items: Packed, embedder: Embedder, report: "OnStage", check: Callable[[], None]) -> Chosen:
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
    ranked = rank_backbones(ranking, items, embedder, lambda share: report("rank", share), check)
    name = ranked["recommended"]
    return Chosen(name, digests[name], ranked["backbones"], ranked["why"])


def bring(
    order: "Order",
    chosen: Chosen,
    items: Packed,
    embedder: Embedder,
    report: "OnStage",
    check: Callable[[], None],
) -> Tapped:
    """The items at the tap that their modality has.

    Raises:
        NotReady: The backbone is named and not hosted here.
    """
    classes, y = ((), items.targets) if items.targets is not None else encode_labels(items.labels)
    if items.table is not None:
        groups = groups_of_rows(items.table)
        return Tapped(Task.of_rows(items.schema, items.table, y, classes, groups, seed=order.seed, check=check), "row")
    if items.vectors is not None:
        groups = groups_of_vectors(items.vectors)
        return Tapped(Task(items.vectors, y, classes, groups, None, order.seed, check), "vector")
    return _embedded(order, chosen, items, classes, y, embedder, report, check)


def _embedded(
    order: "Order",
    chosen: Chosen,
    items: Packed,
    classes: tuple[str, ...],
    y: I64 | F64,
    embedder: Embedder,
    report: "OnStage",
    check: Callable[[], None],
) -> Tapped:
    backbone = embedder.backbone(chosen.digest or embedder.digest(chosen.name))
    content = items.files or items.texts
    embedded = embedder.embed(
        backbone,
        content,
        tenant=order.tenant,
        long=order.long,
        on_progress=lambda share: report("embed", share),
        check=check,
    )
    names = None
    if items.texts and classes:  # a class's name says something to a backbone of texts alone
        names, _ = embed(backbone, [humanise(name) for name in classes], check=check)
    task = Task(embedded.z, y, classes, groups_of(content), names, order.seed, check)
    digest = backbone.card.digest
    about = {"id": chosen.name, "digest": digest, "tap": TAP}
    facts: dict[str, Any] = {"long": order.long, "truncated_items": int(embedded.cut.sum())}
    if chosen.table:
        facts = {"backbone": about | {"why": chosen.why}, "backbones": chosen.table, **facts}
    else:
        facts = {"backbone": about, **facts}
    return Tapped(task, TAP, chosen.name, digest, facts)
