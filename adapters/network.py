"""Networks with one hidden layer, fitted from several starts and averaged into one.

The average of s networks of h units is one network of s·h units: the hidden layers side by side, the layer on them
divided by s. Each start finds other bends, so the average is smoother and its log loss lower than that of any of them.

Source: Hansen & Salamon, Neural Network Ensembles, IEEE Transactions on Pattern Analysis and Machine Intelligence
12(10), 1990.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from adapters.base import F32, F64, I64, Task, TaskKind
from adapters.graphs import Activation
from adapters.graphs.heads import GELU_CUBE, GELU_SCALE
from adapters.heads import AffineHead, NetworkHead, activate
from adapters.lbfgs import Array, minimise
from adapters.linalg import row_weights, standardise, unit_weights

_MOST_STEPS = 150
_LAST_STEPS = 30
_CHUNK_ROWS = 4096
SAMPLE_ROWS = 20_000
"""Of more rows a sample leads most of the way, and all of them the last steps."""
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Shape:
    """What is chosen of a network.

    Attributes:
        width: h, units of one start.
        activation: Of the units.
        l2: Penalty of both layers' weights, in units of one row's loss.
        starts: s.
        balanced: Whether every class weighs the same.
    """

    width: int
    activation: Activation
    l2: float
    starts: int
    balanced: bool


def fit_network(task: Task, shape: Shape) -> NetworkHead:
    """Minimise Σ wᵢ·loss(W₂·a(W₁xᵢ + b₁) + b₂, yᵢ) + l2/2·(‖W₁‖² + ‖W₂‖²) from every start, and average.

    The loss is the cross entropy, of each label where a row may have several; of numbers half the squared error in
    standard deviations of the target. x is z, centred, in the unit in which its typical feature varies by one.

    Args:
        task: `Task.check` is asked several times a step; when `Task.left_s` is over, the best so far is taken.
        shape: Of the network.

    Returns:
        (s·h) hidden units.

    Cost: 6·n·d·h operations a step, 150 steps a start at most; beyond 20,000 rows about as much as for these.
    """
    problem = _Problem.of(task, balanced=shape.balanced)
    members = list(_members(problem, task, shape))
    weight = np.concatenate([member.weight for member in members])
    # What the network learned on was centred and scaled; embeddings come as they are.
    weight = weight.astype(np.float64) / problem.scale
    bias = np.concatenate([member.bias for member in members]) - weight @ problem.mean
    top = np.concatenate([member.top for member in members], axis=1).astype(np.float64) / len(members)
    level = np.stack([member.level for member in members]).astype(np.float64).mean(axis=0)
    top, level = problem.spread * top, problem.origin + problem.spread * level
    head = AffineHead(top.astype(np.float32), level.astype(np.float32), task.classes, multilabel=task.multilabel)
    return NetworkHead(weight.astype(np.float32), bias.astype(np.float32), shape.activation, head)


def _members(problem: "_Problem", task: Task, shape: Shape) -> "Iterator[_Layers]":
    """One fitted network after the other; at least one."""
    for start in range(shape.starts):
        rng = np.random.default_rng((task.seed, start))
        first = _Layers.draw(rng, shape.width, problem.x.shape[1], problem.outputs)
        if len(problem.x) > SAMPLE_ROWS:
            sample = problem.take(np.sort(rng.choice(len(problem.x), SAMPLE_ROWS, replace=False)))
            first = _walk(sample, first, shape, task, _MOST_STEPS)
            yield _walk(problem, first, shape, task, _LAST_STEPS)
        else:
            yield _walk(problem, first, shape, task, _MOST_STEPS)
        if task.left_s() <= 0:
            return


@dataclass(frozen=True, eq=False)
class _Layers:
    """The numbers of one network.

    Attributes:
        weight: (h, d) W₁.
        bias: (h,) b₁.
        top: (k, h) W₂.
        level: (k,) b₂.
    """

    weight: F32
    bias: F32
    top: F32
    level: F32

    @classmethod
    def draw(cls, rng: np.random.Generator, h: int, d: int, k: int) -> Self:
        """Normal, at the scale that keeps the size of what passes through: Glorot & Bengio, AISTATS 2010."""
        inside, outside = math.sqrt(2 / (d + h)), math.sqrt(2 / (h + k))
        return cls(
            (inside * rng.standard_normal((h, d))).astype(np.float32),
            (inside * rng.standard_normal(h)).astype(np.float32),
            (outside * rng.standard_normal((k, h))).astype(np.float32),
            np.zeros(k, dtype=np.float32),
        )

    def flat(self) -> F32:
        """All numbers in a row."""
        return np.concatenate([part.ravel() for part in (self.weight, self.bias, self.top, self.level)])

    def plus(self, other: "_Layers") -> "_Layers":
        """Number by number."""
        return _Layers(
            self.weight + other.weight, self.bias + other.bias, self.top + other.top, self.level + other.level
        )

    def like(self, flat: Array) -> "_Layers":
        """What `flat` gave, in the shapes of this one."""
        shapes = [part.shape for part in (self.weight, self.bias, self.top, self.level)]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        numbers = flat.astype(np.float32, copy=False)
        return _Layers(*(part.reshape(s) for part, s in zip(np.split(numbers, ends[:-1]), shapes, strict=True)))


def _walk(problem: "_Problem", first: _Layers, shape: Shape, task: Task, steps: int) -> _Layers:
    """From a start to where the loss no longer falls, or as far as the steps and the time allow."""
    l2 = np.float32(shape.l2)

    def objective(point: Array) -> tuple[float, Array]:
        layers = first.like(point)
        loss, gradient = problem.loss(layers, shape.activation)
        penalty = float(np.vdot(layers.weight, layers.weight)) + float(np.vdot(layers.top, layers.top))
        pulled = replace(gradient, weight=gradient.weight + l2 * layers.weight, top=gradient.top + l2 * layers.top)
        return loss + shape.l2 / 2 * penalty, pulled.flat()

    _, at_first = objective(first.flat())
    point = minimise(
        objective,
        first.flat(),
        gradient_norm=_TOLERANCE * float(np.linalg.norm(at_first)),
        check=task.check,
        out_of_time=lambda: task.left_s() <= 0,
        max_iterations=steps,
    )
    return first.like(point)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Rows and targets as the network sees them.

    Attributes:
        kind: What is asked of a row.
        x: (n, d) float32, centred and scaled.
        y: (n,) int64 classes, (n, k) float32 marks, or (n, 1) float32 standardised targets.
        weights: (n,) float32, all positive.
        outputs: k.
        mean: (d,) of z.
        scale: Of z.
        origin: Target at 0.
        spread: Target units of 1.
        check: See `Task`.
    """

    kind: TaskKind
    x: F32
    y: F32 | I64
    weights: F32
    outputs: int
    mean: F64
    scale: float
    origin: float
    spread: float
    check: Callable[[], None]

    @classmethod
    def of(cls, task: Task, *, balanced: bool) -> Self:
        """Leave out the rows that count nothing, weigh, centre and scale the rest."""
        if task.weights is not None and (task.weights > 0).any():
            task = replace(task, table=None, encoding=None).rows(task.weights > 0)
        n, k = len(task.y), max(1, len(task.classes))
        weights = unit_weights(n, task.weights)
        origin, spread = 0.0, 1.0
        if task.regression:
            targets, origin, spread = standardise(task.targets, weights)
            y: F32 | I64 = targets[:, None].astype(np.float32)
        elif task.multilabel:
            y = task.marks.astype(np.float32)
        else:
            y, weights = task.labels, row_weights(task.labels, k, balanced=balanced, given=task.weights)
        mean = (weights.astype(np.float32) @ task.z).astype(np.float64) / weights.sum()
        x = (task.z - mean.astype(np.float32)).astype(np.float32, copy=False)
        scale = _typical_deviation(x)
        x /= np.float32(scale)
        return cls(task.kind, x, y, weights.astype(np.float32), k, mean, scale, origin, spread, task.check)

    def take(self, index: I64) -> "_Problem":
        """Some of the rows, each standing for several: the penalty keeps its share."""
        more = np.float32(self.weights.sum() / self.weights[index].sum())
        return replace(self, x=self.x[index], y=self.y[index], weights=more * self.weights[index])

    def loss(self, layers: _Layers, activation: Activation) -> tuple[float, _Layers]:
        """The weighted loss of all rows, and its gradient; some rows at a time, so that little else is as long."""
        parts = range(0, len(self.x), _CHUNK_ROWS)
        loss, gradient = self._loss_of(slice(0, _CHUNK_ROWS), layers, activation)
        for first in parts[1:]:
            more, further = self._loss_of(slice(first, first + _CHUNK_ROWS), layers, activation)
            loss, gradient = loss + more, gradient.plus(further)
        return loss, gradient

    def _loss_of(self, rows: slice, layers: _Layers, activation: Activation) -> tuple[float, _Layers]:
        self.check()
        x = self.x[rows]
        inside = x @ layers.weight.T + layers.bias
        units = activate(inside, activation)
        scores = units @ layers.top.T + layers.level
        loss, by_score = _LOSSES[self.kind](scores, self.y[rows], self.weights[rows, None])
        by_inside: F32 = (by_score @ layers.top) * _slope(inside, activation)
        # A product with ones adds up columns several times as fast as `sum` does.
        ones = np.ones(len(x), dtype=np.float32)
        return loss, _Layers(by_inside.T @ x, ones @ by_inside, by_score.T @ units, ones @ by_score)


