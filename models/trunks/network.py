"""A pretrained network in memory, and the module that computes one tap of it.

pooled     inputs -> network -> pooling (-> L2 norm)   -> (n, d)
block<k>   inputs -> network up to block k, as it is   -> (n, t, d) or (n, d, h, w)
blocks     inputs -> network -> the mean over tokens or places behind each block, then pooled -> (n, D)
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import SourceRefused
from models.export import Case, Inputs
from models.tuning import ATTENTION

if TYPE_CHECKING:
    import torch

POOLED = "pooled"
BLOCKS = "blocks"
BLOCK_OUTPUT = "hidden_states"
_BLOCK = re.compile(r"block([1-9][0-9]*)")
_NAMED_KEYS = 4


@dataclass(frozen=True)
class Network:
    """A pretrained network in memory, and how an embedding is read from it.

    Attributes:
        architecture: As transformers or timm call it.
        module: Everything that has weights.
        embed: The inputs' tensors -> (n, d) float32, before normalisation.
        blocks: What it repeats, first to last: a tap lies behind each.
        inputs: What its graphs take.
        output: Name of the embedding in the graph.
        pooling: How hidden states become one embedding, in one word.
        normalise: Whether the embedding is brought to unit length.
        recipe: What is done to an item before the graph, for `Card.recipe`.
        missing: Tensors that the weights lack, by name: random numbers, which no tap may depend on.
        max_tokens: Longest text in tokens; None where it has no meaning.
    """

    architecture: str
    module: "torch.nn.Module"
    embed: "Callable[..., torch.Tensor]"
    blocks: "Sequence[torch.nn.Module]"
    inputs: Inputs
    output: str
    pooling: str
    normalise: bool
    recipe: Mapping[str, Any]
    missing: "Mapping[str, torch.Tensor]" = field(default_factory=dict)
    max_tokens: int | None = None


def tap_module(network: Network, tap: str) -> "torch.nn.Module":
    """The module of one tap, in evaluation mode: takes the inputs by position, returns one tensor.

    Raises:
        SourceRefused: There is no such tap.
    """
    import torch

    read = _reader(network, tap)

    class Tap(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.module

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return read(*inputs)

    return Tap().eval()


def check_runs(network: Network) -> None:
    """Run it once on its own inputs.

    Raises:
        SourceRefused: It does not take them: images of another size than its position embeddings are for, ...
    """
    import torch

    try:
        with torch.inference_mode():
            network.embed(*tensors(network.inputs.cases[0]))
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        sizes = ", ".join(str(array.shape) for array in network.inputs.cases[0])
        raise SourceRefused(
            f"{network.architecture} does not take inputs of shape {sizes}: {str(error)[:300]} "
            "Choose the size that its weights are for."
        ) from error


def check_filled(network: Network, module: "torch.nn.Module") -> None:
    """Make sure that a tap depends on nothing that the weights lack.

    Raises:
        SourceRefused: It does; the message names some of what is missing.
    """
    import torch

    if not network.missing:
        return
    parameters = {name: tensor for name, tensor in network.missing.items() if tensor.requires_grad}
    wanted = set(network.missing) - set(parameters)
    if parameters:
        total = module(*tensors(network.inputs.cases[0])).sum()
        gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
        wanted |= {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    if wanted:
        raise SourceRefused(
            f"The weights do not fill a {network.architecture}: {listed(wanted)} missing. They belong to another "
            "architecture or to a file cut short; fetch them again, or name the architecture that they are for."
        )


def listed(names: "set[str]") -> str:
    """Some names, in order, and how many more there are."""
    shown = sorted(names)[:_NAMED_KEYS]
    more = f" and {len(names) - len(shown)} more are" if len(names) > len(shown) else (" is", " are")[len(names) > 1]
    return ", ".join(shown) + more


def tensors(case: Case) -> "list[torch.Tensor]":
    """The arrays of a case, as torch takes them."""
    import torch

    return [torch.from_numpy(np.ascontiguousarray(array)) for array in case]


def longest_list(module: "torch.nn.Module") -> "list[torch.nn.Module]":
    """What a network repeats: of its lists of modules the one with the most weights, the outermost of those.

    Returns:
        The blocks; empty where it has no list.
    """
    import torch

    lists = [part for part in module.modules() if isinstance(part, torch.nn.ModuleList) and len(part)]
    counts = [weight_count(part) for part in lists]
    return list(lists[counts.index(max(counts))]) if lists else []


def with_projection(tower: "torch.nn.Module", model: "torch.nn.Module", name: str) -> "torch.nn.Module":
    """A tower and, where a two-tower network has one behind it, the projection that brings it beside the other."""
    import torch

    projection = getattr(model, name, None)
    return tower if projection is None else torch.nn.ModuleList([tower, projection])


def attends(module: "torch.nn.Module") -> bool:
    """Whether a network has attention, by the names of its parts."""
    return any(name.rpartition(".")[2] in ATTENTION for name, _ in module.named_modules())


def weight_count(module: "torch.nn.Module", missing: "Iterable[torch.Tensor]" = ()) -> int:
    """Numbers that were learned, without tensors that the weights lack."""
    left_out = {id(tensor) for tensor in missing}
    return sum(parameter.numel() for parameter in module.parameters() if id(parameter) not in left_out)


def block_name(index: int) -> str:
    """Tap behind a block, counted from 1."""
    return f"block{index}"


def parts_of(network: Network) -> dict[str, int]:
    """What stands behind one another at the tap ``blocks``: name and width, in order.

    Raises:
        SourceRefused: There is no such tap.
    """
    import torch

    read, inputs = _means(network), tensors(network.inputs.cases[0])
    with torch.inference_mode():
        widths = [part.shape[1] for part in read(*inputs)]
    names = [block_name(index) for index in range(1, len(widths))]
    return dict(zip([*names, POOLED], widths, strict=True))


def _reader(network: Network, tap: str) -> "Callable[..., torch.Tensor]":
    import torch

    if tap == POOLED:
        return _pooled(network)
    if tap == BLOCKS:
        read = _means(network)
        return lambda *inputs: torch.cat(read(*inputs), dim=1)
    return _behind(network, _block(network, tap))


def _pooled(network: Network) -> "Callable[..., torch.Tensor]":
    import torch

    if not network.normalise:
        return network.embed
    return lambda *inputs: torch.nn.functional.normalize(network.embed(*inputs), dim=-1)


def _block(network: Network, tap: str) -> "torch.nn.Module":
    matched = _BLOCK.fullmatch(tap)
    count = len(network.blocks)
    if matched is None or int(matched[1]) > count:
        taps = f"{POOLED}, {BLOCKS} and block1 to block{count}" if count else f"{POOLED} only"
        raise SourceRefused(f"There is no tap {tap!r}: {network.architecture} has {taps}.")
    return network.blocks[int(matched[1]) - 1]


def _behind(network: Network, block: "torch.nn.Module") -> "Callable[..., torch.Tensor]":
    return lambda *inputs: _run(network, [block], *inputs)[0][-1]


def _run(
    network: Network, blocks: "Sequence[torch.nn.Module]", *inputs: "torch.Tensor"
) -> "tuple[list[torch.Tensor], torch.Tensor]":
    """What blocks give, in the order in which they are run, and the embedding."""
    seen: list[Any] = []
    hooks = [block.register_forward_hook(lambda _module, _args, output: seen.append(output)) for block in blocks]
    try:
        z = _pooled(network)(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return [output[0] if isinstance(output, tuple) else output for output in seen], z


def _means(network: Network) -> "Callable[..., list[torch.Tensor]]":
    """The inputs -> for each block (n, width), the mean of its states; then the embedding.

    The mean is over real tokens where a text's states are as many as its tokens; else over all of them, or all places.

    Raises:
        SourceRefused: The network repeats nothing, or its blocks are not run once each.
    """
    import torch

    def states_of(case: Case) -> list[torch.Tensor]:
        with torch.inference_mode():
            return _run(network, network.blocks, *tensors(case))[0]

    states = states_of(network.inputs.cases[0])
    if not states or len(states) != len(network.blocks):
        raise SourceRefused(
            f"There is no tap {BLOCKS!r}: {network.architecture} has no blocks that it runs once each. Take {POOLED!r}."
        )
    masked = len(network.inputs.names) > 1 and states[0].shape[1:2] == network.inputs.cases[0][1].shape[1:]

    def mean(states: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
        if states.ndim > 3:
            return states.flatten(2).mean(2)
        if not masked:
            return states.mean(1)
        weight = mask[0].unsqueeze(-1).to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1).clamp(min=1.0)

    def read(*inputs: torch.Tensor) -> list[torch.Tensor]:
        seen, z = _run(network, network.blocks, *inputs)
        return [*(mean(states, *inputs[1:]) for states in seen), z]

    return read
