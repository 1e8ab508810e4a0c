"""An uploaded graph inside Graft's own contract: nodes before its input, nodes behind its output, names of ours.

image   pixels (n, h, w, 3) uint8 -> float -> (x - mean) / std -> (n, 3, h, w) -> graph -> item_embedding
audio   samples (n, t) float32 -> graph -> item_embedding
text    input_ids, attention_mask (n, t) int64 -> graph -> sentence_embedding
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.audio.backbone import INPUT as SAMPLES
from models.audio.backbone import OUTPUT as ITEM
from models.images.backbone import INPUT as PIXELS
from models.images.pixels import PixelRecipe
from models.onnx_files.check import Port, graphs_of
from models.text import INPUTS as TOKENS
from models.text import OUTPUT as SENTENCE

if TYPE_CHECKING:
    import onnx

_PREFIX: Final = "graph/"
"""Put before every name of the uploaded graph, so that none of them is one of ours."""


class Wrapping:
    """Builds the graph around an uploaded one. The uploaded names that it is given are those of the file."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        self._model = _renamed(model)
        self._before: list[onnx.NodeProto] = []
        self._behind: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []

    def images(self, port: Port, recipe: PixelRecipe) -> None:
        """Take pixels: scaled, channels first, in the type of the port."""
        from onnx import TensorProto

        height, width = recipe.size
        self._take(PIXELS, TensorProto.UINT8, ["batch", height, width, 3])
        self._constant("mean", recipe.mean)
        self._constant("std", recipe.std)
        self._before_node("Cast", [PIXELS], "float_pixels", to=TensorProto.FLOAT)
        self._before_node("Sub", ["float_pixels", "mean"], "centred")
        self._before_node("Div", ["centred", "std"], "scaled")
        self._before_node("Transpose", ["scaled"], "channels_first", perm=[0, 3, 1, 2])
        self._cast("channels_first", port)

    def sounds(self, port: Port, fixed_samples: int | None) -> None:
        """Take samples."""
        from onnx import TensorProto

        self._take(SAMPLES, TensorProto.FLOAT, ["batch", fixed_samples or "time"])
        self._cast(SAMPLES, port)

    def texts(self, ports: Sequence[Port]) -> None:
        """Take tokens; an input for the kinds of tokens gets zeros."""
        from onnx import TensorProto

        for name in TOKENS:
            self._take(name, TensorProto.INT64, ["batch", "tokens"])
        self._before_node("Sub", [TOKENS[0], TOKENS[0]], "zeros")
        for port in ports:
            self._cast(port.name if port.name in TOKENS else "zeros", port)

    def finish(self, port: Port, output: str, width: int, *, normalise: bool) -> "onnx.ModelProto":
        """End in one output, float32, of unit length where asked.

        Args:
            port: The uploaded graph's output.
            output: Name of ours.
            width: Numbers of an embedding.
            normalise: Whether it is divided by its length.
        """
        from onnx import TensorProto, helper

        last = "embedding" if normalise else output
        self._behind.append(helper.make_node("Cast", [_PREFIX + port.name], [last], to=TensorProto.FLOAT))
        if normalise:
            self._behind.append(helper.make_node("LpNormalization", [last], [output], axis=-1, p=2))
        graph = self._model.graph
        nodes = [*self._before, *graph.node, *self._behind]
        weights = {tensor.name for tensor in graph.initializer}
        defaults = [value for value in graph.input if value.name in weights]
        for field, content in (
            (graph.node, nodes),
            (graph.input, [*self._inputs, *defaults]),
            (graph.output, [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", width])]),
        ):
            del field[:]
            field.extend(content)
        return self._model

    def _take(self, name: str, type_: int, shape: list[int | str]) -> None:
        from onnx import helper

        self._inputs.append(helper.make_tensor_value_info(name, type_, shape))

    def _constant(self, name: str, values: Sequence[float]) -> None:
        from onnx import numpy_helper

        self._model.graph.initializer.append(numpy_helper.from_array(np.array(values, dtype=np.float32), name))

    def _before_node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self._before.append(helper.make_node(operator, inputs, [output], **attributes))

    def _cast(self, name: str, port: Port) -> None:
        """Feed one of our values to an input of the uploaded graph, in the input's own type."""
        self._before_node("Cast", [name], _PREFIX + port.name, to=port.type)


def _renamed(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy in which every name has the prefix.

    onnx looks into the graphs inside nodes (the body of a Loop) before it knows the weights around them, and leaves
    what they read of these as it was: so it is told all weights first.
    """
    from onnx import compose

    copy = type(model)()
    copy.CopyFrom(model)
    names = {tensor.name: _PREFIX + tensor.name for graph in graphs_of(copy) for tensor in graph.initializer}
    compose.add_prefix_graph(copy.graph, _PREFIX, inplace=True, name_map=names)
    elsewhere = ("nodes", "edges", "inputs", "outputs", "initializers", "value_infos")
    return compose.add_prefix(copy, _PREFIX, inplace=True, **{f"rename_{what}": False for what in elsewhere})


def output_name(modality: str) -> str:
    """Of the graph's output, by modality."""
    return SENTENCE if modality == "text" else ITEM
