"""The trunk of a published adapter, up to its last hidden layer, as a backbone of its own."""

from pathlib import Path

from models.catalog import Entry
from models.errors import SourceRefused
from models.export import Exported, Progress
from models.sources import Trunk


def export_promoted(entry: Entry, source: Trunk, _staging: Path, _on_progress: Progress) -> Exported:
    """Write the graph of an adapter's trunk: the parent backbone's graph followed by the hidden layers.

    Raises:
        SourceRefused: The adapter's method fits no hidden layer.
    """
    raise SourceRefused(
        f"The adapter {source.adapter!r} cannot become the backbone {entry.id!r}: its method fits one layer on the "
        "embedding, so there is no hidden layer to keep. Use the backbone that the adapter was fitted on."
    )
