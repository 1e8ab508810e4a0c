"""A source of a backbone -> its files in a folder: which builder, and what its failures are called.

built-in                 models/built_in/fake.py, scattering.py, logmel.py
package, hub, folder     weights brought here (models/weights.py, hub.py) -> models/trunks/from_folder.py
words, onnx, adapter     models/word_vectors/, models/onnx_files/, models/promoted.py
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from models.built_in.fake import export_fake
from models.catalog import Entry
from models.errors import ExportFailed, ExportMismatch, GraftError, SourceRefused
from models.export import Exported, Progress
from models.locks import LOCK_NAME
from models.promoted import export_promoted
from models.sources import BuiltIn, Folder, Hub, OnnxFile, Package, Trunk, Words
from models.trunks.from_folder import FolderWeights, build_from_folder
from models.weights import local_folder, weights_folder, weights_sha256

_logger = logging.getLogger(__name__)

Builder = Callable[[Entry, Path, Progress], Exported]
"""Writes a backbone's files into an empty folder."""

_DOWNLOADED = 0.4
"""Share of the work that is done when the files are here."""


def _export_scatter(entry: Entry, staging: Path, on_progress: Progress) -> Exported:
    from models.built_in.scattering import export_scatter

    return export_scatter(entry, staging, on_progress)


def _export_logmel(entry: Entry, staging: Path, on_progress: Progress) -> Exported:
    from models.built_in.logmel import export_logmel

    return export_logmel(entry, staging, on_progress)


BUILT_IN: dict[str, Builder] = {
    "fake": export_fake,
    "scatter-2d": _export_scatter,
    "logmel-stats": _export_logmel,
}


def build(entry: Entry, folder: Path, staging: Path, on_progress: Progress) -> Exported:
    """Write the files of a backbone.

    Args:
        entry: What is built.
        folder: The folder of hosted backbones, in which the hub's lock file lies.
        staging: An existing, empty folder.
        on_progress: Called with the stage (``download``, ``convert``, ...) and the share done in [0, 1].

    Raises:
        SourceRefused: A source of somebody's own cannot become a backbone; the message says why.
        ExportFailed: One of Graft's own cannot be exported.
        ExportMismatch: One of Graft's own does not compute what it was exported from.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    if isinstance(entry.source, BuiltIn | Package):
        return _build(entry, folder, staging, on_progress)
    try:
        return _build(entry, folder, staging, on_progress)
    except (ExportFailed, ExportMismatch) as error:
        # Whose weights these are has to learn why: a failure of ours would be kept from the caller.
        raise SourceRefused(f"{_named(entry)} cannot become a backbone. {error.message}") from error
    except GraftError:
        raise
    except Exception as error:
        _logger.exception("building a backbone failed", extra={"backbone": entry.id})
        raise SourceRefused(
            f"{_named(entry)} cannot become a backbone ({type(error).__name__}: {str(error)[:300]}). Check that its "
            "files are whole and of one architecture."
        ) from error


def _named(entry: Entry) -> str:
    match entry.source:
        case Hub(repo=repo):
            return f"The repository {repo!r}"
        case Folder(path=path) | Words(path=path):
            return f"{path!r}"
        case _:
            return f"The source of {entry.id!r}"


def _build(entry: Entry, folder: Path, staging: Path, on_progress: Progress) -> Exported:
    source = entry.source
    if isinstance(source, BuiltIn):
        return _built_in(source)(entry, staging, on_progress)
    if isinstance(source, OnnxFile | Words | Trunk):
        return _build_from_file(entry, source, folder, staging, on_progress)
    begun = _DOWNLOADED if isinstance(source, Hub) else 0.0
    weights = open_weights(source, folder / LOCK_NAME, on_progress)
    return build_from_folder(
        entry, weights, staging, lambda stage, share: on_progress(stage, begun + share * (1 - begun))
    )


def _built_in(source: BuiltIn) -> Builder:
    if source.name not in BUILT_IN:
        raise ExportFailed(f"There is no built-in backbone {source.name!r}; there are {', '.join(BUILT_IN)}.")
    return BUILT_IN[source.name]


def _build_from_file(
    entry: Entry, source: OnnxFile | Words | Trunk, folder: Path, staging: Path, on_progress: Progress
) -> Exported:
    match source:
        case Words():
            from models.word_vectors.export import export_words

            return export_words(entry, source, staging, on_progress)
        case OnnxFile():
            from models.onnx_files.export import export_onnx_file

            return export_onnx_file(entry, source, staging, on_progress)
        case Trunk():
            return export_promoted(entry, source, folder, staging, on_progress)
        case _:
            assert_never(source)


def open_weights(source: Package | Folder | Hub, lock_path: Path, on_progress: Progress) -> FolderWeights:
    """Bring weights here and check them. Those of the hub are found in its cache without it.

    Args:
        source: Where they are.
        lock_path: The hub's lock file.
        on_progress: Called with ``download`` and the share done, up to 0.4.

    Raises:
        SourceRefused: They are not there, or are no safetensors.
        ExportFailed: A package is not installed.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    match source:
        case Package():
            return FolderWeights(weights_folder(source), sha256=source.sha256)
        case Folder():
            path = local_folder(source)
        case Hub():
            from models.hub import download

            path = download(source, lock_path, lambda share: on_progress("download", share * _DOWNLOADED))
        case _:
            assert_never(source)
    return FolderWeights(path, source.timm, source.options, weights_sha256(path))
