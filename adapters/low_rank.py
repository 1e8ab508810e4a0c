"""Low-rank changes of linear layers: W + (alpha/rank)·B·A, with W as it was.

layers_of(network) -> the layers to change -> attach (B = 0: nothing changes yet) -> trained -> merge (plain again)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from adapters.errors import RequirementMissing
from models.tuning import ATTENTION

if TYPE_CHECKING:
    import torch

Targets = Literal["qv", "all"]
_TRANSPOSED = "Conv1D"
"""transformers' linear layer with weights (in, out)."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Low-rank changes of the layers of one network.

    Attributes:
        rank: r.
        alpha: The change is (alpha/r)·B·A.
        a: (r, in) float32 of each layer, by its path in the network.
        b: (out, r) float32 of each layer, by the same paths.
        transposed: Whether the layers hold weights (in, out).
    """

    rank: int
    alpha: float
    a: Mapping[str, npt.NDArray[np.float32]]
    b: Mapping[str, npt.NDArray[np.float32]]
    transposed: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Of the layers."""
        return tuple(self.a)


def layers_of(trunk: "torch.nn.Module") -> "dict[str, torch.nn.Module]":
    """Linear layers that an embedding depends on, by their path in the network as its library names it."""
    import torch

    learned = {id(parameter) for parameter in trunk.parameters()}
    # The output layer inside torch's own attention is of a class of its own and is never called.
    return {
        path: module
        for path, module in _named(trunk)
        if (type(module) is torch.nn.Linear or type(module).__name__ == _TRANSPOSED) and id(module.weight) in learned
    }


def chosen(layers: "Mapping[str, torch.nn.Module]", targets: Targets, backbone: str) -> tuple[str, ...]:
    """Paths of those layers that are changed.

    Args:
        layers: See `layers_of`.
        targets: ``qv`` queries and values of attention, ``all`` every one.
        backbone: For the message.

    Raises:
        RequirementMissing: There are none.
    """
    paths = tuple(path for path in layers if targets == "all" or path.rpartition(".")[2] in ATTENTION)
    if not paths:
        what = "linear layers" if targets == "all" else "queries and values of attention"
        other = '"targets": "all" or \'last_k\'' if targets == "qv" and layers else "'last_k'"
        raise RequirementMissing(
            f"'lora' changes {what}, and {backbone!r} has none that its embedding depends on: a network of "
            f"convolutions has other weights. Use {other}, which trains what there is."
        )
    return paths


def fresh(layers: "Mapping[str, torch.nn.Module]", paths: Sequence[str], rank: int, alpha: float, seed: int) -> Tables:
    """Tables that change nothing yet: A uniform in ±1/√in, B zero."""
    rng = np.random.default_rng(seed)
    a, b = {}, {}
    for path in paths:
        wide, tall = width_of(layers[path])
        a[path] = rng.uniform(-1, 1, (rank, wide)).astype(np.float32) / np.sqrt(np.float32(wide))
        b[path] = np.zeros((tall, rank), np.float32)
    return Tables(rank, alpha, a, b, any(_transposed(layers[path]) for path in paths))


def width_of(layer: "torch.nn.Module") -> tuple[int, int]:
    """Numbers in and out of a linear layer."""
    tall, wide = layer.weight.shape  # type: ignore[misc]
    return (int(tall), int(wide)) if _transposed(layer) else (int(wide), int(tall))


def attach(trunk: "torch.nn.Module", tables: Tables) -> "torch.nn.Module":
    """Let the layers of a network add their changes; these alone become parameters to be trained."""
    import torch

    class Change(torch.nn.Module):
        def __init__(self, a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> None:
            super().__init__()
            self.a, self.b = (torch.nn.Parameter(torch.from_numpy(table.copy())) for table in (a, b))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ self.a.T) @ self.b.T * (tables.alpha / tables.rank)

    layers = layers_of(trunk)
    changes = torch.nn.ModuleList(Change(tables.a[path], tables.b[path]) for path in tables.paths)
    hooks = [
        layers[path].register_forward_hook(lambda _layer, args, out, change=change: out + change(args[0]))
        for path, change in zip(tables.paths, changes, strict=True)
    ]
    trunk.changes, trunk.hooks = changes, hooks  # type: ignore[assignment]
    return trunk


def merge(trunk: "torch.nn.Module", tables: Tables) -> Tables:
    """Add the changes to the weights, so that the network is a plain one again.

    Args:
        trunk: As `attach` left it, perhaps trained.
        tables: What was attached.

    Returns:
        The tables as they were trained.
    """
    import torch

    parts: Any = trunk
    for hook in parts.hooks:
        hook.remove()
    a = {path: change.a.detach().cpu().numpy() for path, change in zip(tables.paths, parts.changes, strict=True)}
    b = {path: change.b.detach().cpu().numpy() for path, change in zip(tables.paths, parts.changes, strict=True)}
    del parts.hooks, parts.changes
    layers: dict[str, Any] = dict(layers_of(trunk))
    with torch.no_grad():
        for path in tables.paths:
            change = torch.from_numpy(tables.alpha / tables.rank * (b[path].astype(np.float64) @ a[path]))
            weight = layers[path].weight
            weight.copy_(weight.double() + (change.T if _transposed(layers[path]) else change))
    return Tables(tables.rank, tables.alpha, a, b, tables.transposed)


def _named(trunk: "torch.nn.Module") -> "Iterator[tuple[str, torch.nn.Module]]":
    """Every module by its path in the network, also those that are registered in another place (`held`)."""
    network: Any = getattr(trunk, "network", trunk)
    for name, module in network.named_modules():
        held = vars(module).get("held")
        if held is None:
            yield name, module
            continue
        for inner, part in held.named_modules():
            yield ".".join(filter(None, (name, inner))), part


def _transposed(layer: "torch.nn.Module") -> bool:
    return type(layer).__name__ == _TRANSPOSED
