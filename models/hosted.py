"""The folder of hosted backbones.

    <folder>/<digest>/pooled.onnx, tokenizer.json, card.json    immutable; card.json is written last
    <folder>/<id>.json                                          pointer: which digest the name means here
    <folder>/.<id>.lock, .<id>.staging/                         only while hosting

A pointer is kept as long as its folder is whole: a newer torch may export other bytes, and a digest that changed by
itself would orphan every adapter and every cached embedding of the old one.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.base import Backbone, Card
from models.catalog import Entry
from models.errors import BackboneUnknown, ExportFailed, WeightsCorrupt
from models.export import Exported, Progress, export_text
from models.fake import export_fake
from models.sources import BuiltIn, Package, Source
from models.text import TextBackbone
from models.weights import check_sha256, sha256_file

_logger = logging.getLogger(__name__)

_CARD_NAME = "card.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")

Builder = Callable[[Entry, Path, Progress], Exported]
"""Writes a backbone's files into an empty folder."""

_BUILT_IN: dict[str, Builder] = {"fake": export_fake}
_BUILDERS: dict[type[Source], Builder] = {Package: export_text}


def host(entry: Entry, folder: Path, on_progress: Progress) -> Card:
    """Make a backbone servable: export it, verify it, keep it under its digest and point its name there.

    Does nothing but check where it is hosted already. Safe when several processes do it at once (one exports, the
    others wait), and when one is killed at any moment (the next one starts over).

    Cost: 12 s for ``minilm-l6`` the first time, 0.1 s afterwards; 0.1 s for ``fake``.

    Raises:
        ExportFailed: It cannot be exported.
        ExportMismatch: The export does not compute what the weights do.
        WeightsCorrupt: The weights are not the recorded ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{entry.id}.lock"):
        card = _pointed(folder, entry.id) or _export(entry, folder, on_progress)
    on_progress("hosted", 1.0)
    return card


def hosted(folder: Path) -> dict[str, Card]:
    """Every hosted backbone by id, from the cards alone: the big files are not read. A broken one is left out.

    Cost: 0.3 ms a backbone.
    """
    cards: dict[str, Card] = {}
    for pointer in sorted(folder.glob("[!.]*.json")):
        try:
            cards[pointer.stem] = read_card(folder / _read_digest(pointer))
        except WeightsCorrupt as error:
            _logger.warning("hosted backbone left out", extra={"backbone": pointer.stem, "reason": error.message})
    return cards


def open_backbone(folder: Path, digest: str, *, threads: int) -> Backbone:
    """Load a hosted backbone for serving or embedding. Never loads torch.

    Args:
        folder: The folder of hosted backbones.
        digest: `Card.digest`.
        threads: CPU threads within one operation; 1 where one process a core serves.

    Cost: 0.3 s and 140 MB for ``minilm-l6``.

    Raises:
        BackboneUnknown: No backbone with that digest is hosted here.
        WeightsCorrupt: A file is not the one that was recorded.
    """
    home = folder / digest
    if not _DIGEST.fullmatch(digest) or not home.is_dir():
        raise BackboneUnknown(f"No backbone with digest {digest[:80]!r} is hosted here. Host it first.")
    card = read_card(home)
    check_files(card, home)
    return TextBackbone.open(card, home, threads=threads)


def read_card(home: Path) -> Card:
    """Read the card of one hosted folder.

    Raises:
        WeightsCorrupt: It is missing or unreadable, or its digest is not that of its files and of its folder's name.
    """
    try:
        fields: dict[str, Any] = json.loads((home / _CARD_NAME).read_text(encoding="utf-8"))
        fields["taps"] = {tap: tuple(shape) for tap, shape in fields["taps"].items()}
        card = Card(**fields)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(f"{home / _CARD_NAME} cannot be read ({error}). Host the backbone again.") from error
    if not card.digest == digest_of(card.files) == home.name:
        raise WeightsCorrupt(f"{home / _CARD_NAME} names another digest than its folder. Host the backbone again.")
    return card


def check_files(card: Card, home: Path) -> None:
    """Compare every file of a hosted folder with its card.

    Raises:
        WeightsCorrupt: One is missing or is not the recorded one.
    """
    for name, sha256 in {**card.files, **card.extras}.items():
        check_sha256(home / name, sha256)


def digest_of(files: dict[str, str]) -> str:
    """Digest of a backbone: sha256 (hex) over the sorted lines "name sha256" of its files."""
    lines = "".join(f"{name} {sha256}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _export(entry: Entry, folder: Path, on_progress: Progress) -> Card:
    builder = _builder(entry.source)
    staging = folder / f".{entry.id}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        exported = builder(entry, staging, on_progress)
        on_progress("publish", 0.95)
        return _publish(_card(entry, exported, staging), staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _builder(source: Source) -> Builder:
    known: dict[Any, Builder] = {**_BUILDERS, **_BUILT_IN}
    key = source.name if isinstance(source, BuiltIn) else type(source)
    if key not in known:
        raise ExportFailed(f"There is no way to build {source}.")
    return known[key]


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
        extras={name: digests[name] for name in exported.extras},
    )


def _publish(card: Card, staging: Path, folder: Path) -> Card:
    """Files to disk, then the card, then the folder's name, then the pointer: a crash in between leaves no half."""
    home = folder / card.digest
    for name in (*card.files, *card.extras):
        _sync(staging / name)
    _write_synced(staging / _CARD_NAME, asdict(card))
    _sync(staging)
    if _whole(home) is None:
        shutil.rmtree(home, ignore_errors=True)
        staging.rename(home)
    _write_synced(folder / f".{card.id}.pointer", {"digest": card.digest})
    (folder / f".{card.id}.pointer").replace(folder / f"{card.id}.json")
    _sync(folder)
    return card


def _pointed(folder: Path, id_: str) -> Card | None:
    """The card that a name points to, if there is one and all of its files are right."""
    pointer = folder / f"{id_}.json"
    try:
        return _whole(folder / _read_digest(pointer)) if pointer.exists() else None
    except WeightsCorrupt:
        return None


def _whole(home: Path) -> Card | None:
    """The card of a hosted folder, if there is one and all of its files are right."""
    if not home.is_dir():
        return None
    try:
        card = read_card(home)
        check_files(card, home)
    except WeightsCorrupt as error:
        _logger.warning("hosted backbone is broken", extra={"digest": home.name, "reason": error.message})
        return None
    return card


def _read_digest(pointer: Path) -> str:
    """The digest that a pointer names.

    Raises:
        WeightsCorrupt: It is not a pointer.
    """
    try:
        digest = str(json.loads(pointer.read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsCorrupt(f"{pointer} cannot be read ({error}). Host the backbone again.") from error
    if not _DIGEST.fullmatch(digest):
        raise WeightsCorrupt(f"{pointer} names {digest[:80]!r}, which is no digest. Host the backbone again.")
    return digest


def _write_synced(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system frees it when a process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
