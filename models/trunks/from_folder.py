"""A folder of pretrained weights -> the files of a backbone: one graph for each tap, and the tokenizer of a text one.

    weights -> network (transformers, timm) -> for each tap: module -> ONNX -> compared with torch -> <tap>.onnx

Nothing is kept that differs from torch; nothing that comes with the weights is run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.catalog import Entry
from models.errors import ExportFailed, ExportMismatch, SourceRefused
from models.export import OPSET, Exported, Parity, Progress, check_parity, export_module
from models.text import TOKENIZER_NAME
from models.trunks.network import (
    BLOCK_OUTPUT,
    BLOCKS,
    POOLED,
    Network,
    attends,
    check_filled,
    check_runs,
    parts_of,
    tap_module,
    weight_count,
)

_LOADED, _EXPORTED = 0.2, 0.95
_TOWERS = {"text": "text", "vision": "image"}


@dataclass(frozen=True)
class FolderWeights:
    """A local folder of weights, already checked and complete.

    Attributes:
        path: The folder: ``config.json`` and ``model.safetensors`` (or its shards), tokenizer, preprocessor; for timm
            ``model.safetensors`` alone is enough.
        timm: Architecture of timm that the weights are for; empty where transformers reads them.
        options: Further arguments of that architecture, plain JSON scalars.
        sha256: Of ``model.safetensors``, or of its shards' digests; for the recipe.
    """

    path: Path
    timm: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""


def build_from_folder(entry: Entry, weights: FolderWeights, staging: Path, on_progress: Progress) -> Exported:
    """Write ``<tap>.onnx`` for each tap asked for, and ``tokenizer.json`` of a text backbone.

    Args:
        entry: What is built, and what was chosen of it.
        weights: Where from.
        staging: An existing, empty folder.
        on_progress: Called with the stage and the share done in [0, 1].

    Cost: 12 s a tap for 6 layers of 384 (one core), 3 s for the smallest network.

    Raises:
        SourceRefused: The weights cannot become this backbone; the message says why and what to do.
        ExportFailed: torch cannot export the architecture.
        ExportMismatch: A graph differs from torch by more than `models.export.TOLERANCE`.
    """
    _check_tower(entry)
    on_progress("load weights", 0.0)
    network, extra = load_network(entry, weights, staging)
    check_runs(network)
    taps = tuple(dict.fromkeys((POOLED, *entry.options.taps)))
    parities: dict[str, Parity] = {}
    parts = parts_of(network) if BLOCKS in taps else {}
    for done, tap in enumerate(taps):
        on_progress(f"export {tap}", _LOADED + (_EXPORTED - _LOADED) * done / len(taps))
        parities[tap] = write_tap(network, tap, staging)
    return Exported(
        taps={tap: parity.shape for tap, parity in parities.items()},
        recipe={**network.recipe, **extra, **_facts(network, weights, parities)},
        max_tokens=network.max_tokens,
        parts=parts,
    )


def _check_tower(entry: Entry) -> None:
    wanted = _TOWERS.get(entry.options.tower, entry.modality)
    if wanted != entry.modality:
        raise SourceRefused(
            f"The {entry.options.tower} tower takes items of modality {wanted!r}, not {entry.modality!r}. "
            "Change one of the two."
        )


def load_network(entry: Entry, weights: FolderWeights, staging: Path) -> tuple[Network, dict[str, Any]]:
    """The network in memory, and what its recipe has beside; a text backbone's tokenizer is written to `staging`.

    Raises:
        SourceRefused: The weights cannot become this backbone.
    """
    from models.trunks.timm_network import architecture_of, timm_network

    folder = weights.path
    if architecture := weights.timm or architecture_of(folder):
        if entry.modality != "image":
            raise SourceRefused(f"{architecture} is an architecture of timm, which takes images, not {entry.modality}.")
        return timm_network(architecture, weights.options, folder, entry.options), {}
    from models.trunks.transformers_network import load_transformers

    loaded = load_transformers(folder)
    if entry.modality == "image":
        from models.trunks.images import image_network

        return image_network(loaded, folder, entry.options), {}
    if entry.modality == "audio":
        from models.trunks.audio import audio_network

        return audio_network(loaded, folder, entry.options), {}
    from models.trunks.text import text_network, vocabulary_of
    from models.trunks.tokenizer_file import write_tokenizer

    network = text_network(loaded, folder, entry.options)
    empty = write_tokenizer(folder, staging / TOKENIZER_NAME, network.max_tokens or 0, vocabulary_of(loaded))
    return network, {} if empty is None else {"empty_token": empty}


def write_tap(network: Network, tap: str, staging: Path) -> Parity:
    """Write ``<tap>.onnx`` and compare it with torch.

    Raises:
        SourceRefused: There is no such tap, or the weights lack what it needs.
        ExportFailed: torch cannot export the architecture.
        ExportMismatch: The graph differs from torch by more than `models.export.TOLERANCE`.
    """
    module, path = tap_module(network, tap), staging / f"{tap}.onnx"
    output = network.output if tap in (POOLED, BLOCKS) else BLOCK_OUTPUT
    check_filled(network, module)
    try:
        export_module(module, network.inputs, output, path)
        return check_parity(module, network.inputs, output, path)
    except (ExportFailed, ExportMismatch) as error:
        raise type(error)(
            f"The architecture {network.architecture!r} cannot be used at the tap {tap!r}: {error.message} "
            "Choose another backbone, or upload an ONNX file of this one."
        ) from error


def _facts(network: Network, weights: FolderWeights, parities: Mapping[str, Parity]) -> dict[str, Any]:
    import torch

    return {
        "architecture": network.architecture,
        "parameters": weight_count(network.module, network.missing.values()),
        "blocks": len(network.blocks),
        "attention": attends(network.module),
        "block_parameters": sum(map(weight_count, network.blocks)) // max(1, len(network.blocks)),
        "pooling": network.pooling,
        "normalisation": "L2" if network.normalise else "none",
        "precision": "float32",
        "opset": OPSET,
        "exporter": f"torch {torch.__version__}",
        "weights_sha256": weights.sha256,
        "difference_from_torch": {tap: parity.difference for tap, parity in parities.items()},
    }
