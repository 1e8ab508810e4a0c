"""The items that a version learned from, kept with it so that an answer can be shown beside its nearest ones."""

import numpy as np

from adapters.adaptation import Adaptation
from adapters.linalg import unit_rows
from adapters.signatures import write_described
from service.jobs.tapping import Tapped, taken

ITEMS_NAME = "items.safetensors"
"""File of a version: see `shown_items`."""

MOST_BYTES = 32 * 2**20
"""Most that is kept for one version: 40,000 embeddings of 384 numbers. Versions of one dataset share it."""

NO_LABEL = -1


def shown_items(tapped: Tapped, adaptation: Adaptation) -> bytes | None:
    """Embeddings of the items of a fit, as the head takes them.

    Returns:
        ``embedding`` (n, d) float16 of length 1, ``label`` (n,) int32 into the version's classes or -1, and the
        items' ids; None where there are none, where they are too large, where the head takes something else than one
        embedding, or where a number is predicted.
    """
    task = tapped.task
    if not len(task.y) or task.table is not None or adaptation.tap or tapped.backbones or task.regression:
        return None
    z = taken(task.z, adaptation.parts) if adaptation.parts else task.z
    if 2 * z.size > MOST_BYTES:
        return None
    labels = np.full(len(z), NO_LABEL) if task.multilabel else task.labels
    z = unit_rows(z.astype(np.float64)).astype(np.float16)
    return write_described({"embedding": z, "label": labels.astype(np.int32)}, {"ids": list(tapped.ids)})
