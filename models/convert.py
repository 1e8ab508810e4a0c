"""All of the work of hosting a backbone, in a staging folder: whatever fails, nothing is half-hosted."""

from pathlib import Path

from models.base import Card
from models.build import build
from models.catalog import Entry
from models.durable import write_synced
from models.export import Exported, Progress
from models.precision import with_half
from models.warm import open_card, sample_items, warm
from models.weights import digest_of, sha256_file

_PREPARE_NAME = "prepare.json"
_PREPARES = (
    *("prefix", "empty_token", "pixels"),
    *("rate", "max_samples", "fixed_samples", "padding", "normalise_samples", "ragged"),
)
"""Fields of a recipe that `Backbone.prepare` and the padding of batches follow: one graph with two prefixes is two
backbones."""

_STAGES = {"download": "download", "verify": "verify", "compare with torch": "verify"}
"""What a builder's stages are called here; all others are ``convert``."""
_BUILT = 0.85
"""Share of the work that is done when the files are written."""


def convert(entry: Entry, folder: Path, staging: Path, on_progress: Progress) -> Card:
    """Write a backbone's files, open them and run one item.

    Args:
        entry: What it is made of.
        folder: The folder of hosted backbones, in which the hub's lock file lies.
        staging: An existing, empty folder, for the files.
        on_progress: Called with the stage (``download``, ``convert``, ``verify``, ``warm``, ``publish``) and the share
            done.

    Raises:
        SourceRefused: A source of somebody's own cannot become a backbone.
        ExportFailed: One of Graft's own cannot be exported.
        ExportMismatch: The export does not compute what the weights do.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    exported = build(
        entry, folder, staging, lambda stage, share: on_progress(_STAGES.get(stage, "convert"), share * _BUILT)
    )
    if prepared := {name: exported.recipe[name] for name in _PREPARES if name in exported.recipe}:
        write_synced(staging / _PREPARE_NAME, prepared)
    on_progress("verify", _BUILT)
    card = _card(entry, exported, staging)
    on_progress("warm", 0.92)
    backbone = open_card(card, staging, threads=1)
    warm(backbone)
    card = with_half(backbone, staging, sample_items(card.modality))
    on_progress("publish", 0.97)
    return card


def _card(entry: Entry, exported: Exported, staging: Path) -> Card:
    digests = {path.name: sha256_file(path) for path in sorted(staging.iterdir())}
    files = {name: sha256 for name, sha256 in digests.items() if name not in exported.extras}
    return Card(
        id=entry.id,
        modality=entry.modality,
        digest=digest_of(files),
        taps=exported.taps,
        licence=entry.licence,
        source=entry.about,
        max_tokens=exported.max_tokens,
        files=files,
        recipe=exported.recipe,
        trained=entry.trained,
        parts=exported.parts,
        extras={name: digests[name] for name in exported.extras},
    )
