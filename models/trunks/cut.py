"""A network cut behind one of its blocks: the part behind the cut, as a torch module to be trained.

    block<m>'s output -> [the network, its blocks up to m doing nothing, block m giving that output] -> embedding

The network runs as it is, from inputs that cost next to nothing; so whatever its makers do between and behind the
blocks (masks, norms, pooling, projections) is done. What leads up to the cut is dead code, which an export drops.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch

from models.errors import SourceRefused
from models.export import TOLERANCE, largest_difference
from models.feeds import MASK
from models.trunks.network import POOLED, Network, tap_module, tensors

_LARGE_TABLE = 4096
"""Rows from which a table that nothing behind the cut needs is left out."""


@dataclass
class _Given:
    """What the caller gave in the place of a block's output, for the duration of one run."""

    states: torch.Tensor | None = None


class _Elsewhere(torch.nn.Module):
    """Stands in a network for a block that is registered in another place, so that its weights have one name."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.__dict__["held"] = block  # a plain attribute: no child

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "held" not in self.__dict__:
                raise
            return getattr(self.__dict__["held"], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the block gives."""
        return self.__dict__["held"](*args, **kwargs)


class _PassedOver(_Elsewhere):
    """Stands for a block before the cut: gives what it is given, or what the caller gave."""

    def __init__(self, block: torch.nn.Module, given: _Given | None, outputs: int) -> None:
        super().__init__(block.to("meta"))  # without its weights
        self.given = given
        self.outputs = outputs

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Hidden states, alone or first in a tuple, as the block would."""
        states = self.given.states if self.given else args[0] if args else kwargs["hidden_states"]
        return (states, *[None] * (self.outputs - 1)) if self.outputs else states


class _Read:
    """A network's `embed`: plain functions over its parts, which a copy must hold copies of."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        self.function = function

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Read":
        return _Read(_copied(self.function, memo))

    def move(self, move: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Move the plain tensors that the functions hold, as a module moves its own."""
        _move(self.function, move)


def _move(function: Callable[..., Any], move: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for cell in getattr(function, "__closure__", None) or ():
        held = cell.cell_contents
        if isinstance(held, torch.Tensor):
            cell.cell_contents = move(held)
        elif isinstance(held, FunctionType):
            _move(held, move)


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """`deepcopy` that also copies what a function holds."""
    if isinstance(value, ModuleType):
        return value
    if not isinstance(value, FunctionType) or value.__closure__ is None:
        return deepcopy(value, memo)
    cells = tuple(CellType(_copied(cell.cell_contents, memo)) for cell in value.__closure__)
    return FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, cells)


class Tail(torch.nn.Module):
    """The last blocks of a network and all behind them, or all of it. `copy.deepcopy` gives an independent one.

    Attributes:
        blocks: The blocks that are left, by their place in the network, from 0.
        network: What is behind them (and, without weights to be trained, what is before).
    """

    def __init__(self, network: Network, given: _Given, kept: Mapping[int, torch.nn.Module]) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleDict({str(index): block for index, block in kept.items()})
        self.network = network.module
        self.read = _Read(network.embed)
        self.given = given
        self.normalise = network.normalise

    def embedding(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The network's own inputs -> (n, d)."""
        z = self.read(*inputs)
        return torch.nn.functional.normalize(z, dim=-1) if self.normalise else z

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(n, d) from the network's own inputs."""
        return self.embedding(*inputs)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "Tail":
        """What ``.to`` and ``.cuda`` do to each tensor."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.read.move(fn)
        return self


class _TextTail(Tail):
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(n, d) from hidden states (n, t, d) and the mask (n, t); without it where all texts have one length."""
        states, *masks = inputs
        mask = masks[0] if masks else torch.ones(states.shape[0], 1, dtype=torch.int64, device=states.device)
        return _given(self, states, torch.zeros_like(mask), mask)


class _ItemTail(Tail):
    stem: torch.Tensor

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(n, d) from hidden states; before the cut runs one small item."""
        return _given(self, inputs[0], self.stem)


def _given(tail: Tail, states: torch.Tensor, *inputs: torch.Tensor) -> torch.Tensor:
    tail.given.states = states
    try:
        return tail.embedding(*inputs)
    finally:
        tail.given.states = None


class _NoTable(_Elsewhere):
    """Stands for a table before the cut: zeros."""

    def __init__(self, table: torch.nn.Embedding) -> None:
        super().__init__(table.to("meta"))
        self.width = table.embedding_dim

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(..., d) zeros."""
        return torch.zeros((*ids.shape, self.width), device=ids.device)


def whole(network: Network) -> Tail:
    """All of a network, from its own inputs. The network itself is left as it is."""
    own = copied(network)
    for block in own.blocks:
        _replace(own.module, block, _Elsewhere(block))
    tail = Tail(own, _Given(), dict(enumerate(own.blocks)))
    _keep_trained(tail, tensors(network.inputs.cases[0]))
    return tail.eval()


def tail_behind(network: Network, after: int) -> Tail:
    """What lies behind a network's block. The network itself is left as it is.

    Args:
        network: In evaluation mode.
        after: The block, counted from 1.

    Returns:
        In evaluation mode; takes the block's states, and of texts the mask, and gives (n, d).

    Raises:
        SourceRefused: It does not compute the network's embedding from the block's states alone.
    """
    try:
        outputs = _outputs(network)
        tail = _tail(network, after, outputs)
        states, expected = _trial(network, after)
        mask = tensors(network.inputs.cases[0])[1:]
        _keep_trained(tail, [states, *mask])
        with torch.inference_mode():
            seen = tail.eval()(states, *mask)
    except SourceRefused:
        raise
    except Exception as error:  # whatever a foreign network raises where its blocks are left out
        raise uncuttable(network, after, f"{type(error).__name__}: {str(error)[:200]}") from error
    if not (difference := largest_difference(expected.numpy(), seen.numpy())) <= TOLERANCE:
        raise uncuttable(network, after, f"the embedding then differs by {difference:.1e}")
    return tail


def uncuttable(network: Network, after: int, why: str) -> SourceRefused:
    """The refusal of a cut."""
    return SourceRefused(
        f"{network.architecture} cannot be cut there: its blocks behind block {after} need more than that block's "
        f"output ({why}). Train the whole network, or a head alone."
    )


def copied(network: Network) -> Network:
    """A network with weights of its own."""
    memo: dict[int, Any] = {}
    module = deepcopy(network.module, memo)
    blocks = [deepcopy(block, memo) for block in network.blocks]
    return replace(network, module=module, blocks=blocks, embed=_copied(network.embed, memo), missing={})


def _tail(network: Network, after: int, outputs: Sequence[int]) -> Tail:
    own, given = copied(network), _Given()
    kept = dict(list(enumerate(own.blocks))[after:])
    for index, block in enumerate(own.blocks):
        before = given if index == after - 1 else None
        _replace(own.module, block, _Elsewhere(block) if index in kept else _PassedOver(block, before, outputs[index]))
    if MASK in network.inputs.names:
        return _TextTail(own, given, kept)
    tail = _ItemTail(own, given, kept)
    smallest = min((case[0][:1] for case in network.inputs.cases), key=lambda array: array.size)
    tail.register_buffer("stem", tensors((smallest,))[0], persistent=False)
    return tail


def _outputs(network: Network) -> list[int]:
    """Of each block, how many outputs it gives in a tuple; 0 = one tensor.

    Raises:
        SourceRefused: The blocks are not run once each, one behind another.
    """
    seen: list[tuple[int, int]] = []

    def note(index: int, output: Any) -> None:
        seen.append((index, len(output) if isinstance(output, tuple) else 0))

    hooks = [
        block.register_forward_hook(lambda _block, _args, output, index=index: note(index, output))
        for index, block in enumerate(network.blocks)
    ]
    try:
        with torch.inference_mode():
            network.embed(*tensors(network.inputs.cases[0]))
    finally:
        for hook in hooks:
            hook.remove()
    if [index for index, _ in seen] != list(range(len(network.blocks))):
        raise SourceRefused(
            f"{network.architecture} cannot be cut: its blocks are not run once each, one behind another. "
            "Train the whole network, or a head alone."
        )
    return [count for _, count in seen]


def _trial(network: Network, after: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A block's states and the embedding, of the first case."""
    inputs = tensors(network.inputs.cases[0])
    with torch.no_grad():
        return tap_module(network, f"block{after}")(*inputs), tap_module(network, POOLED)(*inputs)


def _replace(root: torch.nn.Module, old: torch.nn.Module, new: torch.nn.Module) -> None:
    for parent in list(root.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                parent._modules[name] = new


def _keep_trained(tail: Tail, inputs: Sequence[torch.Tensor]) -> None:
    """Leave as parameters what the embedding depends on and was learned; the rest become plain tensors."""
    learned = [parameter for parameter in tail.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(tail.eval()(*inputs).sum(), learned, allow_unused=True)
    used = {id(one) for one, gradient in zip(learned, gradients, strict=True) if gradient is not None}
    for module in list(tail.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in used:
                del module._parameters[name]
                module.register_buffer(name, parameter.detach(), persistent=False)
    for module in list(tail.modules()):
        if isinstance(module, torch.nn.Embedding) and not _trained(module) and module.num_embeddings > _LARGE_TABLE:
            _replace(tail, module, _NoTable(module))


def _trained(module: torch.nn.Module) -> bool:
    return next(module.parameters(), None) is not None
