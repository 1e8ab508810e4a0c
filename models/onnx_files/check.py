"""What an uploaded ONNX file has to be before any of it is run: seen from its structure alone.

The file is not trusted. It is parsed without its external data, and nothing of it runs before it has passed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.errors import SourceRefused

if TYPE_CHECKING:
    import onnx

MOST_BYTES: Final = 2**31 - 1
"""Of one file: what a protocol buffer can hold."""
_OLDEST_OPSET: Final = 13
_DOMAINS: Final = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Of operators that ONNX Runtime brings along."""

Dim = int | None
"""Of a tensor: a number, or None where it is free."""


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Attributes:
        name: As in the file.
        type: Element type, a number of ``onnx.TensorProto``.
        shape: Its axes; None where the file does not say.
    """

    name: str
    type: int
    shape: tuple[Dim, ...] | None


def load_graph(path: Path) -> "onnx.ModelProto":
    """Parse a file and check that all of it is there and that ONNX Runtime can know its operators.

    Raises:
        SourceRefused: It is too large, is no ONNX, refers to other files, uses custom operators, or is not valid.
    """
    import onnx

    if not path.is_file():
        raise SourceRefused(f"{path} is not a file on the machine where the worker runs. Upload the ONNX file again.")
    if path.stat().st_size > MOST_BYTES:
        raise SourceRefused(
            f"The file has {path.stat().st_size / 2**30:.1f} GiB; ONNX files hold at most 2 GiB. "
            "Use a smaller encoder, or store its weights in float16."
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises errors of its own, by implementation
        raise SourceRefused("The file is not an ONNX graph, or is cut off. Export it again.") from error
    if not model.graph.node:
        raise SourceRefused("The file holds no graph, or an empty one. Export it again.")
    _check_complete(model)
    _check_operators(model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise SourceRefused(f"The graph is not valid ONNX: {first_line(error)}. Export it again.") from error
    return model


def inputs_of(model: "onnx.ModelProto") -> list[Port]:
    """What has to be given to a graph: older files list their weights among the inputs as well."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [_port(value) for value in model.graph.input if value.name not in weights]


def outputs_of(model: "onnx.ModelProto") -> list[Port]:
    """What a graph gives."""
    return [_port(value) for value in model.graph.output]


def choose(ports: Sequence[Port], name: str, what: str) -> Port:
    """The port of a name; the only one where the name is empty.

    Raises:
        SourceRefused: There is no such port, or several to choose from. The message lists those that there are.
    """
    names = ", ".join(repr(port.name) for port in ports) or "none"
    for port in ports:
        if port.name == name:
            return port
    if not name and len(ports) == 1:
        return ports[0]
    if not name:
        raise SourceRefused(f"The graph has {len(ports)} {what}s: {names}. Name the one to use as `{what}`.")
    raise SourceRefused(f"The graph has no {what} {name!r}; it has {names}. Name one of them as `{what}`.")


def check_batch(port: Port) -> None:
    """The first axis of a port is free.

    Raises:
        SourceRefused: It is a number.
    """
    if port.shape and port.shape[0] is not None:
        raise SourceRefused(
            f"{port.name!r} takes batches of exactly {port.shape[0]}. Export the graph with a dynamic batch axis "
            "(dynamic_shapes or dynamic_axes in torch.onnx.export)."
        )


def _port(value: "onnx.ValueInfoProto") -> Port:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Port(value.name, tensor.elem_type, None)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return Port(value.name, tensor.elem_type, shape)


def _check_complete(model: "onnx.ModelProto") -> None:
    import onnx

    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise SourceRefused(
                f"The graph keeps {tensor.name!r} in another file (external data). Export it as one file "
                "(external_data=False in torch.onnx.export, or onnx.save_model without save_as_external_data)."
            )


def _check_operators(model: "onnx.ModelProto") -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise SourceRefused(
                f"The graph uses the custom operator {node.op_type!r} of {node.domain!r}, which ONNX Runtime lacks. "
                "Export it with ONNX's own operators."
            )
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < _OLDEST_OPSET:
        raise SourceRefused(
            f"The graph is of opset {opset}; {_OLDEST_OPSET} or newer is taken. Export it with a newer opset."
        )


def graphs_of(model: "onnx.ModelProto") -> Iterator["onnx.GraphProto"]:
    """The graph and every graph inside its nodes."""
    waiting = [model.graph]
    nodes_of_functions = [node for function in model.functions for node in function.node]
    waiting.extend(_inner(nodes_of_functions))
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting.extend(_inner(graph.node))


def _inner(nodes: Sequence["onnx.NodeProto"]) -> Iterator["onnx.GraphProto"]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs


def _nodes(model: "onnx.ModelProto") -> Iterator["onnx.NodeProto"]:
    for graph in graphs_of(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _tensors(model: "onnx.ModelProto") -> Iterator["onnx.TensorProto"]:
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)


def first_line(error: Exception) -> str:
    """What a checker says before it quotes the graph."""
    return (str(error).strip().splitlines() or ["no reason given"])[0][:300].rstrip(".")
