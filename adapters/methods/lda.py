"""Linear discriminant analysis with a shrunk covariance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from adapters.base import F64, I64, Head, Method, Task
from adapters.gram import Centred, Spectrum, solve_each
from adapters.heads import AffineHead
from adapters.leave_one_out import Choose, lowest_loss, rows_to_leave_out
from adapters.linalg import class_masses, class_means, mean_squared_norm, unit_weights
from adapters.select import settle

_GRID = (0.995, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5, 0.3, 0.1)
_GRID_OF_MANY_ROWS = (*_GRID, 0.03, 0.01)
"""With fewer rows than columns, a covariance that is trusted more than nine parts in ten is mostly chance."""
_UNMEASURED_GAMMA = 0.9
_ROUNDING = 1e-12
"""Share of the mean squared norm below which a squared difference is what float32 rounds."""

Priors = Literal["rows", "uniform"]


class Lda(Method):
    """Linear discriminant analysis: classes of one common covariance, shrunk toward the same variance everywhere.

    The score of class c is mᵀA⁻¹z - ½mᵀA⁻¹m + log π, m its mean, π its share of the rows, and A = (1 - gamma)·S +
    gamma·t·I, S the covariance within classes, pooled over all of them (so that a class with one or two rows has one
    too), and t its mean variance. Where no class has two different rows, A is t·I, t the mean variance between
    classes. Where rows are weighted, all of this is. Without `gamma`, nine values (eleven with as many rows as columns)
    are compared, all from one factorisation: on folds (one a fold), as other methods are, or by exact leave-one-out.

    Leave-one-out takes a row away from its class's mean and from the sum behind S, and holds everything else as it is:
    π, t, and the number of rows that S is divided by. The report's folds have then seen the gamma that is chosen.

    Shapes: z (n, d) float32 → scores (n, k) float32: log odds, up to a constant of each row, as far as classes are
        Gaussian; otherwise too sure of themselves.
    Cost: O(n·d·min(n, d) + min(n, d)³) once, float64, on the GPU where there is one; memory min(n, d)² numbers.
        Leave-one-out: O(n·d² + n·d·k) more for each value of `gamma`, on the CPU.
    Raises: DatasetTooSmall: fewer than two classes. TaskUnsupported: regression, or several classes a row.
    Source: Friedman, Regularized Discriminant Analysis, JASA 84(405), 1989.
    """

    source: ClassVar[str] = "Friedman, Regularized Discriminant Analysis, JASA 84(405), 1989"
    complexity: ClassVar[int] = 2
    default_temperature: ClassVar[float] = 30.0

    method: Literal["lda"] = "lda"
    gamma: float | None = Field(None, ge=1e-4, le=0.9999)
    """Share of the plain variance in the covariance: near 1 is the nearest mean. None: chosen, see `choose`."""
    priors: Priors = "rows"
    """π. ``rows``: classes are as likely as they are frequent here; ``uniform``: all alike."""
    choose: Choose = "folds"
    """How `gamma` is chosen. ``leave-one-out``: each row judged by the fit without it; not where rows have groups."""

    def variants(self, task: Task) -> tuple[Method, ...]:
        """The grid of `gamma`, strongest first; or what leave-one-out chose of it."""
        if self.gamma is not None:
            return (self,)
        grid: Sequence[float] = _GRID_OF_MANY_ROWS if task.z.shape[0] >= task.z.shape[1] else _GRID
        left_out = rows_to_leave_out(task)
        if self.choose == "leave-one-out" and left_out.any():
            grid = [grid[lowest_loss(task, left_out, leave_one_out(task, grid, self.priors))]]
        return tuple(self.model_copy(update={"gamma": gamma}) for gamma in grid)

    def fallback(self, task: Task) -> Method:  # noqa: ARG002  # as `Method` has it
        """With a `gamma` that does well where nothing can be measured."""
        return self if self.gamma is not None else self.model_copy(update={"gamma": _UNMEASURED_GAMMA})

    @classmethod
    def proposals(cls, task: Task) -> tuple[Method, ...]:  # noqa: ARG003  # as `Method` has it
        """Itself."""
        return (cls(),)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        task.check()
        if self.gamma is None:
            return settle(self, task).fit(task)
        return next(_Within.of(task, self.priors).heads([self.gamma]))

    @classmethod
    def fit_each(cls, methods: Sequence[Self], task: Task) -> Iterator[Head]:
        """One factorisation for all gammas."""
        methods[0].admit(task)
        task.check()
        for priors, same in groupby(methods, key=lambda method: method.priors):
            gammas = [_UNMEASURED_GAMMA if method.gamma is None else method.gamma for method in same]
            yield from _Within.of(task, priors).heads(gammas)


def leave_one_out(task: Task, gammas: Sequence[float], priors: Priors = "rows") -> Iterator[F64]:
    """What each gamma's fit without a row says of that row; see `Lda` for what is held as it is.

    Without row i, of weight w and the class with mean m and mass ω, that mean is m - (w/(ω - w))·r with r = z - m, and
    RᵀR, the sum behind S, loses (wω/(ω - w))·rrᵀ: a change of rank one, so that every distance follows from those of
    the fit to all rows (Sherman & Morrison).

    Args:
        task: All rows.
        gammas: Values of `Lda.gamma`.
        priors: As in `Lda`.

    Yields:
        (n, k) float64 for each gamma: log π minus half the squared distance to each class mean, which is the score up
        to a constant of the row. The own class of a row that is all of it has the score of the fit to all rows.

    Cost: one factorisation, and O(n·d² + n·d·k) for each gamma.
    """
    within = _Within.of(task, priors)
    spectrum = Spectrum.of(within.rows)
    for gamma in gammas:
        yield within.left_out(spectrum, gamma)


@dataclass(frozen=True, eq=False)
class _Within:
    """Class means and the covariance within classes, S = RᵀR/ν.

    (1 - γ)·S + γ·t·I = ((1 - γ)/ν)·(RᵀR + shift·I), with shift = γ·t·ν/(1 - γ).

    Attributes:
        task: All rows.
        rows: R, the rows √wᵢ·(zᵢ - mean of its class); their centres are the (k, d) class means.
        y: (n,) class of each row.
        masses: (k,) summed weights of each class's rows.
        log_prior: (k,) log π, up to a constant.
        middle: (d,) mean of the class means, from which they are counted: a far origin would cost digits.
        freedom: ν, rows less classes.
        variance: t.
        spherical: Whether no class has two different rows: RᵀR is zero, and A is t·I.
    """

    task: Task
    rows: Centred
    y: I64
    masses: F64
    log_prior: F64
    middle: F64
    freedom: float
    variance: float
    spherical: bool

    @classmethod
    def of(cls, task: Task, priors: Priors) -> Self:
        """Means, and the variance around them."""
        k, weights = len(task.classes), unit_weights(len(task.y), task.weights)
        masses = class_masses(task.labels, k, weights)
        # A class whose rows weigh nothing counts as one row.
        log_prior = np.log(np.where(masses > 0, masses, 1.0)) if priors == "rows" else np.zeros(k)
        means = class_means(task.z, task.labels, k, weights)
        rows = Centred(task.z, weights, means, task.labels, task.check)
        freedom = max(1.0, float(np.count_nonzero(weights) - np.count_nonzero(masses)))
        within = sum(float(np.einsum("nd,nd->", x, x)) for _, x in rows.weighted()) / freedom
        spherical = within <= _ROUNDING * mean_squared_norm(task.z, weights)
        # The unit of distances must not jump where a fold leaves one row of every class.
        variance = (_between(means, masses) if spherical else within) / means.shape[1]
        return cls(
            task=task,
            rows=rows,
            y=task.labels,
            masses=masses,
            log_prior=log_prior,
            middle=means.mean(axis=0),
            freedom=freedom,
            variance=variance if variance > 0 else 1.0,
            spherical=spherical,
        )

    def heads(self, gammas: Sequence[float]) -> Iterator[AffineHead]:
        """The solution for each gamma."""
        centred = self.rows.centres - self.middle
        for inverse in self._inverse_times(centred.T, gammas):
            weight = inverse.T
            bias = self.log_prior - 0.5 * np.einsum("kd,kd->k", weight, centred) - weight @ self.middle
            yield AffineHead(weight.astype(np.float32), bias.astype(np.float32), self.task.classes)

    def _inverse_times(self, right: F64, gammas: Sequence[float]) -> Iterator[F64]:
        """A⁻¹ right (d, k) for each gamma."""
        if self.spherical:
            # The very same for all, so that comparing them is a tie, which the strongest wins.
            yield from (right / self.variance for _ in gammas)
            return
        shifts = [self.shift(gamma) for gamma in gammas]
        for gamma, solution in zip(gammas, solve_each(self.task, self.rows, right, shifts), strict=True):
            yield self.freedom / (1 - gamma) * solution

    def shift(self, gamma: float) -> float:
        """See the class."""
        return (1 if self.spherical else gamma) / (1 - gamma) * self.variance * self.freedom

    def left_out(self, spectrum: Spectrum, gamma: float) -> F64:
        """(n, k) scores of each row by the fit without it; see `leave_one_out`."""
        root = spectrum.root(self.shift(gamma)) * np.sqrt(self.freedom / (1 - gamma))
        means = (self.rows.centres - self.middle) @ root
        result = np.empty((len(self.y), len(means)))
        for some, differences in self.rows.blocks():
            labels, w = self.y[some], self.rows.weights[some]
            mass = self.masses[labels]
            grown = mass / np.where(mass > w, mass - w, mass)
            lost = w * grown * (1 - gamma) / self.freedom
            result[some] = self.log_prior - _left_out_distances(differences @ root, means, labels, grown, lost) / 2
        return result


def _between(means: F64, masses: F64) -> float:
    """Mean squared distance of the (k, d) means to their common one."""
    differences = means - masses @ means / masses.sum()
    return float(masses @ np.einsum("kd,kd->k", differences, differences) / masses.sum())


def _left_out_distances(r: F64, means: F64, labels: I64, grown: F64, lost: F64) -> F64:
    """Squared distances to every mean without the row itself, in coordinates in which A is the identity.

    Args:
        r: (m, d) rows less the means of their classes.
        means: (k, d).
        labels: (m,) classes.
        grown: (m,) ω/(ω - w): by how much r grows when the mean loses the row.
        lost: (m,) by what multiple of rrᵀ the identity shrinks.

    Returns:
        (m, k); a row that is all of its class (`grown` is 1) keeps that mean.
    """
    own = np.einsum("md,md->m", r, r)
    x = r + means[labels]
    # Both products without the (m, k, d) differences x - means.
    plain = np.einsum("md,md->m", x, x)[:, None] - 2 * x @ means.T + np.einsum("kd,kd->k", means, means)
    along = np.einsum("md,md->m", x, r)[:, None] - r @ means.T
    factor = lost / np.maximum(1 - lost * own, np.finfo(np.float64).eps)
    distances: F64 = plain + factor[:, None] * along**2
    distances[np.arange(len(r)), labels] = grown**2 * (own + factor * own**2)
    return distances
