"""The weights of a hosted backbone, opened once more: for further graphs of them, or to train them."""

from pathlib import Path
from typing import assert_never

from models.base import Card
from models.build import open_weights
from models.catalog import Entry
from models.errors import SourceRefused
from models.export import Progress
from models.locks import LOCK_NAME
from models.sources import BuiltIn, Folder, Hub, OnnxFile, Package, Source, Trunk, Words
from models.trunks.from_folder import load_network
from models.trunks.network import Network


def reopen(entry: Entry, folder: Path, card: Card, scratch: Path, on_progress: Progress) -> Network:
    """Load the network that a hosted backbone was exported from.

    Args:
        entry: What it was hosted from.
        folder: The folder of hosted backbones, in which the hub's lock file lies.
        card: Of the backbone.
        scratch: An existing folder; a text backbone's tokenizer is written there.
        on_progress: Called with the stage and the share done; weights of the hub may have to be fetched.

    Cost: 1 s for 90 MB, and 3 s for the first import of torch and transformers.

    Raises:
        SourceRefused: The backbone has no weights to train, or they are no longer those that it was exported from.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    source = _weighted(entry.source, card)
    weights = open_weights(source, folder / LOCK_NAME, on_progress)
    recorded = card.recipe.get("weights_sha256")
    if weights.sha256 != recorded:
        raise SourceRefused(
            f"The weights of {card.id!r} have changed since it was hosted: sha256 {weights.sha256}, recorded was "
            f"{recorded}. Bring the old ones back, or host the backbone anew and fit on that."
        )
    return load_network(entry, weights, scratch)[0]


def _weighted(source: Source, card: Card) -> Package | Hub | Folder:
    """A source that has weights in a known architecture.

    Raises:
        SourceRefused: It has none.
    """
    match source:
        case Package() | Hub() | Folder():
            return source
        case OnnxFile():
            why = "it is an ONNX file, whose architecture is unknown. Host the weights that it was exported from"
        case Words():
            why = "it is a table of word vectors, which has no blocks. Choose a backbone with a network"
        case Trunk():
            why = "it is the hidden layer of an adapter. Choose the backbone that the adapter was fitted on"
        case BuiltIn():
            why = "it is a fixed transform, in which nothing was learned. Choose a backbone with weights"
        case _:
            assert_never(source)
    raise SourceRefused(f"{card.id!r} cannot be trained or given further taps: {why}, or fit a head alone.")
