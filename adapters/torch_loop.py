"""One small training loop for everything that trains a part of a backbone under a linear head.

    start -> epochs of minibatches (AdamW, pulled toward the start) -> held-out loss after each -> the best weights

Minibatches hold items of about one length. Batch norm and dropout are as in serving: a head that was trained on other
numbers than it will see would be wrong by the difference. float32 with TF32 off, so that what is trained is what is
exported.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.base import F32, I64, Task, TaskKind
from adapters.comparison import losses
from adapters.examples import Examples

if TYPE_CHECKING:
    import torch

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
HEAD = "head."
"""What the names of the head's parameters begin with."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: Passes over the rows at most; the rate falls to nothing over them.
        rate: Learning rate of the last block and of what lies behind it.
        head_rate: Learning rate of the head; how much it moves a score depends on the unit of the embeddings.
        decay: Rate of a block as a share of the rate of the next one.
        pull: α of α/2·‖w - w₀‖², w₀ the weights at the start.
        head_pull: The same of the head.
        batch: Rows in a minibatch.
        patience: Epochs without a lower held-out loss after which it ends.
        warm_up: Share of all steps over which the rate rises.
        clip: Longest gradient.
    """

    epochs: int
    rate: float
    head_rate: float = 1e-3
    decay: float = 1.0
    pull: float = 0.0
    head_pull: float = 0.0
    batch: int = 32
    patience: int = 3
    warm_up: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True)
class Course:
    """What training came to.

    Attributes:
        epochs: After which the weights were kept; 0 = those of the start.
        loss: Held-out loss with them; NaN where nothing was held out.
        losses: Held-out loss after each epoch, that of the start first.
        early: Whether the budget ended it.
    """

    epochs: int
    loss: float
    losses: tuple[float, ...]
    early: bool


def train(
    scorer: "torch.nn.Module",
    rows: Examples,
    recipe: Recipe,
    *,
    held_out: Examples | None,
    until: int | None = None,
    reserve: float = 0.0,
    device: str = "cpu",
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Course:
    """Train those parameters of a network that require a gradient; leaves it with the best of them.

    Args:
        scorer: Takes what `Examples.inputs` gives, returns (n, c) scores; its linear head is called ``head``. Changed
            in place, and left on the CPU.
        rows: To learn from.
        recipe: How.
        held_out: Rows by whose loss the weights are chosen; None: those of the last epoch are kept.
        until: Epochs after which it ends, while the rate goes as `Recipe.epochs` says; None = all.
        reserve: Seconds to leave of the budget for each second spent.
        device: ``cpu`` or ``cuda``.
        on_progress: Called with the share done, 0..1, after every minibatch.

    Returns:
        When the best weights were seen, and whether `Task.left_s` ended it.

    Raises:
        FitStopped: `Task.check` said so.
        torch.OutOfMemoryError: The device cannot hold a single row.
    """
    scorer.to(device)
    try:
        with _exact():
            return _Loop(scorer, rows, recipe, device).run(held_out, until or recipe.epochs, reserve, on_progress)
    finally:
        scorer.to("cpu")


def scores_of(scorer: "torch.nn.Module", rows: Examples, *, batch: int = 64, device: str = "cpu") -> F32:
    """(n, c) float32 scores of rows, in batches of about one length."""
    import torch

    scorer.to(device)
    parts: list[F32] = []
    order = [piece for some in rows.by_length(batch) for piece in rows.pieces(some, device)]
    with torch.inference_mode(), _exact():
        for some in order:
            rows.task.check()
            parts.append(scorer(*rows.inputs(some, device)).cpu().numpy())
    scores = np.concatenate(parts)
    result: F32 = np.empty_like(scores)
    result[np.concatenate(order)] = scores
    return result


def held_out_loss(scores: F32, task: Task) -> float:
    """Mean loss of rows by which methods are compared, see `comparison.losses`; infinite where a score is no number."""
    if not np.isfinite(scores).all():
        return float("inf")
    by_row, _ = losses(scores, task.y, task.weights)
    return float(np.average(by_row, weights=task.weights))


class _Loop:
    """A network while it is trained."""

    def __init__(self, scorer: "torch.nn.Module", rows: Examples, recipe: Recipe, device: str) -> None:
        import torch

        self.scorer, self.rows, self.recipe, self.device = scorer, rows, recipe, device
        self.parameters = {name: p for name, p in scorer.named_parameters() if p.requires_grad}
        self.start = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.weights = torch.from_numpy(rows.weights()).to(device)
        self.optimiser = torch.optim.AdamW(list(rates(self.parameters, recipe)), weight_decay=0.0)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.steps = recipe.epochs * -(-len(rows) // recipe.batch)
        self.step = 0
        self.pieces = 1

    def run(
        self, held_out: Examples | None, until: int, reserve: float, on_progress: Callable[[float], None]
    ) -> Course:
        """Epochs until nothing gets better, the budget ends or all are done."""
        task, rng = self.rows.task, np.random.default_rng(self.rows.task.seed)
        left_at_start = task.left_s()
        losses = [] if held_out is None else [self._loss(held_out)]
        best, kept = 0, self.start
        for epoch in range(1, until + 1):
            for batch in self.rows.shuffled(self.recipe.batch, rng):
                task.check()
                left = task.left_s()
                # Of an endless budget nothing is spent: the difference of infinities is no number.
                if left <= (reserve * (left_at_start - left) if left < float("inf") else 0):
                    self._restore(kept)
                    return _course(best, losses, early=True)
                self._learn(batch)
                on_progress(self.step / self.steps)
            if held_out is not None:
                losses.append(self._loss(held_out))
                if not losses[-1] < losses[best]:
                    if epoch - best >= self.recipe.patience:
                        break
                    continue
            best, kept = epoch, {name: p.detach().clone() for name, p in self.parameters.items()}
        self._restore(kept)
        return _course(best, losses, early=False)

    def _loss(self, held_out: Examples) -> float:
        return held_out_loss(scores_of(self.scorer, held_out, device=self.device), held_out.task)

    def _restore(self, kept: "dict[str, torch.Tensor]") -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(kept[name])

    def _learn(self, batch: I64) -> None:
        """One step; of a batch that does not fit into memory, the gradient is gathered piece by piece."""
        import torch

        while True:
            try:
                self._gather(batch)
                break
            except torch.OutOfMemoryError:
                if self.pieces >= len(batch):
                    raise
                self.pieces *= 2
                self.rows.task.say(
                    f"The GPU has too little memory for {self.recipe.batch} rows at once: their gradient was gathered "
                    f"in {self.pieces} pieces."
                )
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), self.recipe.clip)
        self._pull()
        share = _share(self.step, self.steps, self.recipe.warm_up)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        self.optimiser.step()
        self.step += 1

    def _gather(self, batch: I64) -> None:
        self.optimiser.zero_grad()
        for piece in self.rows.pieces(batch, self.device, self.pieces):
            self.rows.task.check()
            scores = self.scorer(*self.rows.inputs(piece, self.device))
            loss = _losses(scores, self.rows.targets(piece, self.device), self.rows.task.kind)
            ((loss * self.weights[piece]).sum() / len(batch)).backward()  # type: ignore[no-untyped-call]

    def _pull(self) -> None:
        """The gradient of α/2·‖w - w₀‖²; not clipped with the rest, so that it always holds."""
        for name, parameter in self.parameters.items():
            alpha = self.recipe.head_pull if name.startswith(HEAD) else self.recipe.pull
            if alpha and parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - self.start[name], alpha=alpha)


def rates(parameters: "dict[str, torch.nn.Parameter]", recipe: Recipe) -> "Iterator[dict[str, Any]]":
    """A group of parameters for each learning rate: the head, each block, what lies behind the blocks and before."""
    blocks = {name: int(found[1]) for name in parameters if (found := _BLOCK.search(name))}
    last = max(blocks.values(), default=0)
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in parameters.items():
        block = recipe.rate * recipe.decay ** (last - blocks.get(name, last))
        groups.setdefault(recipe.head_rate if name.startswith(HEAD) else block, []).append(parameter)
    return ({"params": group, "lr": rate} for rate, group in groups.items())


def _share(step: int, steps: int, warm_up: float) -> float:
    """Of the learning rate: up in a line, down along a cosine."""
    rising = max(1.0, warm_up * steps)
    if step < rising:
        return float((step + 1) / (rising + 1))
    return float((1 + np.cos(np.pi * (step - rising) / max(1.0, steps - rising))) / 2)


def _losses(scores: "torch.Tensor", y: "torch.Tensor", kind: TaskKind) -> "torch.Tensor":
    """(n,) loss of each row."""
    from torch.nn import functional

    if kind == TaskKind.CLASSIFICATION:
        return functional.cross_entropy(scores, y, reduction="none")
    if kind == TaskKind.MULTILABEL:
        return functional.binary_cross_entropy_with_logits(scores, y, reduction="none").mean(1)
    return (scores[:, 0] - y) ** 2


def _course(best: int, losses: list[float], *, early: bool) -> Course:
    return Course(best, losses[best] if losses else float("nan"), tuple(losses), early)


@contextmanager
def _exact() -> "Iterator[None]":
    """float32 as the CPU has it, also in convolutions of CUDA, and the same every time."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
