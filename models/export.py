"""A torch module -> one ONNX file that computes the same. Runs where jobs run, once for each tap.

    module, cases of inputs -> torch.onnx (dynamo) -> one file -> run on every case -> compared with torch -> kept

The same weights give the same bytes twice with one version of torch; another version may give other bytes, so what was
hosted once is kept (see `models/hosted.py`).
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.base import AS_LONG
from models.errors import ExportFailed, ExportMismatch
from models.session import open_session

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 20
TOLERANCE = 1e-4
"""Largest difference between torch and the exported graph that is kept; see `largest_difference` for its unit."""

Case = tuple[npt.NDArray[Any], ...]
"""One array for each input of a graph."""

Progress = Callable[[str, float], None]
"""Called with a stage in words and the share done in [0, 1]."""


@dataclass(frozen=True)
class Exported:
    """What a builder says of the files it wrote.

    Attributes:
        taps: Shape of one item's embedding at each tap, for `Card.taps`.
        recipe: What is done to an item, for `Card.recipe`.
        max_tokens: Longest text in tokens; None where it has no meaning.
        extras: Names of those files that the digest leaves out, for `Card.extras`.
        parts: Of the tap ``blocks``, for `Card.parts`.
    """

    taps: dict[str, tuple[int, ...]]
    recipe: dict[str, Any]
    max_tokens: int | None = None
    extras: tuple[str, ...] = ()
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What a graph takes, and what it is tried on before it is kept.

    Attributes:
        names: Of the inputs, in order.
        axes: Names of the leading axes that are free in every input: ``("batch", "tokens")``.
        cases: What it is compared with torch on: random, padded and extreme, in several sizes. The module is traced on
            the first, whose free axes must be 2 or longer: torch would take a 1 for a constant.
    """

    names: tuple[str, ...]
    axes: tuple[str, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Parity:
    """How close a graph is to torch.

    Attributes:
        difference: The largest of all cases, as `largest_difference` gives it.
        shape: Of one item's embedding; `AS_LONG` where it followed the length of the item.
    """

    difference: float
    shape: tuple[int, ...]


def export_module(module: "torch.nn.Module", inputs: Inputs, output: str, path: Path) -> None:
    """Write a module in evaluation mode as one ONNX file without external data.

    Args:
        module: Takes the inputs by position and returns one tensor.
        inputs: The axes in `Inputs.axes` stay free.
        output: Name of the graph's output.
        path: The file.

    Cost: 12 s for 6 layers of 384 (one core), 2 s for the smallest.

    Raises:
        ExportFailed: torch cannot export it; the message ends in torch's own reason.
    """
    import torch

    examples = tuple(torch.from_numpy(array) for array in inputs.cases[0])
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                opset_version=OPSET,
                input_names=inputs.names,
                output_names=[output],
                dynamic_shapes=_dynamic_shapes(inputs),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportFailed(f"torch {torch.__version__} cannot export it to ONNX: {_reason(error)}") from error
    if program is None:
        raise ExportFailed(f"torch {torch.__version__} returned no ONNX program.")
    write_graph_file(program.model_proto, path)


def write_graph_file(graph: "onnx.ModelProto", path: Path) -> None:
    """Check a graph and write it without the exporter's notes, which hold file paths of the exporting machine."""
    import onnx

    onnx.checker.check_model(graph)
    parts = [graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output]
    for part in [*parts, *graph.graph.value_info, *graph.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    path.write_bytes(graph.SerializeToString(deterministic=True))


def check_parity(module: "torch.nn.Module", inputs: Inputs, output: str, path: Path) -> Parity:
    """Run torch and an exported file on every case.

    Returns:
        How close they are, and the shape of an item's embedding.

    Raises:
        ExportMismatch: They differ by more than `TOLERANCE`, or the file does not run on a case.
    """
    import torch

    session = open_session(path, threads=1)
    worst, shapes = 0.0, set()
    for case in inputs.cases:
        with torch.inference_mode():
            expected = module(*(torch.from_numpy(array) for array in case)).numpy()
        try:
            [seen] = session.run([output], dict(zip(inputs.names, case, strict=True)))
        except Exception as error:  # ONNX Runtime's errors have no common class
            sizes = ", ".join(str(array.shape) for array in case)
            raise ExportMismatch(f"The exported graph does not run on inputs of shape {sizes}: {error}") from error
        worst = max(worst, largest_difference(expected, seen))
        shapes.add(expected.shape[1:])
    if not worst <= TOLERANCE:
        raise ExportMismatch(f"The exported graph differs from torch by {worst:.1e}; at most {TOLERANCE:.0e} is kept.")
    return Parity(
        worst, tuple(axis.pop() if len(axis) == 1 else AS_LONG for axis in map(set, zip(*shapes, strict=True)))
    )


def largest_difference(expected: npt.NDArray[np.floating[Any]], seen: npt.NDArray[np.floating[Any]]) -> float:
    """Largest absolute difference of one number, in units of the largest number of its item where that is above 1.

    float32 carries seven digits: an item of hidden states that reach 1,000 cannot be equal to 1e-4 in plain numbers.

    Returns:
        0 for equal arrays and for empty ones; infinite where shapes differ or a number is not finite.
    """
    if expected.shape != seen.shape or not np.isfinite(seen).all() or not np.isfinite(expected).all():
        return float("inf")
    if not expected.size:
        return 0.0
    scale = np.abs(expected).max(axis=tuple(range(1, expected.ndim)), keepdims=True)
    return float((np.abs(expected - seen) / np.maximum(scale, 1)).max())


def _dynamic_shapes(inputs: Inputs) -> tuple[Any, ...]:
    """Free axes, named at the first input. The module takes its inputs as one tuple of arguments."""
    import torch

    named: dict[int, Any] = dict(enumerate(inputs.axes))
    free = dict.fromkeys(named, torch.export.Dim.DYNAMIC)
    return ((named, *[free] * (len(inputs.names) - 1)),)


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line: what the exporter wraps around it is advice for its own developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:300]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's talk about itself (absent torchvision, its own deprecations) out of the log."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
