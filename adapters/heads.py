"""Heads: fitted functions from an embedding or a typed row to scores, and the table from which serving runs them."""

from dataclasses import dataclass

import numpy as np

from adapters.base import F32, Head
from adapters.encoding import Encoding
from adapters.graphs import affine_graph, row_graph
from adapters.schema import Rows, Schema
from models.errors import WeightsCorrupt


@dataclass(frozen=True)
class AffineHead(Head):
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

    def scores(self, z: F32) -> F32:
        """(n, d) float32 to (n, k) float32; see `Head.scores`."""
        return np.asarray(z @ self.weight.T + self.bias, dtype=np.float32)

    def onnx(self, temperature: float) -> bytes:
        """See `Head.onnx`; the file's metadata holds `classes` as JSON."""
        return affine_graph(self.weight, self.bias, self.classes, temperature, multilabel=self.multilabel)


@dataclass(frozen=True, eq=False)
class RowHead:
    """An affine head on the encoding of typed rows.

    Attributes:
        schema: The columns that it expects.
        encoding: What was learned of them.
        head: Scores of an encoded row.
    """

    schema: Schema
    encoding: Encoding
    head: AffineHead

    @property
    def classes(self) -> tuple[str, ...]:
        """K names; () for a regression."""
        return self.head.classes

    def scores(self, rows: Rows) -> F32:
        """N rows to (n, k) float32; see `Head.scores`."""
        return self.head.scores(self.encoding.encode(rows))

    def onnx(self, temperature: float) -> bytes:
        """The same function as an ONNX file, from typed rows: see `row_graph`."""
        return row_graph(self.schema, self.encoding, self.head.weight, self.head.bias, self.classes, temperature)


@dataclass(frozen=True)
class AffineTable:
    """What serving loads of an affine adapter: one row of `weight` and `bias` a class, or one for a regression.

    Attributes:
        weight: (k, d) float32.
        bias: (k,) float32.
        temperature: Positive; probabilities are softmax(scores / temperature).
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
