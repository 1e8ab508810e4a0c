"""Heads: fitted functions from an embedding or a typed row to scores, and the table from which serving runs them."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.base import F32, Head, Task
from adapters.encoding import Encoding
from adapters.errors import RequirementMissing
from adapters.graphs import Activation, Graph, fourier_rest, head_graph, network_rest, row_graph, trunk_graph
from adapters.graphs.heads import GELU_CUBE, GELU_SCALE
from adapters.maps import FourierMap
from adapters.schema import Rows, Schema
from models.errors import ExportFailed, WeightsCorrupt

MAP_NAME = "map.safetensors"
"""File of a version: the map that its affine head stands on."""

TRUNK_NAME = "trunk.onnx"
"""File of a version: its hidden layer alone, which can be promoted to a backbone."""

_CHUNK_ROWS = 4096


class LayeredHead(Head):
    """A head on an embedding that begins with an affine layer, so that a row's encoding need not be written out.

    Attributes:
        classes: k names, in the order of the scores; () for a regression, whose one score is the value itself.
        multilabel: Whether a row may have any number of classes.
    """

    classes: tuple[str, ...]
    multilabel: bool

    @property
    @abstractmethod
    def first(self) -> tuple[F32, F32]:
        """Weight (m, d) and bias (m,) of the first layer."""

    def rest(self, graph: Graph, first: str) -> str:  # noqa: ARG002  # heads of more than one layer write to it
        """Write what follows the first layer; see `graphs.Rest`."""
        return first

    @property
    def affine(self) -> "AffineHead | None":
        """What serving keeps of it in its shared table (behind the map, where there is one); None where it cannot."""
        return None

    def onnx(self, temperature: float) -> bytes:
        """See `Head.onnx`; the file's metadata holds `classes` as JSON."""
        name = type(self).__name__.removesuffix("Head").lower() + "_head"
        return head_graph(name, *self.first, self.classes, temperature, multilabel=self.multilabel, rest=self.rest)


@dataclass(frozen=True)
class AffineHead(LayeredHead):
    """scores = z · weightᵀ + bias.

    Attributes:
        weight: (k, d) float32.
        bias: (k,) float32.
        classes: k names, in the order of the rows of `weight`; () for a regression, where k = 1 and the score is the
            value itself.
        multilabel: Whether a row may have any number of classes.
    """

    weight: F32
    bias: F32
    classes: tuple[str, ...]
    multilabel: bool = False

    @property
    def first(self) -> tuple[F32, F32]:
        """All of it."""
        return self.weight, self.bias

    @property
    def affine(self) -> "AffineHead":
        """Itself."""
        return self

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        return np.asarray(z @ self.weight.T + self.bias, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class MappedHead(LayeredHead):
    """An affine head on a fixed map of the embedding: a kernel machine.

    Attributes:
        map: From an embedding to features.
        head: From features to scores; serving keeps it in the shared head table, behind the map.
    """

    map: FourierMap
    head: AffineHead

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of `head`."""
        return self.head.classes

    @property
    def multilabel(self) -> bool:  # type: ignore[override]
        """That of `head`."""
        return self.head.multilabel

    @property
    def first(self) -> tuple[F32, F32]:
        """The frequencies of the map."""
        frequencies = self.map.frequencies
        return frequencies, np.zeros(len(frequencies), dtype=np.float32)

    def rest(self, graph: Graph, first: str) -> str:
        """Waves, and the head on them."""
        return fourier_rest(self.head.weight, self.head.bias)(graph, first)

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        return self.head.scores(self.map.apply(z))

    @property
    def affine(self) -> AffineHead:
        """The head on the features."""
        return self.head

    def files(self) -> dict[str, bytes]:
        """The map."""
        return {MAP_NAME: self.map.to_bytes()}


@dataclass(frozen=True, eq=False)
class NetworkHead(LayeredHead):
    """scores = head(activation(z · weightᵀ + bias)): a network with one hidden layer of h units.

    Attributes:
        weight: (h, d) float32.
        bias: (h,) float32.
        activation: Of the hidden units.
        head: From the units to scores.
    """

    weight: F32
    bias: F32
    activation: Activation
    head: AffineHead

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of `head`."""
        return self.head.classes

    @property
    def multilabel(self) -> bool:  # type: ignore[override]
        """That of `head`."""
        return self.head.multilabel

    @property
    def first(self) -> tuple[F32, F32]:
        """The hidden layer."""
        return self.weight, self.bias

    def rest(self, graph: Graph, first: str) -> str:
        """The units, and the head on them."""
        return network_rest(self.head.weight, self.head.bias, self.activation)(graph, first)

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        parts = [self._scores(z[first : first + _CHUNK_ROWS]) for first in range(0, len(z), _CHUNK_ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.head.bias)), dtype=np.float32)

    def _scores(self, z: F32) -> F32:
        return self.head.scores(activate(z @ self.weight.T + self.bias, self.activation))

    def files(self) -> dict[str, bytes]:
        """The hidden layer alone, see `graphs.trunk_graph`: what others can learn on."""
        return {TRUNK_NAME: trunk_graph(self.weight, self.bias, self.activation)}


