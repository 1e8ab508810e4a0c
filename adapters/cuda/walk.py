"""Walks of limited-memory BFGS in step with each other.

A walk's direction is a combination of its last steps and gradients. Their inner products are kept on the host, where
the recursion over them costs nothing, so that an iteration is some forty launches and two transfers of a few numbers.

Source: Chen, Wang & Zhou, Large-scale L-BFGS using MapReduce, NIPS 2014.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from adapters.base import F64
from adapters.cuda.batch import Batch

if TYPE_CHECKING:
    import torch

_MEMORY = 10
_SHORTEST_STEP = 1e-6
_ARMIJO = 1e-4


@dataclass(eq=False)
class Walk:
    """b walks of L-BFGS in step with each other; m pairs are remembered.

    Attributes:
        batch: What is minimised.
        point: (b, p) where they are.
        value: (b,) there.
        known: (b, 2m + 1, p) the last steps, the changes of the gradient along them, and the gradient now.
        products: (b, 2m + 1, 2m + 1) inner products of `known`.
        order: Places of the pairs in `known`, oldest first.
        goal: (b,) lengths of the gradient to reach.
        active: (b,) bool: walks that have not ended.
    """

    batch: Batch
    point: "torch.Tensor"
    value: F64
    known: "torch.Tensor"
    products: F64
    order: list[int]
    goal: F64
    active: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, batch: Batch, tolerance: float) -> Self:
        """At the priors."""
        import torch

        b, d, k = batch.weight.shape
        _, *slopes = batch.losses(torch.zeros_like(batch.weight), torch.zeros_like(batch.bias))
        at_zero = batch.scaled(*slopes).flatten(1).norm(dim=1).double().cpu().numpy()
        point = torch.zeros(b, (d + 1) * k, device=batch.x.device)
        value, slope = batch.at(point.view(b, d + 1, k))
        known = torch.zeros(b, 2 * _MEMORY + 1, point.shape[1], device=point.device)
        known[:, -1] = slope.flatten(1)
        # Where the rows say nothing, the gradient is rounding and no measure of anything.
        goal = np.maximum(tolerance * at_zero, np.finfo(np.float32).eps * len(batch.x))
        products = np.zeros((b, 2 * _MEMORY + 1, 2 * _MEMORY + 1))
        walk = cls(batch, point, value, known, products, [], goal, np.ones(b, dtype=np.bool_))
        walk._learn(-1)
        return walk

    def step(self) -> None:
        """One iteration of every walk that has not ended."""
        import torch

        mix, slope = self._directions()
        direction = torch.bmm(torch.as_tensor(mix[:, None], dtype=torch.float32, device=self.point.device), self.known)[
            :, 0
        ]
        length = np.where(self.active, 1.0, 0.0)
        slack = 4 * float(np.finfo(np.float32).eps) * np.abs(self.value)
        shape = (len(self.value), -1, self.batch.bias.shape[1])
        while True:
            steps = torch.as_tensor(length[:, None], dtype=torch.float32, device=self.point.device) * direction
            value, gradient = self.batch.at((self.point + steps).view(shape))
            short = ~(value <= self.value + _ARMIJO * length * slope + slack) & (length > 0)
            if not short.any():
                break
            length[short] /= 2
            length[length < _SHORTEST_STEP] = 0.0
        # A walk that cannot descend is as low as float32 can tell.
        self.active &= length > 0
        place = self.order.pop(0) if len(self.order) == _MEMORY else len(self.order)
        moved = torch.as_tensor(length > 0, device=self.point.device)[:, None]
        self.known[:, place] = steps
        self.known[:, _MEMORY + place] = torch.where(moved, gradient.flatten(1) - self.known[:, -1], 0.0)
        self.known[:, -1] = torch.where(moved, gradient.flatten(1), self.known[:, -1])
        self.point = self.point + steps
        self.value = np.where(length > 0, value, self.value)
        self.order.append(place)
        self._learn(place)

    def _learn(self, place: int) -> None:
        """Inner products with what is new: the pair at a place, and the gradient."""
        import torch

        new = [-1] if place < 0 else [place, _MEMORY + place, 2 * _MEMORY]
        found = torch.bmm(self.known, self.known[:, new].transpose(1, 2)).double().cpu().numpy()
        self.products[:, :, new] = found
        self.products[:, new, :] = found.transpose(0, 2, 1)
        self.active &= np.sqrt(np.maximum(self.products[:, -1, -1], 0)) > self.goal

    def _directions(self) -> tuple[F64, F64]:
        """The two-loop recursion on inner products: shares (b, 2m + 1) of `known`, and slopes (b,) along them.

        A walk without a usable pair goes down its gradient, by a length of one at most.
        """
        b = len(self.value)
        mix = np.zeros((b, 2 * _MEMORY + 1))
        mix[:, -1] = -1.0
        bent = {i: self.products[:, i, _MEMORY + i] for i in self.order}
        inverse = {i: np.where(bent[i] > 0, 1 / np.where(bent[i] > 0, bent[i], 1.0), 0.0) for i in self.order}
        shares: dict[int, F64] = {}
        for i in reversed(self.order):
            shares[i] = inverse[i] * np.einsum("bj,bj->b", mix, self.products[:, :, i])
            mix[:, _MEMORY + i] -= shares[i]
        scale = 1 / np.maximum(1.0, np.sqrt(np.maximum(self.products[:, -1, -1], 0)))
        for i in self.order:
            squared = self.products[:, _MEMORY + i, _MEMORY + i]
            scale = np.where(bent[i] > 0, bent[i] / np.where(squared > 0, squared, 1.0), scale)
        mix *= scale[:, None]
        for i in self.order:
            mix[:, i] += shares[i] - inverse[i] * np.einsum("bj,bj->b", mix, self.products[:, :, _MEMORY + i])
        return mix, np.einsum("bj,bj->b", mix, self.products[:, :, -1])
