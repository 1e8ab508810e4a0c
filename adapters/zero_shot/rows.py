"""What the bilinear methods share: rows of seen classes, their signatures, and the front that comes of both.

Task -> SeenRows (X, weighted and centred; sums of each class) -> matrix (a, d) -> LinearFront
     -> Described (S of seen classes, filled, centred, scaled, of length 1)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from adapters.base import F32, F64, Mask, Task
from adapters.errors import RequirementMissing
from adapters.gram import Centred, solve_each
from adapters.linalg import class_masses, class_sums, mean_squared_norm, row_weights
from adapters.zero_shot.fronts.linear import LinearFront
from adapters.zero_shot.fronts.scale import Scale

if TYPE_CHECKING:
    from adapters.signatures import Signatures

_ROUNDING = 1e-6
"""Of the largest value (float32): an attribute that varies less than this share of it does not vary."""


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Rows about their mean, every seen class of the same weight.

    Attributes:
        rows: X (n, d): √wᵢ·(zᵢ - μ), as a recipe; weights have mean 1.
        sums: (c, d) sum of w·(z - μ) over the rows of each seen class.
        masses: (c,) sum of w over the same.
        unit: Mean of w·‖z - μ‖²: the unit of penalties; 1 where all rows are equal.
    """

    rows: Centred
    sums: F64
    masses: F64
    unit: float

    @classmethod
    def of(cls, task: Task) -> Self:
        """Weigh, centre and sum; O(n·d)."""
        k, seen = len(task.classes), ~task.absent
        weights = row_weights(task.labels, k, balanced=True, given=task.weights)
        sums, masses = class_sums(task.z, task.labels, k, weights), class_masses(task.labels, k, weights)
        mean = sums.sum(axis=0) / masses.sum()
        rows = Centred(task.z, weights, mean[None], np.zeros(len(task.y), dtype=np.int64), task.check)
        spread = sum(float(np.einsum("nd,nd->", x, x)) for _, x in rows.weighted()) / masses.sum()
        # What equal rows are off by is rounding, and nothing to measure a penalty in.
        equal = spread <= _ROUNDING**2 * mean_squared_norm(task.z, weights)
        return cls(rows, (sums - masses[:, None] * mean)[seen], masses[seen], 1.0 if equal else spread)

    def ridge_each(self, task: Task, right: F64, penalties: Sequence[float]) -> Iterator[F64]:
        """(XᵀX + penalty·unit·I)⁻¹ right, (d, m), for each penalty; see `gram.solve_each`.

        One penalty on the CPU needs no eigenvectors, which take several times as long as one system of equations.
        """
        shifts = [penalty * self.unit for penalty in penalties]
        if len(shifts) > 1 or task.device != "cpu" or not self.rows.tall:
            yield from solve_each(task, self.rows, right, shifts)
            return
        system = self.rows.gram()
        system[np.diag_indices_from(system)] += shifts[0]
        yield np.asarray(np.linalg.solve(system, right), dtype=np.float64)

    @property
    def mean(self) -> F64:
        """(d,) μ."""
        return np.asarray(self.rows.centres[0], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Described:
    """Signatures as bilinear methods meet them. All that is learned of signatures is learned of seen classes.

    Attributes:
        seen: (c, a) S: rows of seen classes as `LinearFront.encode` encodes them.
        fill: (a,) float32, see `LinearFront`.
        scale: (a,) float32, see `LinearFront`.
        length: Mean length of the seen classes' rows before they were brought to 1; 1 where all are zero.
        named: Whether attributes have names, so that predicting them means something.
    """

    seen: F64
    fill: F32
    scale: F32
    length: float
    named: bool

    @classmethod
    def of(cls, signatures: "Signatures", seen: Mask) -> Self:
        """Learn what stands for a missing value, the centre, and the scale.

        Named attributes may be in units of their own: each is divided by its standard deviation over seen classes, and
        one in which these do not differ says nothing. The coordinates of an embedding share one unit and keep it.
        """
        filled = signatures.filled(seen)[seen].astype(np.float64)
        centre, spread = filled.mean(axis=0), filled.std(axis=0)
        varies = spread > _ROUNDING * np.abs(filled).max(axis=0)
        named = not signatures.space
        scale = np.where(varies, 1 / np.where(varies, spread, 1.0) if named else 1.0, 0.0)
        rows = (filled - centre) * scale
        lengths = np.linalg.norm(rows, axis=1)
        length = float(lengths.mean()) if lengths.any() else 1.0
        unit = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
        return cls(unit, centre.astype(np.float32), scale.astype(np.float32), length, named)

    def front(self, matrix: F64, rows: SeenRows, readout: F64) -> LinearFront:
        """The front that brings an item to these signatures.

        Args:
            matrix: (a, d): g(z) = matrix · (z - μ).
            rows: That it was learned from.
            readout: (a, a), or (a,) of a diagonal: from g(z) to the signature of length 1 that is expected of the item.
        """
        back = np.where(self.scale > 0, self.length / np.where(self.scale > 0, self.scale, 1), 0).astype(np.float64)
        out = back * readout if readout.ndim == 1 else back[:, None] * readout
        return LinearFront(
            weight=matrix.astype(np.float32),
            bias=(-matrix @ rows.mean).astype(np.float32),
            fill=self.fill,
            centre=self.fill,
            scale=self.scale,
            readout=out.astype(np.float32) if self.named else None,
        )


def say_left_out(task: Task) -> None:
    """Say which attributes all seen classes are alike in.

    Raises:
        RequirementMissing: They are alike in all of them.
    """
    if task.signatures is None:
        return
    scale = Scale.of(task.signatures, ~task.absent)
    if not scale.varies.any():
        raise RequirementMissing(
            f"The {int((~task.absent).sum())} classes with examples are alike in all {len(scale.varies)} attribute(s) "
            "of the signatures, so nothing tells others from them. Add attributes in which they differ."
        )
    # The coordinates of an embedding have no names that would say something.
    if not task.signatures.space and (sentence := scale.left_out(task.signatures)) is not None:
        task.say(sentence)


def seen_signatures(task: Task) -> Described:
    """Those of a task's seen classes.

    Raises:
        RequirementMissing: The task has none; `Method.admit` has said so before.
    """
    if task.signatures is None:
        raise RequirementMissing("There are no signatures to learn from. Give the task signatures.")
    return Described.of(task.signatures, ~task.absent)
