"""Writing an ONNX graph, operation by operation."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

_OPSET = 17
_ML_OPSET = 3
_IR_VERSION = 8
_ML = "ai.onnx.ml"


class Graph:
    """A graph while it is written: each call adds an operation and names its result."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []

    def __call__(self, op: str, *inputs: str, name: str | None = None, **attributes: object) -> str:
        """Add an ONNX operation with one output; returns what the output is called."""
        from onnx import helper

        output = name or f"{op.lower()}_{len(self._nodes)}"
        node = helper.make_node(op, list(inputs), [output], domain=_ML if op == "LabelEncoder" else "")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return output

    def several(self, op: str, *inputs: str, outputs: int, **attributes: object) -> tuple[str, ...]:
        """Add an ONNX operation with several outputs; returns what they are called."""
        first = self(op, *inputs, name=None, **attributes)
        more = [f"{first}_{index}" for index in range(1, outputs)]
        self._nodes[-1].output.extend(more)
        return first, *more

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """Add a constant, of the type that numpy gives it; returns its name."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def input(self, name: str, dtype: npt.DTypeLike, width: int) -> str:
        """Add an input (n, width); returns its name."""
        self._inputs.append(_matrix(name, dtype, width))
        return name

    def output(self, name: str, width: int) -> None:
        """Make a result an output (n, width) float32."""
        self._outputs.append(_matrix(name, np.float32, width))

    def answer(
        self, scores: str, k: int, temperature: float, *, regression: bool = False, multilabel: bool = False
    ) -> None:
        """End in ``scores`` and ``probabilities``, both (n, k), or for a regression in ``value``.

        Probabilities are softmax(scores / temperature), or its sigmoid where a row may have any number of classes.
        """
        if regression:
            self("Identity", scores, name="value")
            self.output("value", k)
            return
        self("Identity", scores, name="scores")
        scaled = self("Div", scores, self.constant("temperature", np.float32(temperature)))
        if multilabel:
            self("Sigmoid", scaled, name="probabilities")
        else:
            self("Softmax", scaled, name="probabilities", axis=-1)
        self.output("scores", k)
        self.output("probabilities", k)

    def to_bytes(self, metadata: Mapping[str, object]) -> bytes:
        """The checked ONNX file, with metadata as JSON."""
        from onnx import checker, helper

        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        if any(node.domain == _ML for node in self._nodes):
            opsets.append(helper.make_opsetid(_ML, _ML_OPSET))
        model = helper.make_model(graph, producer_name="graft", opset_imports=opsets)
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, {name: json.dumps(value, ensure_ascii=False) for name, value in metadata.items()})
        checker.check_model(model)
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _matrix(name: str, dtype: npt.DTypeLike, width: int) -> "ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["n", width])