def _typical_deviation(x: F32) -> float:
    """Standard deviation of the feature in which a typical part of the variance lies; 1 where there is none.

    Of features that vary alike it is that of each; a thousand rare categories beside one number hardly lower it.
    """
    variance = np.einsum("nd,nd->d", x, x, dtype=np.float64) / len(x)
    total = float(variance.sum())
    return math.sqrt(float((variance**2).sum()) / total) if total > 0 else 1.0


def _slope(inside: F32, activation: Activation) -> F32:
    """Derivative of `heads.activate`."""
    if activation == "relu":
        return (inside > 0).astype(np.float32)
    scale, cube = np.float32(GELU_SCALE), np.float32(GELU_CUBE)
    squared = inside * inside
    gate = np.tanh(scale * inside * (1 + cube * squared))
    bend = scale * (1 + 3 * cube * squared)
    result: F32 = np.float32(0.5) * (1 + gate + inside * (1 - gate * gate) * bend)
    return result


def _class_loss(scores: F32, y: Any, weights: F32) -> tuple[float, F32]:
    """Cross entropy of one class a row."""
    rows = np.arange(len(y))
    scores = scores - scores.max(axis=1, keepdims=True)
    own = scores[rows, y]
    np.exp(scores, out=scores)
    total = scores.sum(axis=1)
    loss = float(np.vdot(weights, np.log(total) - own))
    scores /= total[:, None]
    scores[rows, y] -= 1
    scores *= weights
    return loss, scores


def _mark_loss(scores: F32, y: Any, weights: F32) -> tuple[float, F32]:
    """Cross entropy of each label, added over labels."""
    loss = np.logaddexp(np.float32(0), scores) - y * scores
    # The logistic function by tanh: exp(-x) would overflow.
    gradient = np.float32(0.5) + np.float32(0.5) * np.tanh(scores / 2) - y
    return float((weights * loss).sum(dtype=np.float64)), weights * gradient


def _number_loss(scores: F32, y: Any, weights: F32) -> tuple[float, F32]:
    """Half the squared error."""
    residual = scores - y
    weighted = weights * residual
    return float(np.vdot(weighted, residual)) / 2, weighted


_LOSSES = {
    TaskKind.CLASSIFICATION: _class_loss,
    TaskKind.MULTILABEL: _mark_loss,
    TaskKind.REGRESSION: _number_loss,
}
"""Of (n, k) scores, targets and (n, 1) weights: the loss, and its gradient in the scores."""
