"""The losses of many logistic regressions on the same rows, and their gradients, on one device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from adapters.base import F32, F64, I64, Mask
from adapters.lbfgs import Aim

if TYPE_CHECKING:
    import torch

_MOST_SCORES = 2**27
"""Scores held at once, of all problems: 0.5 GB in float32, and about four times that with what is made of them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """b losses on the same rows. A point (b, d + 1, k) is how far θ is from the prior, in units that bend alike.

    With A = Σ wxxᵀ/(2k) + p·I = LLᵀ the weights are W₀ + (L⁻ᵀ·point)ᵀ: along all of its coordinates the loss bends
    about alike, which spares iterations as the eigenbasis does on a CPU, for a factorisation that a GPU is good at.

    Attributes:
        x: (n, d) centred rows.
        y: (n,) int64, or (n, k) float32 marks.
        weights: (n, b) of the rows.
        sides: (2, b, k) what a class counts without its mark and with it, or None.
        weight: (b, d, k) W₀.
        bias: (b, k) b₀.
        penalty: (b, 1, 1) p.
        tied: (b, k) pull of the biases, p included.
        free: (k,) 1.0, or 0.0 for a class that is held.
        units: (b, d, d) L⁻ᵀ.
        bias_unit: (b, 1) the same for the biases.
        check: See `solve`.
    """

    x: "torch.Tensor"
    y: "torch.Tensor"
    weights: "torch.Tensor"
    sides: "torch.Tensor | None"
    weight: "torch.Tensor"
    bias: "torch.Tensor"
    penalty: "torch.Tensor"
    tied: "torch.Tensor"
    free: "torch.Tensor"
    units: "torch.Tensor"
    bias_unit: "torch.Tensor"
    check: Callable[[], None]

    @classmethod
    def of(
        cls,
        z: F32,
        y: I64 | Mask,
        mean: F64,
        problems: Sequence[tuple[Aim, float]],
        device: "torch.device",
        check: Callable[[], None],
    ) -> Self:
        """Bring everything to the device and factorise there, in float64."""
        import torch

        def bring(values: list[F64]) -> torch.Tensor:
            # Neighbours share their arrays: only what differs is copied.
            known = {id(value): torch.tensor(value, dtype=torch.float32, device=device) for value in values}
            return torch.stack([known[id(value)] for value in values])

        aims = [aim for aim, _ in problems]
        x = (torch.tensor(z, device=device) - torch.tensor(mean, device=device)).float()
        weights, penalty = bring([aim.weights for aim in aims]), torch.tensor([p for _, p in problems], device=device)
        curvature = {id(aim): _curvature(x, weights[i], aim) for i, aim in enumerate(aims)}
        bent = torch.stack([curvature[id(aim)] for aim in aims])
        bent += penalty.double()[:, None, None] * torch.eye(x.shape[1], dtype=torch.float64, device=device)
        lower = torch.linalg.cholesky(bent)
        inverse = torch.linalg.solve_triangular(
            lower, torch.eye(len(mean), dtype=torch.float64, device=device), upper=False
        )
        tied = bring([aim.tied for aim in aims]) * penalty[:, None]
        flat = weights.sum(dim=1, keepdim=True) / (2 * len(aims[0].bias))
        sides = [aim.sides for aim in aims if aim.sides is not None]
        if 0 < len(sides) < len(aims):
            sides = [np.ones((2, len(aim.bias))) if aim.sides is None else aim.sides for aim in aims]
        return cls(
            x=x,
            y=torch.tensor(y, device=device, dtype=torch.int64 if y.ndim == 1 else torch.float32),
            weights=weights.T.contiguous(),
            sides=bring(sides).transpose(0, 1) if sides else None,
            weight=bring([aim.weight for aim in aims]).transpose(1, 2),
            bias=bring([aim.bias for aim in aims]),
            penalty=penalty.float()[:, None, None],
            tied=tied,
            free=torch.tensor(~aims[0].held, device=device).float(),
            units=inverse.transpose(1, 2).float(),
            bias_unit=flat.rsqrt(),
            check=check,
        )

    def theta(self, point: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """How far the weights (b, d, k) and biases (b, k) of a point are from the prior."""
        return self.units @ point[:, :-1], self.bias_unit * point[:, -1]

    def at(self, point: "torch.Tensor") -> "tuple[F64, torch.Tensor]":
        """Values (b,) and gradients (b, d + 1, k) of all problems."""
        moved, shift = self.theta(point)
        losses, weight_slope, bias_slope = self.losses(self.weight + moved, self.bias + shift)
        pulled, tied = self.penalty * moved, self.tied * shift
        values = losses + ((pulled * moved).sum(dim=(1, 2)) + (tied * shift).sum(dim=1)).double() / 2
        slopes = self.scaled(weight_slope + pulled, bias_slope + tied)
        return values.cpu().numpy(), slopes

    def scaled(self, weight_slope: "torch.Tensor", bias_slope: "torch.Tensor") -> "torch.Tensor":
        """Gradients in weights (b, d, k) and biases (b, k) to gradients in the point."""
        import torch

        slopes = [self.units.transpose(1, 2) @ weight_slope, (self.bias_unit * bias_slope)[:, None]]
        return torch.cat(slopes, dim=1) * self.free

    def losses(self, weight: "torch.Tensor", bias: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
        """Cross entropies (b,) float64 of weights (b, d, k) and biases (b, k), with their gradients."""
        import torch

        b, d, k = weight.shape
        together = weight.transpose(0, 1).reshape(d, b * k)
        losses = torch.zeros(b, dtype=torch.float64, device=weight.device)
        weight_slope, bias_slope = torch.zeros_like(together), torch.zeros_like(bias)
        size = max(1, _MOST_SCORES // (b * k))
        for rows in (slice(first, first + size) for first in range(0, len(self.x), size)):
            self.check()
            scores = (self.x[rows] @ together).view(-1, b, k) + bias
            by_row, slopes = self._marked(scores, rows) if self.y.ndim == 2 else self._one_of_them(scores, rows)
            losses += (by_row * self.weights[rows]).sum(dim=0, dtype=torch.float64)
            slopes *= self.weights[rows][..., None]
            weight_slope += self.x[rows].T @ slopes.view(-1, b * k)
            bias_slope += slopes.sum(dim=0)
        return losses, weight_slope.view(d, b, k).transpose(0, 1), bias_slope

    def _one_of_them(self, scores: "torch.Tensor", rows: slice) -> "tuple[torch.Tensor, torch.Tensor]":
        """Softmax losses (m, b) of scores (m, b, k), and their derivatives."""
        import torch

        own = self.y[rows][:, None, None].expand(-1, scores.shape[1], 1)
        total = torch.logsumexp(scores, dim=2, keepdim=True)
        losses = (total - scores.gather(2, own))[..., 0]
        slopes = torch.exp(scores - total)
        return losses, slopes.scatter_add_(2, own, torch.full_like(total, -1.0))

    def _marked(self, scores: "torch.Tensor", rows: slice) -> "tuple[torch.Tensor, torch.Tensor]":
        """Sums (m, b) of the classes' sigmoid losses of scores (m, b, k), and their derivatives."""
        import torch

        marks = self.y[rows][:, None]
        losses = torch.nn.functional.softplus(scores) - marks * scores
        slopes = torch.sigmoid(scores) - marks
        if self.sides is not None:
            counts = torch.where(marks > 0, self.sides[1], self.sides[0])
            losses, slopes = losses * counts, slopes * counts
        return losses.sum(dim=2), slopes

    def solutions(self, point: "torch.Tensor") -> list[tuple[F64, F64]]:
        """Weights (k, d) and scores at the mean (k,) of every problem, on the host."""
        moved, shift = self.theta(point.view(len(self.bias), -1, self.bias.shape[1]))
        weight = (self.weight + moved).transpose(1, 2).double().cpu().numpy()
        bias = (self.bias + shift).double().cpu().numpy()
        return list(zip(weight, bias, strict=True))


def _curvature(x: "torch.Tensor", weights: "torch.Tensor", aim: Aim) -> "torch.Tensor":
    """(d, d) float64: about how the loss bends; see `adapters.problem`."""
    rows = x * (weights / (2 * len(aim.bias))).sqrt()[:, None]
    return (rows.T @ rows).double()
