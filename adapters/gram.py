"""Weighted, centred rows and the inverse of their Gram matrix for many ridge terms at once.

    rows -> Centred -> Spectrum (CPU: one eigendecomposition)        -> (XᵀX + shift·I)⁻¹ for every shift
                    -> torch    (GPU: one batch of Cholesky factors) ->

Everything is float64; of many rows only a block at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.linalg import blocks

if TYPE_CHECKING:
    import torch

_ROUNDING = 1e-13
"""A Gram matrix squares the condition number: eigenvalues below this share of the largest are noise."""


@dataclass(frozen=True, eq=False)
class Centred:
    """X (n, d) with the rows √wᵢ·(zᵢ - centre of i), as a recipe.

    Attributes:
        z: (n, d) float32.
        weights: (n,) w, none negative.
        centres: (c, d).
        of: (n,) int64, the centre of each row.
        check: Called with every block of rows; what it raises ends the work.
    """

    z: F32
    weights: F64
    centres: F64
    of: I64
    check: Callable[[], None]

    @property
    def tall(self) -> bool:
        """Whether there are at least as many rows as columns."""
        return bool(self.z.shape[0] >= self.z.shape[1])

    def blocks(self) -> Iterator[tuple[slice, F64]]:
        """Which rows, and their differences zᵢ - centre of i, not weighted: (m, d)."""
        for rows in blocks(self.z):
            self.check()
            yield rows, self.z[rows] - self.centres[self.of[rows]]

    def weighted(self) -> Iterator[tuple[slice, F64]]:
        """Which rows, and that part of X: (m, d)."""
        for rows, differences in self.blocks():
            yield rows, np.sqrt(self.weights[rows])[:, None] * differences

    def whole(self) -> F64:
        """X (n, d): for few rows."""
        return np.concatenate([x for _, x in self.weighted()])

    def gram(self) -> F64:
        """XᵀX (d, d)."""
        total = np.zeros((self.z.shape[1], self.z.shape[1]))
        for _, x in self.weighted():
            total += x.T @ x
        return total


@dataclass(frozen=True, eq=False)
class Spectrum:
    """XᵀX = V diag(e) Vᵀ, without the directions that carry nothing.

    Attributes:
        e: (r,) all positive; r = 0 where all of X is zero.
        v: (d, r) orthonormal columns.
    """

    e: F64
    v: F64

    @classmethod
    def of(cls, rows: Centred) -> Self:
        """From the eigenvectors of the smaller of the two Gram matrices: O(n·d·min(n, d) + min(n, d)³)."""
        if rows.tall:
            e, v, kept = _positive(rows.gram())
            return cls(e[kept], v[:, kept])
        x = rows.whole()
        e, u, kept = _positive(x @ x.T)
        return cls(e[kept], x.T @ u[:, kept] / np.sqrt(e[kept]))

    def solve_each(self, right: F64, shifts: Sequence[float]) -> Iterator[F64]:
        """(XᵀX + shift·I)⁻¹ right, for each shift above zero: right (d, k) to (d, k)."""
        inside = self.v.T @ right
        outside = right - self.v @ inside
        for shift in shifts:
            yield self.v @ (inside / (self.e + shift)[:, None]) + outside / shift

    def root(self, shift: float) -> F64:
        """(XᵀX + shift·I)^-½ (d, d), symmetric: what makes this matrix's distances plain ones."""
        inside = 1 / np.sqrt(self.e + shift) - 1 / np.sqrt(shift)
        result: F64 = self.v * inside @ self.v.T + np.eye(len(self.v)) / np.sqrt(shift)
        return result


def _positive(gram: F64) -> tuple[F64, F64, Mask]:
    """Eigenvalues, eigenvectors, and which of them are more than rounding."""
    e, vectors = np.linalg.eigh(gram)
    return e, vectors, e > max(float(e[-1]), 0.0) * _ROUNDING * len(e)


def solve_each(task: Task, rows: Centred, right: F64, shifts: Sequence[float]) -> Iterator[F64]:
    """(XᵀX + shift·I)⁻¹ right for each shift, on the task's device.

    Args:
        task: Says which device; hears of it where that has too little memory, and the CPU is taken instead.
        rows: X (n, d).
        right: (d, k).
        shifts: All above zero.

    Yields:
        (d, k), one for each shift.

    Cost: one factorisation for all shifts on the CPU, O(n·d·min(n, d) + min(n, d)³); one Cholesky factor each on the
        GPU, all in one batch.
    """
    if task.device == "cuda":
        solutions = _unless_out_of_memory(task, lambda: solve_on(task.device, rows, right, shifts))
        if solutions is not None:
            yield from solutions
            return
    for solution in Spectrum.of(rows).solve_each(right, shifts):
        task.check()
        yield solution


def _unless_out_of_memory(task: Task, work: Callable[[], F64]) -> F64 | None:
    import torch

    try:
        return work()
    except torch.OutOfMemoryError:
        task.say("The GPU had too little memory for the factorisation of the embeddings: the CPU computed it.")
        return None


def solve_on(device: str, rows: Centred, right: F64, shifts: Sequence[float]) -> F64:
    """As `Spectrum.solve_each`, (len(shifts), d, k), by a batch of Cholesky factors in float64 on a torch device.

    With fewer rows than columns by the matrix inversion lemma: (B - Xᵀ(XXᵀ + shift·I)⁻¹XB) / shift.

    Raises:
        torch.OutOfMemoryError: There is too little memory on the device.
    """
    import torch

    shift = torch.tensor(shifts, dtype=torch.float64, device=device)[:, None, None]
    b = torch.from_numpy(np.ascontiguousarray(right)).to(device)
    if rows.tall:
        gram = torch.zeros(len(b), len(b), dtype=torch.float64, device=device)
        for x in _blocks_on(device, rows):
            gram += x.T @ x
        result = _cholesky_solve(gram, b, shift)
    else:
        x = torch.cat(list(_blocks_on(device, rows)))
        result = (b - x.T @ _cholesky_solve(x @ x.T, x @ b, shift)) / shift
    solutions: F64 = result.cpu().numpy()
    return solutions


def _blocks_on(device: str, rows: Centred) -> "Iterator[torch.Tensor]":
    """Parts of X in float64, made on the device from the float32 rows."""
    import torch

    centres = torch.from_numpy(np.ascontiguousarray(rows.centres)).to(device)
    for some in blocks(rows.z):
        rows.check()
        z = torch.from_numpy(np.ascontiguousarray(rows.z[some])).to(device)
        root = torch.from_numpy(np.sqrt(rows.weights[some])).to(device)
        yield (z - centres[torch.from_numpy(rows.of[some]).to(device)]) * root[:, None]


def _cholesky_solve(gram: "torch.Tensor", right: "torch.Tensor", shift: "torch.Tensor") -> "torch.Tensor":
    """(m, m), (m, k) and (s, 1, 1) to (s, m, k)."""
    import torch

    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    factors = torch.linalg.cholesky(gram + shift * eye)
    return torch.cholesky_solve(right.expand(len(shift), *right.shape), factors)
