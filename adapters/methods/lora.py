"""Low-rank changes of a backbone's attention, trained together with a linear head."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from adapters.base import Head, Method, Need, Task, TaskKind
from adapters.fine_tune import Order, affordable, epochs_for, fine_tune
from adapters.low_rank import Tables, Targets, attach, chosen, fresh, layers_of, merge
from adapters.peft_files import from_peft, to_peft
from adapters.torch_loop import Recipe

if TYPE_CHECKING:
    import torch

_FEWEST_ROWS_PER_CLASS = 8
"""Below, held-out rows are too few to see whether training helps or harms."""


class Lora(Method):
    """A linear head first, then it and low-rank changes W + (alpha/rank)·B·A of linear layers, W as it was.

    Minimises mean wᵢ·CE(head(backbone(xᵢ)), yᵢ) over A, B and the head by AdamW, from B = 0; for several labels a row
    the binary cross entropy, for numbers the squared error. Training ends when the loss of held-out rows (a fifth,
    whole groups) no longer falls; then all rows are trained on for as many epochs. What is published holds the changed
    weights; the changes alone lie beside it in PEFT's format. Where the task brings such files, rank, alpha and layers
    are theirs, and training starts from them.

    Shapes: z (n, d) float32 for the first head, and the same items as the backbone takes them → scores (n, k) float32,
        log odds up to a constant of each row. Regression: (n, 1), the values in their unit.
    Cost: O(epochs · n · tokens · weights of the network), twice where rows are held out.
    Raises: RequirementMissing: no backbone whose weights are at hand, or it has no such layers. ParameterInvalid:
        PEFT's files are not of this network or no plain LoRA. DatasetTooSmall: fewer than two classes, or for
        regression fewer than two rows. TargetOutOfRange: a target is not finite or above 1e30.
    Source: Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang & Chen, LoRA: Low-Rank Adaptation of Large Language Models,
        ICLR 2022.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.LABELS, Need.TUNING})
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang & Chen, LoRA: Low-Rank Adaptation of Large Language Models, "
        "ICLR 2022"
    )
    complexity: ClassVar[int] = 7

    method: Literal["lora"] = "lora"
    targets: Targets = "qv"
    """Layers that are changed: ``qv`` what makes queries and values of attention, ``all`` every linear layer."""
    rank: int = Field(8, ge=1, le=256)
    """Rank of a change; more can say more, and overfit more."""
    alpha: float = Field(16.0, gt=0, le=1e4)
    """A change counts alpha/rank times."""
    rate: float = Field(3e-3, gt=0, le=1)
    """Learning rate of the changes."""
    epochs: int | None = Field(None, ge=0, le=100)
    """Passes over the rows at most; 0 = the head alone. None: 20, fewer where there are many rows."""
    batch: int = Field(32, ge=1, le=4096)
    """Rows in a minibatch."""
    balanced: bool = True
    """Every class weighs the same, however many examples it has."""

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:
        """Itself, where there are attention, rows enough to see what it does, and time for it."""
        # What one block costs is told from the backbone's card; how many there are may have to be looked up.
        rows = _FEWEST_ROWS_PER_CLASS
        if task.tuning is None or not (affordable(task, 1, 1, rows) and affordable(task, 1, None, rows)):
            return ()
        if task.tuning.card.recipe.get("attention") is False:
            return ()
        from adapters.errors import RequirementMissing

        try:
            chosen(layers_of(task.tuning.module(None)), "qv", task.tuning.card.id)
        except RequirementMissing:
            return ()
        return (cls(),)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        return fine_tune(task, [_order(self, task)])

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """Without the last round over all rows: enough to compare."""
        for method in methods:
            method.admit(task)
            yield fine_tune(task, [replace(_order(method, task), whole=False)])


def _order(method: Lora, task: Task) -> Order:
    """What is trained, and how."""
    if task.tuning is None:
        raise ValueError("Which backbone is settled before.")
    tables, backbone = _tables(method, task, task.tuning.module(None)), task.tuning.card.id
    recipe = Recipe(
        epochs=epochs_for(len(task.y), method.batch) if method.epochs is None else method.epochs,
        rate=method.rate,
        batch=method.batch,
    )

    def finish(trunk: "torch.nn.Module") -> dict[str, bytes]:
        return to_peft(merge(trunk, tables), backbone)

    prepare = partial(attach, tables=tables)
    return Order("lora", None, recipe, prepare, finish, balanced=method.balanced)


def _tables(method: Lora, task: Task, trunk: "torch.nn.Module") -> Tables:
    """What training starts from."""
    layers = layers_of(trunk)
    if task.peft is not None:
        return from_peft(task.peft, layers)
    backbone = "the backbone" if task.tuning is None else task.tuning.card.id
    paths = chosen(layers, method.targets, backbone)
    return fresh(layers, paths, method.rank, method.alpha, task.seed)
