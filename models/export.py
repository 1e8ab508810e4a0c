"""A text encoder's torch weights -> one ONNX file that ends in the sentence embedding. Runs where jobs run, once.

    ids, mask -> encoder -> mean over real tokens -> L2 norm -> sentence_embedding

The same weights give the same bytes twice with one version of torch; another version may give other bytes, so what was
hosted once is kept (see `models/hosted.py`). Cost: 12 s for 6 layers of 384 (one core).
Source of the recipe: Reimers & Gurevych, Sentence-BERT, EMNLP 2019.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.base import Embedding
from models.catalog import Entry
from models.errors import ExportFailed, ExportMismatch
from models.session import open_session
from models.sources import Package
from models.text import GRAPH_NAME, INPUTS, OUTPUT, TOKENIZER_NAME
from models.weights import WEIGHTS_NAME, weights_folder

if TYPE_CHECKING:
    import onnx
    import torch
    from transformers import PreTrainedModel

OPSET = 20
MAX_TOKENS = 512
TOLERANCE = 1e-4
"""Largest difference of one number of an embedding between torch and the exported graph."""

_PARITY_SHAPES = ((1, 2), (1, 16), (5, 33), (3, "longest"))


@dataclass(frozen=True)
class Exported:
    """What a builder says of the files it wrote.

    Attributes:
        taps: Shape of one item's embedding at each tap, for `Card.taps`.
        recipe: What is done to an item, for `Card.recipe`.
        max_tokens: Longest text in tokens; None where it has no meaning.
        extras: Names of those files that the digest leaves out, for `Card.extras`.
    """

    taps: dict[str, tuple[int, ...]]
    recipe: dict[str, Any]
    max_tokens: int | None = None
    extras: tuple[str, ...] = ()


Progress = Callable[[str, float], None]
"""Called with a stage in words and the share done in [0, 1]."""


def export_text(entry: Entry, folder: Path, on_progress: Progress) -> Exported:
    """Write ``pooled.onnx`` and ``tokenizer.json`` of a text encoder into a folder.

    Args:
        entry: A catalogue entry with a package of weights.
        folder: An existing, empty folder.
        on_progress: Called with the stage and the share done in [0, 1].

    Raises:
        ExportFailed: The weights are not there, do not fit the architecture, or torch cannot export it.
        ExportMismatch: The graph differs from torch by more than `TOLERANCE`; nothing of it may be kept.
        WeightsCorrupt: The weights are not the recorded ones.
    """
    on_progress("load weights", 0.0)
    if not isinstance(entry.source, Package):
        raise ExportFailed(f"Backbone {entry.id!r} does not come from a package.")
    source, max_tokens = weights_folder(entry.source), entry.options.max_tokens or MAX_TOKENS
    encoder = _load_encoder(source)
    on_progress("export", 0.2)
    _write_graph(encoder, folder / GRAPH_NAME)
    write_tokenizer(source / TOKENIZER_NAME, folder / TOKENIZER_NAME, max_tokens)
    on_progress("compare with torch", 0.8)
    difference = check_parity(encoder, folder / GRAPH_NAME, max_tokens)
    recipe = _recipe(entry.source, max_tokens, difference)
    return Exported({"pooled": (encoder.config.hidden_size,)}, recipe, max_tokens)


def write_tokenizer(source: Path, target: Path, max_tokens: int) -> None:
    """Copy a ``tokenizer.json`` with its cut set to `max_tokens` and its padding off.

    Files in circulation carry the padding and cut of whoever saved them (MiniLM's: 128 and 128). With the cut inside
    the file, the backbone's digest covers it.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    target.write_text(tokenizer.to_str(), encoding="utf-8")


def write_graph_file(graph: "onnx.ModelProto", path: Path) -> None:
    """Check a graph and write it without the exporter's notes, which hold file paths of the exporting machine."""
    import onnx

    onnx.checker.check_model(graph)
    parts = [graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output]
    for part in [*parts, *graph.graph.value_info, *graph.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _load_encoder(folder: Path) -> "PreTrainedModel":
    """The encoder; every weight of the file is used and none is missing."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    encoder: PreTrainedModel = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
    weights = load_file(folder / WEIGHTS_NAME)
    # Older files also carry constants (position numbers) that the architecture now computes.
    computed = {name for name, _ in encoder.named_buffers()} - encoder.state_dict().keys()
    try:
        encoder.load_state_dict({name: weight for name, weight in weights.items() if name not in computed})
    except RuntimeError as error:
        raise ExportFailed(f"The weights in {folder} do not fit their config.json: {error}") from error
    return encoder


def _pooled(encoder: "PreTrainedModel") -> "torch.nn.Module":
    """The encoder with mean pooling and normalisation behind it."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)
            return torch.nn.functional.normalize(mean, dim=-1)

    return Pooled().eval()


def _write_graph(encoder: "PreTrainedModel", path: Path) -> None:
    import torch

    ids = torch.ones(2, 8, dtype=torch.int64)
    # The mask is a tensor of its own: given one object twice, the exporter silently makes one input of both.
    mask = ids.clone()
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: "batch", 1: "tokens"}, {0: free, 1: free})
    try:
        with _quiet():
            program = torch.onnx.export(
                _pooled(encoder),
                (ids, mask),
                dynamo=True,
                opset_version=OPSET,
                input_names=INPUTS,
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportFailed(f"torch {torch.__version__} cannot export this encoder to ONNX: {error}") from error
    if program is None:
        raise ExportFailed(f"torch {torch.__version__} returned no ONNX program.")
    write_graph_file(program.model_proto, path)


def check_parity(encoder: "PreTrainedModel", path: Path, max_tokens: int) -> float:
    """Run torch and the exported file on short, padded and longest inputs.

    Returns:
        The largest difference of one number.

    Raises:
        ExportMismatch: It is more than `TOLERANCE`.
    """
    import torch

    reference, session = _pooled(encoder), open_session(path, threads=1)
    rng = np.random.default_rng(0)
    worst = 0.0
    for rows, tokens in _PARITY_SHAPES:
        width = max_tokens if isinstance(tokens, str) else tokens
        ids, mask = _random_batch(rng, rows, width, encoder.config.vocab_size)
        with torch.inference_mode():
            expected = reference(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()
        seen: Embedding = session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        worst = max(worst, largest_difference(expected, seen))
    if worst > TOLERANCE:
        raise ExportMismatch(f"The exported graph differs from torch by {worst:.1e}; at most {TOLERANCE:.0e} is kept.")
    return worst


def largest_difference(expected: Embedding, seen: Embedding) -> float:
    """Largest absolute difference of two arrays; infinite where shapes differ or a number is not finite."""
    if expected.shape != seen.shape or not np.isfinite(seen).all():
        return float("inf")
    return float(np.abs(expected - seen).max())


def _random_batch(
    rng: np.random.Generator, rows: int, tokens: int, vocabulary: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Random (rows, tokens) ids and a mask that leaves the first row whole and cuts the others anywhere."""
    sizes = rng.integers(1, tokens + 1, rows)
    sizes[0] = tokens
    mask = (np.arange(tokens) < sizes[:, None]).astype(np.int64)
    return rng.integers(0, vocabulary, (rows, tokens)), mask


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


def _recipe(source: Package, max_tokens: int, difference: float) -> dict[str, Any]:
    import torch

    return {
        "tokenizer": TOKENIZER_NAME,
        "truncation": max_tokens,
        "pooling": "mean over real tokens",
        "normalisation": "L2",
        "precision": "float32",
        "opset": OPSET,
        "exporter": f"torch {torch.__version__}",
        "weights_sha256": source.sha256,
        "difference_from_torch": difference,
    }
