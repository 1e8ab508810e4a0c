"""Backbones compared on a dataset. Runs in the child process, before a fit that leaves the choice open or alone.

items -> stratified sample -> embed with each candidate -> `adapters.rank` -> table and recommendation
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from adapters.base import F32, I64, Task
from adapters.dataset import encode_labels, groups_of
from adapters.errors import TaskUnsupported
from adapters.rank import Candidate, rank_task, recommend, sort_candidates
from models.base import Item
from service.jobs.embedding import Embedder
from service.registry.items import Packed

SAMPLE = 200
"""Items on which backbones are compared: enough to tell apart those that matter, few enough to wait for."""

_FEWEST_OF_A_CLASS = 2
_TIMED_TOGETHER = 50
_TIMED_ANEW = 16
_DIGITS = 6
"""After the point, of what the table says."""


@dataclass(frozen=True)
class RankOrder:
    """What to rank.

    Attributes:
        job: The job's id.
        dataset, blob: The items to rank on.
        facts: Of the dataset: `modality` and `task`.
        tenant: Whose they are.
        candidates: Name and digest of each backbone.
        seed: Source of all randomness.
        max_seconds: Time that it may take.
        sample: Most items that are embedded, but for two of each class.
        long: What becomes of items that are longer than a backbone takes at once.
    """

    job: str
    dataset: str
    blob: str
    facts: dict[str, Any]
    tenant: str
    candidates: list[list[str]] = field(default_factory=list)
    seed: int = 0
    max_seconds: float = 600.0
    sample: int = SAMPLE
    long: Literal["truncate", "chunk"] = "truncate"


def rank_backbones(
    order: RankOrder, items: Packed, embedder: Embedder, on_progress: Callable[[float], None], check: Callable[[], None]
) -> dict[str, Any]:
    """Compare backbones on a dataset.

    Args:
        order: What to rank.
        items: Of the dataset.
        embedder: Embeds them; what it knows from before is not embedded again, and does not count as fast.
        on_progress: Called with the share that is done, in (0, 1].
        check: Called often; whatever it raises ends the call.

    Returns:
        JSON values: `dataset`, `items` (how many were looked at), `of` (how many there are), `backbones` (best first,
        with the figures of `adapters.rank.Ranking`, `ms_per_item`, `width` and `rank`), `recommended` and `why`.

    Raises:
        TaskUnsupported: There are numbers to predict, or the items need no backbone.
        DatasetTooSmall: Fewer than two classes.

    Cost: embedding the sample with each candidate, and 0.1 s each.
    """
    content = _content(items)
    rows = stratified_sample(encode_labels(items.labels)[1], groups_of(content), order.sample, order.seed)
    classes, y = encode_labels([items.labels[row] for row in rows])
    sample = [content[row] for row in rows]
    measured = []
    with ThreadPoolExecutor(1, thread_name_prefix="rank") as figures:  # of one, while the next embeds
        for at, (name, digest) in enumerate(order.candidates):

            def report(share: float, before: int = at) -> None:
                on_progress((before + share) / len(order.candidates))

            z, ms = _embedded(order, embedder, digest, sample, report, check)
            task = Task(z, y, classes, np.arange(len(y)), None, order.seed, check)
            measured.append((name, figures.submit(rank_task, task), ms, z.shape[1]))
    candidates = [Candidate(name, ranking.result(), ms, width) for name, ranking, ms, width in measured]
    chosen, why = recommend(candidates)
    return {
        "dataset": order.dataset,
        "items": len(rows),
        "of": items.n,
        "backbones": [_row(candidate, 1 + at) for at, candidate in enumerate(sort_candidates(candidates))],
        "recommended": chosen,
        "why": why,
    }


def stratified_sample(y: I64, groups: I64, size: int, seed: int) -> I64:
    """Some rows with every class among them, in its share, and no copies.

    Args:
        y: (n,) int64 classes.
        groups: (n,) int64; of the rows of a group only the first can be drawn.
        size: How many; more where two of each class are more.
        seed: Source of all randomness.

    Returns:
        (m,) int64 rows, rising.
    """
    _, firsts = np.unique(groups, return_index=True)
    rows = np.random.default_rng(seed).permutation(np.sort(firsts))
    turn = np.empty(len(rows))
    for label in np.unique(y[rows]):
        own = np.flatnonzero(y[rows] == label)
        turn[own] = np.arange(len(own)) / len(own)  # the classes' rows in step, each class spread over all turns
        turn[own[:_FEWEST_OF_A_CLASS]] = -1
    least = int((turn < 0).sum())
    drawn: I64 = np.sort(rows[np.argsort(turn, kind="stable")[: max(size, least)]])
    return drawn


def _content(items: Packed) -> list[Item]:
    content: list[Item] = [*items.texts, *items.files]
    if not content:
        raise TaskUnsupported("Rows of a table and vectors have no backbone; leave the backbone out.")
    if items.targets is not None:
        raise TaskUnsupported(
            "Backbones are ranked by how well they tell classes apart, and this dataset has numbers to predict; name "
            "the backbone instead."
        )
    if items.label_sets is not None:
        raise TaskUnsupported(
            "Backbones are ranked on items with one class each, and those of this dataset may have several; name the "
            "backbone instead."
        )
    return content


def _embedded(
    order: RankOrder,
    embedder: Embedder,
    digest: str,
    sample: Sequence[Item],
    on_progress: Callable[[float], None],
    check: Callable[[], None],
) -> tuple[F32, float]:
    """The sample's embeddings, and how many ms an item takes that is not known from before."""
    backbone = embedder.backbone(digest)
    embedded = embedder.embed(
        backbone,
        sample,
        tenant=order.tenant,
        long=order.long,
        on_progress=on_progress,
        check=check,
        at_once=_TIMED_TOGETHER,
    )
    if embedded.ms_per_item is not None and embedded.fresh >= min(_TIMED_ANEW, len(sample)):
        return embedded.z, embedded.ms_per_item
    return embedded.z, embedder.ms_per_item(backbone, sample[:_TIMED_ANEW], long=order.long, check=check)


def _row(candidate: Candidate, rank: int) -> dict[str, Any]:
    ranking = candidate.ranking
    return {
        "id": candidate.id,
        "probe_accuracy": _rounded(ranking.probe_accuracy),
        "probe_log_loss": _rounded(ranking.probe_log_loss),
        "logme": _rounded(ranking.logme),
        "knn_accuracy": _rounded(ranking.knn_accuracy),
        "ms_per_item": round(candidate.ms_per_item, 3),
        "width": candidate.width,
        "rank": rank,
    }


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, _DIGITS)
