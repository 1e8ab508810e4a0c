"""The ONNX file of an average: every member's graph, and what joins them.

embedding -> columns of each member -> its own graph -> its labels' places -> Σ share · inner -> outer -> scores
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from adapters.base import F32, TaskKind
from adapters.ensembles.members import Member
from adapters.ensembles.pool import FLOOR, LEAST, MOST, Of
from adapters.ensembles.running import EMBEDDING
from adapters.graphs import Graph
from models.errors import ExportFailed

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""Of ONNX's operations, at least."""


@dataclass(frozen=True, eq=False)
class Joined:
    """A member in the graph.

    Attributes:
        member: Which.
        place: (k', k) float32; see `members.placement`.
        portion: (k,) float32: its share in each class.
    """

    member: Member
    place: F32
    portion: F32


def ensemble_graph(
    joined: Sequence[Joined], kind: TaskKind, of: Of, classes: Sequence[str], width: int, temperature: float
) -> bytes:
    """The average of some files as one.

    Args:
        joined: The members.
        kind: What they answer.
        of: What is averaged.
        classes: k names, kept as JSON in the file's metadata under ``classes``; none for a regression.
        width: Of the embedding.
        temperature: Positive; without effect on a regression.

    Returns:
        An ONNX file: input ``embedding`` (n, width); outputs ``scores`` and ``probabilities`` (n, k), or for a
        regression ``value`` (n, 1). The same members and shares give the same bytes.

    Raises:
        ExportFailed: A member's operations cannot be brought to the newest version among them.
    """
    graph = _Joining("ensemble_head")
    files = _aligned([one.member.onnx for one in joined])
    embedding, terms = graph.input(EMBEDDING, np.float32, width), []
    for number, (one, file) in enumerate(zip(joined, files, strict=True)):
        _give(graph, one.member, embedding, width, number)
        graph.take(file, _prefix(number))
        terms.append(_term(graph, one, kind, of, number))
    mean = terms[0] if len(terms) == 1 else graph("Sum", *terms)
    scores = _OUTER[kind](graph, mean, "") if of == "probabilities" else mean
    regression, multilabel = kind is TaskKind.REGRESSION, kind is TaskKind.MULTILABEL
    graph.answer(scores, len(classes) or 1, temperature, regression=regression, multilabel=multilabel)
    return graph.to_bytes({"classes": list(classes)})


class _Joining(Graph):
    """A graph that can take in others."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._opsets: dict[str, int] = {"": OPSET}
        self._ir_version = 0

    def take(self, file: "ModelProto", prefix: str) -> None:
        """Add all of a file's graph, every name of it with a prefix: its inputs must be results by then."""
        from onnx.compose import add_prefix

        own = add_prefix(file, prefix, inplace=False)
        self._nodes.extend(own.graph.node)
        self._constants.extend(own.graph.initializer)
        self._ir_version = max(self._ir_version, file.ir_version)
        for entry in file.opset_import:
            self._opsets[entry.domain] = max(entry.version, self._opsets.get(entry.domain, 0))

    def to_bytes(self, metadata: Mapping[str, object]) -> bytes:
        """See `Graph.to_bytes`; of the versions of what was taken in."""
        from onnx import checker, helper

        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(self._opsets.items())]
        model = helper.make_model(graph, producer_name="graft", opset_imports=opsets)
        model.ir_version = self._ir_version
        helper.set_model_props(model, {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()})
        checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _aligned(files: Sequence[bytes]) -> "list[ModelProto]":
    """The files, all of the newest version of ONNX's operations that one of them has."""
    from onnx import load_from_string
    from onnx.version_converter import convert_version

    models = [load_from_string(file) for file in files]
    versions = [_version(model) for model in models]
    newest = max(OPSET, *versions)
    try:
        return [
            model if version == newest else convert_version(model, newest)
            for model, version in zip(models, versions, strict=True)
        ]
    except RuntimeError as error:
        raise ExportFailed(
            f"The versions are of ONNX operation sets {sorted(set(versions))}, and one cannot be brought to {newest}: "
            f"{error}. Fit it again."
        ) from error


def _version(model: "ModelProto") -> int:
    found: int = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return found


def _prefix(number: int) -> str:
    """Of all names of a member's graph."""
    return f"member_{number}/"


def _own(number: int) -> str:
    """Of names of what joins it, so that none is one of its own."""
    return f"join_{number}_"


def _give(graph: Graph, member: Member, embedding: str, width: int, number: int) -> None:
    """The member's columns of what callers send, called as its graph calls its input."""
    name = _prefix(number) + EMBEDDING
    if (member.first, member.behind) == (0, width):
        graph("Identity", embedding, name=name)
        return
    ends = (("first", member.first), ("behind", member.behind), ("axis", 1))
    constants = [graph.constant(_own(number) + end, np.array([value], np.int64)) for end, value in ends]
    graph("Slice", embedding, *constants, name=name)


def _term(graph: Graph, one: Joined, kind: TaskKind, of: Of, number: int) -> str:
    """Share · inner(answer), (n, k)."""
    prefix = _own(number)
    answer = _prefix(number) + ("value" if kind is TaskKind.REGRESSION else "probabilities")
    k = one.place.shape[1]
    if one.place.shape != (k, k) or not np.array_equal(one.place, np.eye(k)):
        answer = graph("MatMul", answer, graph.constant(prefix + "place", one.place))
    if of == "log_probabilities":
        answer = _OUTER[kind](graph, answer, prefix)
    return graph("Mul", answer, graph.constant(prefix + "portion", one.portion))


def _same(_graph: Graph, values: str, _prefix: str) -> str:
    return values


def _log(graph: Graph, p: str, prefix: str) -> str:
    return graph("Log", graph("Max", p, graph.constant(prefix + "floor", np.float32(FLOOR))))


def _odds(graph: Graph, p: str, prefix: str) -> str:
    ends = graph.constant(prefix + "least", np.float32(LEAST)), graph.constant(prefix + "most", np.float32(MOST))
    inside = graph("Clip", p, *ends)
    rest = graph("Sub", graph.constant(prefix + "one", np.float32(1)), inside)
    return graph("Log", graph("Div", inside, rest))


_OUTER: Mapping[TaskKind, Callable[[Graph, str, str], str]] = MappingProxyType(
    {TaskKind.CLASSIFICATION: _log, TaskKind.MULTILABEL: _odds, TaskKind.REGRESSION: _same}
)
"""What makes scores of probabilities; see `pool.Pool`."""
