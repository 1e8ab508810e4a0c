"""The last blocks of a backbone, trained together with a linear head."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from adapters.base import Head, Method, Need, Smallest, Task, TaskKind
from adapters.errors import ParameterInvalid
from adapters.fine_tune import Order, affordable, epochs_for, fine_tune
from adapters.torch_loop import Recipe

if TYPE_CHECKING:
    import torch

_FEWEST_ROWS_PER_CLASS = 8
"""Below, held-out rows are too few to see whether training helps or harms."""


class LastK(Method):
    """A linear head first, then it and the last k blocks, with a small learning rate and a pull to where they were.

    Minimises mean wᵢ·CE(head(blocks(xᵢ)), yᵢ) + α/2·‖θ - θ₀‖² by AdamW, θ₀ the pretrained weights (L2-SP); for several
    labels a row the binary cross entropy, for numbers the squared error. A block learns `decay` times as fast as the
    next one. Batch norm and dropout stay as in serving. Training ends when the loss of held-out rows (a fifth, whole
    groups) no longer falls; then all rows are trained on for as many epochs. The head begins as logistic or ridge
    regression on the pooled embeddings, so that no epoch at all is the frozen head itself.

    Shapes: z (n, d) float32 for the first head, the same items at the tap ``block<depth-k>`` → scores (n, k) float32,
        log odds up to a constant of each row. Regression: (n, 1), the values in their unit.
    Cost: O(epochs · n · tokens · weights of the k blocks), twice where rows are held out; what the first blocks make of
        an item is computed once. 3,200 short texts and 4 of MiniLM's 6 blocks, one core: about 35 s an epoch.
    Raises: RequirementMissing: no backbone whose weights are at hand. ParameterInvalid: it has no more than k blocks.
        DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target is
        not finite or above 1e30.
    Source: Kumar, Raghunathan, Jones, Ma & Liang, Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution, ICLR 2022; Li, Grandvalet & Davoine, ICML 2018 (L2-SP).
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.TUNING})
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Kumar, Raghunathan, Jones, Ma & Liang, Fine-Tuning can Distort Pretrained Features and Underperform "
        "Out-of-Distribution, ICLR 2022"
    )
    smallest: ClassVar[Smallest] = Smallest()
    complexity: ClassVar[int] = 6

    method: Literal["last_k"] = "last_k"
    k: int | None = Field(None, ge=1, le=1000)
    """Blocks that are trained. None: 1, 2, 4 and so on up to two thirds of them are compared (layer transfer)."""
    rate: float = Field(2e-4, gt=0, le=1)
    """Learning rate of the last block."""
    decay: float = Field(0.9, gt=0, le=1)
    """Learning rate of a block as a share of that of the next one."""
    pull: float = Field(0.001, ge=0, le=1e3)
    """α of the L2-SP penalty; larger keeps the blocks closer to the pretrained ones."""
    epochs: int | None = Field(None, ge=0, le=100)
    """Passes over the rows at most; 0 = the frozen head. None: 20, fewer where there are many rows."""
    batch: int = Field(32, ge=1, le=4096)
    """Rows in a minibatch."""
    balanced: bool = True
    """Every class weighs the same, however many examples it has."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """The numbers of blocks to compare, fewest first."""
        if self.k is not None or task.tuning is None:
            return (self,)
        most, tried = 2 * task.tuning.depth // 3, [1]
        while tried[-1] * 2 <= most:
            tried.append(tried[-1] * 2)
        return tuple(self.model_copy(update={"k": k}) for k in tried)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With a single block, where nothing can be compared."""
        return self if self.k is not None else self.model_copy(update={"k": 1})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Itself, where there are rows enough to see what it does, and time for it."""
        # The cheapest of them first: what it costs is told from the backbone's card, and nothing need be opened.
        if not affordable(task, 1, 1, _FEWEST_ROWS_PER_CLASS) or task.tuning is None or task.tuning.depth < 2:
            return ()
        ks = [variant.k for variant in cls()._each_k(task)]
        return (cls(),) if affordable(task, len(ks), ks[-1], _FEWEST_ROWS_PER_CLASS) else ()

    def fit(self, task: Task) -> Head:
        """See `Method.fit`. Without `k`, the number of blocks is chosen on a fifth of the rows."""
        self._admit_depth(task)
        return fine_tune(task, [_order(method, task) for method in self._each_k(task)])

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """Without the last round over all rows: enough to compare."""
        for method in methods:
            method._admit_depth(task)
            orders = [replace(_order(each, task), whole=False) for each in method._each_k(task)]
            yield fine_tune(task, orders)

    def _admit_depth(self, task: Task) -> None:
        self.admit(task)
        depth = 0 if task.tuning is None else task.tuning.depth
        if (self.k or 1) >= depth:
            raise ParameterInvalid(
                f"The backbone has {depth} block(s), of which at most {max(0, depth - 1)} can be trained; k is "
                f"{self.k or 1}. Choose a smaller k, another backbone, or 'lora', which trains all of them."
            )

    def _each_k(self, task: Task) -> "list[LastK]":
        return [variant for variant in self.variants(task) if isinstance(variant, LastK)]


def _order(method: LastK, task: Task) -> Order:
    """What is trained, and how."""
    if task.tuning is None or method.k is None:
        raise ValueError("Which blocks of which backbone is settled before.")
    recipe = Recipe(
        epochs=epochs_for(len(task.y), method.batch) if method.epochs is None else method.epochs,
        rate=method.rate,
        decay=method.decay,
        pull=method.pull,
        head_pull=method.pull / 10,
        batch=method.batch,
    )
    return Order("last_k", method.k, recipe, _all_of_it, balanced=method.balanced)


def _all_of_it(trunk: "torch.nn.Module") -> "torch.nn.Module":
    """Everything is trained."""
    return trunk.requires_grad_()
