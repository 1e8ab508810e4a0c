"""One more graph of a backbone that is hosted already, from the weights that it was exported from."""

from dataclasses import replace
from pathlib import Path

from models.base import Card
from models.catalog import Entry
from models.errors import ExportFailed, ExportMismatch, SourceRefused
from models.export import Progress, check_parity
from models.reopen import reopen
from models.session import GRAPH_NAME, POOLED
from models.trunks.from_folder import write_tap
from models.trunks.network import BLOCKS, Network, parts_of, tap_module
from models.weights import sha256_file


def more_taps(entry: Entry, folder: Path, card: Card, tap: str, staging: Path, on_progress: Progress) -> Card:
    """Write ``<tap>.onnx`` into a folder.

    Args:
        entry: What the backbone was hosted from.
        folder: The folder of hosted backbones.
        card: As it is.
        tap: That it is to have.
        staging: An existing, empty folder.
        on_progress: Called with the stage and the share done.

    Returns:
        The card, with the tap.

    Raises:
        SourceRefused: There are no weights in torch, they are others, there is no such tap, or it cannot be exported.
    """
    on_progress("load weights", 0.0)
    network = reopen(entry, folder, card, staging, on_progress)
    on_progress("verify", 0.2)
    check_same(network, card, folder / card.digest)
    on_progress(f"export {tap}", 0.3)
    try:
        parity = write_tap(network, tap, staging)
    except (ExportFailed, ExportMismatch) as error:
        raise SourceRefused(error.message) from error
    graph = f"{tap}.onnx"
    return replace(
        card,
        taps={**card.taps, tap: parity.shape},
        extras={**card.extras, graph: sha256_file(staging / graph)},
        parts=parts_of(network) if tap == BLOCKS else card.parts,
    )


def check_same(network: Network, card: Card, home: Path) -> None:
    """Make sure that a network computes what a hosted backbone does.

    Raises:
        SourceRefused: It does not: something beside the weights is other than it was.
    """
    try:
        check_parity(tap_module(network, POOLED), network.inputs, network.output, home / GRAPH_NAME)
    except ExportMismatch as error:
        raise SourceRefused(
            f"{card.id!r} was hosted from the same weights, used in another way: {error.message} "
            "Host it anew with these options, and fit on that."
        ) from error
