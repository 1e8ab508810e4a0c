"""The head that was trained together with a part of its backbone: an ONNX file from a tap inside to scores."""

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, I64, Head, Task
from adapters.errors import RequirementMissing
from adapters.examples import Examples
from adapters.torch_loop import Course, scores_of

if TYPE_CHECKING:
    import torch

    from models.tuning import Tuning

_PUBLIC = ("scores", "probabilities", "value", "temperature", "scaled_scores")
"""Names of what ends every head's graph."""


@dataclass(frozen=True, eq=False)
class TunedHead(Head):
    """scores = linear head (last blocks of the backbone (what its first blocks make of an item)).

    Attributes:
        scorer: The last blocks and the head, in evaluation mode on the CPU; not to be changed.
        tuning: The way into the backbone, and the items of the fit.
        k: Blocks that it holds, None for the whole network; see `Tuning.tap`.
        classes: c names; () for a regression.
        multilabel: Whether a row may have any number of classes.
        beside: Further files of a version, by name.
        course: How the epoch was chosen on held-out rows.
    """

    scorer: "torch.nn.Module"
    tuning: "Tuning"
    k: int | None
    classes: tuple[str, ...]
    multilabel: bool = False
    beside: dict[str, bytes] = field(default_factory=dict)
    course: Course | None = None

    @property
    def tap(self) -> str:
        """Where it takes over from the backbone: ``block4``, or ``input``."""
        return self.tuning.tap(self.k)

    def scores(self, z: F32) -> F32:
        """Not from embeddings.

        Raises:
            RequirementMissing: Always; see `scores_of`.
        """
        raise RequirementMissing(
            f"This head takes what the backbone holds at {self.tap!r}, not embeddings {z.shape}. Score the rows of a "
            "task, which name their items."
        )

    def scores_of(self, task: Task) -> F32:
        """(n, c) float32 scores of the rows' items."""
        return scores_of(self.scorer, Examples.of(replace(task, tuning=self.tuning, at=self._places(task)), self.k))

    def feed(self, task: Task) -> dict[str, npt.NDArray[Any]]:
        """The rows' items at the tap, padded to the longest of them."""
        return dict(self.tuning.batch(self.k, self._places(task).tolist()))

    def onnx(self, temperature: float) -> bytes:
        """See `Head.onnx`; the file's metadata holds `classes` as JSON. Inputs as `feed` gives them."""
        return answering(self._exported, self.classes, temperature, multilabel=self.multilabel)

    def files(self) -> dict[str, bytes]:
        """See `Head.files`."""
        return dict(self.beside)

    @cached_property
    def _exported(self) -> bytes:
        return self.tuning.export(self.scorer, self.k)

    def _places(self, task: Task) -> I64:
        if task.at is None:
            raise RequirementMissing(f"The rows name no items, and this head takes them at {self.tap!r}.")
        return task.at


def scorer_of(trunk: "torch.nn.Module", weight: F32, bias: F32) -> "torch.nn.Module":
    """A part of a backbone with a linear head behind it, called ``trunk`` and ``head``.

    Args:
        trunk: Returns (n, d) embeddings.
        weight: (c, d) of the head.
        bias: (c,) of the head.
    """
    import torch

    class Scorer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = trunk
            self.head = torch.nn.Linear(weight.shape[1], weight.shape[0])

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.trunk(*inputs))
            return scores

    scorer = Scorer().eval()
    with torch.no_grad():
        scorer.head.weight.copy_(torch.from_numpy(weight))
        scorer.head.bias.copy_(torch.from_numpy(bias))
    return scorer


def answering(onnx: bytes, classes: tuple[str, ...], temperature: float, *, multilabel: bool = False) -> bytes:
    """A graph of scores that ends as every head's does, see `Head.onnx`. The same graph gives the same bytes.

    Args:
        onnx: One output, (n, c) float32: scores, or the values of a regression.
        classes: c names, kept as JSON in the file's metadata under ``classes``; none for a regression.
        temperature: Positive; without effect on a regression.
        multilabel: Whether a row may have any number of classes.
    """
    import onnx as library
    from onnx import helper, numpy_helper

    model = library.load_from_string(onnx)
    graph, width = model.graph, max(1, len(classes))
    _rename(graph, graph.output[0].name, "scores" if classes else "value")
    del graph.output[:]
    if classes:
        squash: dict[str, Any] = {"op_type": "Sigmoid"} if multilabel else {"op_type": "Softmax", "axis": -1}
        graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), "temperature"))
        graph.node.append(helper.make_node("Div", ["scores", "temperature"], ["scaled_scores"]))
        graph.node.append(helper.make_node(inputs=["scaled_scores"], outputs=["probabilities"], **squash))
    outputs = ("scores", "probabilities") if classes else ("value",)
    float32 = library.TensorProto.FLOAT
    graph.output.extend(helper.make_tensor_value_info(name, float32, ["n", width]) for name in outputs)
    helper.set_model_props(model, {"classes": json.dumps(list(classes), ensure_ascii=False)})
    library.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _rename(graph: Any, old: str, new: str) -> None:
    """Give a graph's result its public name, and what has a name that is needed another one."""
    names = {name: f"{name}_inside" for name in _PUBLIC} | {old: new}
    for node in graph.node:
        for listed in (node.input, node.output):
            listed[:] = [names.get(name, name) for name in listed]
    for entry in (*graph.initializer, *graph.value_info):
        entry.name = names.get(entry.name, entry.name)