def activate(inside: F32, activation: Activation) -> F32:
    """What hidden units make of their inputs (n, h)."""
    if activation == "relu":
        return np.maximum(inside, np.float32(0))
    # Products: a power of an array takes numpy twenty times as long.
    bent = np.float32(GELU_SCALE) * inside * (1 + np.float32(GELU_CUBE) * (inside * inside))
    result: F32 = np.float32(0.5) * inside * (1 + np.tanh(bent))
    return result


@dataclass(frozen=True, eq=False)
class RowHead(Head):
    """A head on the encoding of typed rows.

    Attributes:
        schema: The columns that it expects.
        encoding: What was learned of them.
        head: Scores of an encoded row.
    """

    schema: Schema
    encoding: Encoding
    head: LayeredHead

    @property
    def classes(self) -> tuple[str, ...]:
        """K names; () for a regression."""
        return self.head.classes

    @property
    def multilabel(self) -> bool:
        """Whether a row may have any number of classes."""
        return self.head.multilabel

    def scores(self, z: F32 | Rows) -> F32:
        """N rows, typed or encoded already, to (n, k) float32; see `Head.scores`."""
        return self.head.scores(self.encoding.encode(z) if isinstance(z, Rows) else z)

    def scores_of(self, task: Task) -> F32:
        """(n, k) float32 scores of the typed rows of a task, whatever its own encoding says."""
        return self.scores(_table(task))

    def feed(self, task: Task) -> dict[str, npt.NDArray[Any]]:
        """The typed rows of a task."""
        table = _table(task)
        return {"numbers": table.numbers, "categories": table.categories}

    def onnx(self, temperature: float) -> bytes:
        """The same function as an ONNX file, from typed rows: see `row_graph`."""
        head = self.head
        return row_graph(
            self.schema,
            self.encoding,
            *head.first,
            head.classes,
            temperature,
            multilabel=head.multilabel,
            rest=head.rest,
        )


def _table(task: Task) -> Rows:
    if task.table is None:
        raise RequirementMissing("This head takes typed rows, and the task has none. Score the rows of a table.")
    return task.table


def publishable(head: Head, task: Task) -> Head:
    """The head on what callers send: an embedding, or the row of a table.

    Raises:
        ExportFailed: It was fitted to the encoding of a table and cannot begin with one.
    """
    if task.encoding is None:
        return head
    if not isinstance(head, LayeredHead):
        raise ExportFailed(f"There is no way to serve a {type(head).__name__} on the rows of a table.")
    return RowHead(task.schema, task.encoding, head)


def affine_part(head: Head) -> AffineHead | None:
    """See `LayeredHead.affine`; None of any other head."""
    return head.affine if isinstance(head, LayeredHead) else None


@dataclass(frozen=True)
class AffineTable:
    """What serving loads of an affine adapter: one row of `weight` and `bias` a class, or one for a regression.

    Attributes:
        weight: (k, d) float32.
        bias: (k,) float32.
        temperature: Positive; of the probabilities.
    """

    weight: F32
    bias: F32
    temperature: float


def tables_bytes(head: AffineHead, temperature: float) -> bytes:
    """The head as a safetensors file: ``weight`` (k, d), ``bias`` (k,), ``temperature`` (1,), all float32."""
    from safetensors.numpy import save

    return save(
        {
            "weight": np.ascontiguousarray(head.weight, dtype=np.float32),
            "bias": np.ascontiguousarray(head.bias, dtype=np.float32),
            "temperature": np.array([temperature], dtype=np.float32),
        }
    )


def read_tables(data: bytes) -> AffineTable:
    """Read what `tables_bytes` wrote. Needs numpy and safetensors only.

    Raises:
        WeightsCorrupt: Not a safetensors file, other arrays than expected, shapes that do not fit together, a value
            that is not finite, or a temperature that is not positive.
    """
    arrays = _arrays(data)
    weight, bias, temperature = arrays["weight"], arrays["bias"], arrays["temperature"]
    shapes = f"weight {weight.shape}, bias {bias.shape}, temperature {temperature.shape}"
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or temperature.shape != (1,):
        raise WeightsCorrupt(f"The head table's shapes do not fit together: {shapes}; expected (k, d), (k,), (1,).")
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise WeightsCorrupt(f"{name!r} of the head table is {array.dtype} or has values that are not finite.")
    if temperature[0] <= 0:
        raise WeightsCorrupt(f"The head table's temperature is {temperature[0]}; it must be positive.")
    return AffineTable(weight, bias, float(temperature[0]))


def _arrays(data: bytes) -> dict[str, F32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, F32] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsCorrupt(f"The head table ({len(data)} bytes) is not a safetensors file: {error}.") from error
    if set(arrays) != {"weight", "bias", "temperature"}:
        raise WeightsCorrupt(f"The head table holds {sorted(arrays)}; expected bias, temperature and weight.")
    return arrays
