"""From a task to a head that was trained together with a part of its backbone.

    linear head on the pooled embeddings -> it and the blocks, on most rows -> best epoch -> the same on all rows

The head goes first: blocks that are trained under a random head are bent by its first, wrong gradients (Kumar et al.,
Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, ICLR 2022).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import F32, Mask, Task, TaskKind
from adapters.examples import Examples
from adapters.folds import deal_folds
from adapters.heads import AffineHead
from adapters.linalg import row_weights, standardise
from adapters.torch_loop import Course, Recipe, scores_of, train
from adapters.tuned import TunedHead, scorer_of

if TYPE_CHECKING:
    import torch

    from models.tuning import Tuning

Prepare = Callable[["torch.nn.Module"], "torch.nn.Module"]
"""Gets a fresh part of the backbone, marks what of it is to be trained, and returns it."""
Finish = Callable[["torch.nn.Module"], dict[str, bytes]]

_PROBED = 16
"""Rows on which `Task.z` is compared with what the blocks compute."""
_SAME = 1e-3
_DECIMALS = 6
"""Decimals of standardised numbers: training would make much of the last digit, which their unit changes."""
_UNMEASURED_SHARE = 0.25
"""Of all epochs, where no row can be held out to see when to end."""
_RESERVE = 1.3
"""Seconds of the budget to leave for all rows, for each second spent on those that are not held out."""
_STEPS = 600
_OPERATIONS_A_SECOND = {"cpu": 2e10, "cuda": 5e12}
"""Of training, roughly: two cores, and a GPU with TF32 off."""
_HEAD_STEP = 0.016
"""What one step of the head may change a score by, whatever the unit of the embeddings."""


def _nothing_beside(_trunk: "torch.nn.Module") -> dict[str, bytes]:
    """No further files."""
    return {}


@dataclass(frozen=True)
class Order:
    """What to train.

    Attributes:
        name: Of the method, for what the report says.
        k: Blocks; None = the whole network. See `models.tuning.Tuning`.
        recipe: How.
        prepare: What of them; gets a fresh part of the backbone with nothing marked as trained.
        finish: Gets what was trained; makes it plain again, and returns further files of the version.
        balanced: Whether every class weighs the same.
        whole: Train on all rows in the end; otherwise what was held out to choose the epoch stays unseen.
    """

    name: str
    k: int | None
    recipe: Recipe
    prepare: Prepare
    finish: Finish = _nothing_beside
    balanced: bool = True
    whole: bool = True


@dataclass(frozen=True, eq=False)
class _Trained:
    """Of one order.

    Attributes:
        order: The one.
        scorer: With the best weights.
        course: How it went.
    """

    order: Order
    scorer: "torch.nn.Module"
    course: Course


def epochs_for(rows: int, batch: int) -> int:
    """Epochs that make about `_STEPS` steps: at least 4, at most 20."""
    return int(np.clip(-(-_STEPS // -(-rows // batch)), 4, 20))


def affordable(task: Task, orders: int, blocks: int | None, rows_per_class: int) -> bool:
    """Whether training is worth a try: rows enough, and by a rough estimate time enough to compare and to fit.

    Args:
        task: All rows.
        orders: How many are compared.
        blocks: That are trained in each; None = all.
        rows_per_class: That the smallest class needs; of numbers, twice as many rows in all.
    """
    if task.tuning is None or task.at is None:
        return False
    if (len(task.y) / 2 if task.regression else task.counts.min()) < rows_per_class:
        return False
    # The weights of one block are told from the card; how many there are may have to be looked up.
    weights = task.tuning.block_weights * (task.tuning.depth if blocks is None else blocks)
    # Two operations a weight forward, four backward; on the way to the held-out rows and then on all of them.
    operations = 6.0 * weights * float(task.tuning.sizes()[task.at].sum()) * epochs_for(len(task.y), 32)
    return operations * (orders + 2) / _OPERATIONS_A_SECOND[task.device] <= task.left_s()


def fine_tune(task: Task, orders: Sequence[Order]) -> TunedHead:
    """Train, choose the epoch and among several orders on held-out rows, then train the best one on all rows.

    Args:
        task: With `Task.tuning`.
        orders: What and how, simplest first.

    Raises:
        FitStopped: `Task.check` said so.
        SourceRefused: The backbone cannot be cut there.
    """
    task.check()
    learned, origin, scale = _learnable(task)
    inside = deal_folds(learned) == 0
    best: _Trained | None = None
    for order in orders:
        _tuning(task).bring(order.k, on_progress=lambda _share: None, check=task.check)
        found = _on_device(task, order, partial(_search, learned, inside, order))
        if best is None or found.course.loss < best.course.loss:
            best = found
    if best is None:
        raise ValueError("There is nothing to train: no order was given.")
    head = _head(_on_all_rows(learned, inside, best), task, origin, scale)
    return replace(head, course=best.course)


def _on_all_rows(task: Task, inside: Mask, found: _Trained) -> _Trained:
    """The same again, with the held-out rows, where there is time."""
    course, order = found.course, found.order
    if course.early:
        task.say(
            f"{order.name}: the time was over before training was, so it ended after the best of {len(course.losses)} "
            f"looks at the held-out rows, {course.epochs} whole epoch(s). Allow more seconds for a better one."
        )
    if not order.whole or not inside.any():
        return found
    again = _on_device(task, order, partial(_again, task, order, course))
    if again.course.early:
        task.say(f"{order.name}: the time was over before all rows were trained on; the held-out ones are left out.")
        return found
    return again


def _head(trained: _Trained, task: Task, origin: float, scale: float) -> TunedHead:
    files = trained.order.finish(trained.scorer.trunk)  # type: ignore[arg-type]
    _unscale(trained.scorer, origin, scale)
    scorer = trained.scorer.requires_grad_(requires_grad=False).eval()
    return TunedHead(scorer, _tuning(task), trained.order.k, task.classes, task.multilabel, files)


def _tuning(task: Task) -> "Tuning":
    if task.tuning is None:
        raise ValueError("The task has no backbone whose weights are at hand; `Method.admit` refuses that.")
    return task.tuning


def _learnable(task: Task) -> tuple[Task, float, float]:
    """Rows that count, numbers standardised: the task, and the origin and scale of its numbers."""
    if task.weights is not None:
        task = task.rows(task.weights > 0)
    if not task.regression:
        return task, 0.0, 1.0
    standard, origin, scale = standardise(task.targets, task.weights)
    return replace(task, y=np.round(standard, _DECIMALS)), origin, scale


def _unscale(scorer: "torch.nn.Module", origin: float, scale: float) -> None:
    """Let a head that learned standardised numbers say them in their unit."""
    import torch

    head: Any = scorer.head
    with torch.no_grad():
        head.weight.copy_(head.weight.double() * scale)
        head.bias.copy_(head.bias.double() * scale + origin)


def _search(task: Task, inside: Mask, order: Order, device: str) -> _Trained:
    """Train with rows held out, to see after how many epochs it is best; without any, for a few."""
    if not inside.any():
        scorer, rows, recipe = _start(task, order, device)
        few = max(1, round(_UNMEASURED_SHARE * order.recipe.epochs))
        return _Trained(order, scorer, train(scorer, rows, recipe, held_out=None, until=few, device=device))
    training, held_out = task.split(inside)
    scorer, rows, recipe = _start(training, order, device)
    reserve = _RESERVE if order.whole else 0.0
    unseen = Examples.of(held_out, order.k)
    course = train(scorer, rows, recipe, held_out=unseen, reserve=reserve, device=device)
    return _Trained(order, scorer, course)


def _again(task: Task, order: Order, course: Course, device: str) -> _Trained:
    """Train on all rows for as long as was best."""
    scorer, rows, recipe = _start(task, order, device)
    if course.epochs:
        course = train(scorer, rows, recipe, held_out=None, until=course.epochs, device=device)
    return _Trained(order, scorer, course)


def _start(task: Task, order: Order, device: str) -> "tuple[torch.nn.Module, Examples, Recipe]":
    """The pretrained blocks under a head that was fitted to their embeddings, the rows as they weigh, the rates."""
    trunk = _tuning(task).module(order.k)
    trunk.requires_grad_(requires_grad=False)
    trunk = order.prepare(trunk)
    z = _embeddings(trunk, Examples.of(task, order.k), device)
    head = _frozen_head(replace(task, z=z, device=device), order)
    if task.kind == TaskKind.CLASSIFICATION:
        weights = row_weights(task.labels, len(task.classes), balanced=order.balanced, given=task.weights)
        task = replace(task, weights=weights)
    size = float(np.abs(z).sum(axis=1).mean())
    recipe = replace(order.recipe, head_rate=_HEAD_STEP / size if size > 0 else 0.0)
    return scorer_of(trunk, head.weight, head.bias), Examples.of(task, order.k), recipe


def _embeddings(trunk: "torch.nn.Module", rows: Examples, device: str) -> F32:
    """(n, d) pooled embeddings: those that the task has, where they are what the blocks compute."""
    few = rows.task.rows(np.arange(min(_PROBED, len(rows))))
    seen = scores_of(trunk, Examples.of(few, rows.k), device=device)
    if seen.shape == few.z.shape and np.abs(seen - few.z).max() <= _SAME * max(1.0, float(np.abs(seen).max())):
        return rows.task.z
    return scores_of(trunk, rows, device=device)


def _frozen_head(task: Task, order: Order) -> AffineHead:
    """A linear head on the embeddings as they are."""
    # The registry imports every method, and methods import this module: so it is asked for when needed.
    from adapters.methods import parse_method

    chosen: dict[str, object] = {"method": "ridge" if task.regression else "logistic"}
    if task.kind == TaskKind.CLASSIFICATION:
        chosen["balanced"] = order.balanced
    plain = replace(task, names=None, parent=None, tuning=None, at=None, peft=None, parts=())
    head = parse_method(chosen).fit(plain)
    if not isinstance(head, AffineHead):
        raise TypeError(f"A frozen head is affine, not a {type(head).__name__}.")
    return head


def _on_device(task: Task, order: Order, work: Callable[[str], _Trained]) -> _Trained:
    """Where the task says; on the CPU where a GPU cannot even hold one row."""
    import torch

    if task.device != "cuda":
        return work("cpu")
    try:
        return work(task.device)
    except torch.OutOfMemoryError:
        task.say(f"{order.name}: the GPU has too little memory for it, so it was trained on the CPU.")
    # Behind the handler, in which the error still holds the tensors that did not fit.
    torch.cuda.empty_cache()
    return work("cpu")
