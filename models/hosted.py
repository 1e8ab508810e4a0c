"""The folder of hosted backbones.

    <folder>/<digest>/pooled.onnx, tokenizer.json, card.json    immutable; card.json is written last
    <folder>/<digest>/prepare.json                              what is done to an item before the graph, so that the
                                                                digest covers it; where the tokenizer does not say it
    <folder>/<id>.json                                          pointer: which digest a name of the catalogue means
    <folder>/lock.json                                          what revisions of the hub meant (see models/locks.py)
    <folder>/.<id>.lock, .<id>.staging/, .added-*/              only while hosting

A pointer is kept as long as its folder is whole: a newer torch may export other bytes, and a digest that changed by
itself would orphan every adapter and every cached embedding of the old one.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.base import Backbone, Card
from models.catalog import Entry
from models.convert import convert
from models.durable import locked, locked_folder, own_staging, replace_file, sync, write_synced
from models.errors import BackboneUnknown, WeightsCorrupt
from models.export import Progress
from models.locks import LOCK_NAME
from models.session import POOLED
from models.taps import more_taps
from models.warm import NO_LIMITS, Limits, open_card
from models.weights import check_sha256, digest_of

_logger = logging.getLogger(__name__)

_CARD_NAME = "card.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
BLOCK = re.compile(r"block[1-9][0-9]*")
"""Names of taps behind one block."""
_EMBEDDINGS = (POOLED, "blocks")
"""Names of taps that give one embedding an item."""


def host(entry: Entry, folder: Path, on_progress: Progress, *, pointer: bool = True) -> Card:
    """Make a backbone servable: bring its weights here, convert, verify, run one item, keep it under its digest.

    Safe when several processes do it at once, and when one is killed at any moment: a folder that is seen is whole.

    Args:
        entry: Of the catalogue, or somebody's own.
        folder: The folder of hosted backbones.
        on_progress: Called with the stage (``download``, ``convert``, ``verify``, ``warm``) and the share done.
        pointer: Whether the name is pointed to the digest, as names of the catalogue are. Then nothing is done but a
            check where it is hosted already, and of several processes one exports while the others wait. Without,
            nothing but the folder under its digest is written.

    Cost: 12 s for ``minilm-l6`` the first time, 0.1 s afterwards; 0.1 s for ``fake``.

    Raises:
        SourceRefused: A source of somebody's own cannot become a backbone.
        ExportFailed: One of Graft's own cannot be exported.
        ExportMismatch: The export does not compute what the weights do.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if pointer:
        with locked(folder / f".{entry.id}.lock"):
            card = _pointed(folder, entry.id) or _host_by_name(entry, folder, on_progress)
    else:
        with own_staging(folder) as staging:
            card = convert(entry, folder, staging, on_progress)
            _publish(_nameless(card), staging, folder)
    on_progress("hosted", 1.0)
    return card


def hosted(folder: Path) -> dict[str, Card]:
    """Every hosted backbone by id, from the cards alone: the big files are not read. A broken one is left out.

    Cost: 0.3 ms a backbone.
    """
    cards: dict[str, Card] = {}
    for pointer in sorted(set(folder.glob("[!.]*.json")) - {folder / LOCK_NAME}):
        try:
            cards[pointer.stem] = read_card(folder / _read_digest(pointer))
        except WeightsCorrupt as error:
            _logger.warning("hosted backbone left out", extra={"backbone": pointer.stem, "reason": error.message})
    return cards


def open_backbone(
    folder: Path, digest: str, *, threads: int, limits: Limits = NO_LIMITS, tap: str = POOLED
) -> Backbone:
    """Load a hosted backbone for serving or embedding. Never loads torch.

    Args:
        folder: The folder of hosted backbones.
        digest: `Card.digest`.
        threads: CPU threads within one operation; 1 where one process a core serves.
        limits: What it may take of the machine.
        tap: Which of its embeddings it gives: ``pooled`` or ``blocks``. Its card then has that one's shape for
            ``pooled`` too, so that whoever works with embeddings need not know.

    Graphs of other taps are not read; `check_files` is for who opens them.

    Cost: 0.3 s and 140 MB for ``minilm-l6``.

    Raises:
        BackboneUnknown: No backbone with that digest is hosted here, or it was hosted without that tap.
        WeightsCorrupt: A file is not the one that was recorded.
    """
    home = _home(folder, digest)
    card = read_card(home)
    if tap not in card.taps or tap not in _EMBEDDINGS:
        raise BackboneUnknown(f"{card.id} is hosted without an embedding {tap[:80]!r}. Add that tap to it first.")
    check_files(card, home, [name for name in (*card.files, *card.extras) if _of_tap(name, tap)])
    return open_card(card, home, threads=threads, limits=limits, tap=tap)


def add_tap(entry: Entry, folder: Path, digest: str, tap: str, on_progress: Progress) -> Card:
    """Give a hosted backbone one more tap, made from the same weights. Its digest stays; nothing is done where it has.

    Safe when several processes do it at once: one exports while the others wait. Who has the backbone open keeps what
    it has; whoever opens it from now on finds the tap.

    Args:
        entry: What it was hosted from.
        folder: The folder of hosted backbones.
        digest: `Card.digest`.
        tap: ``blocks``, or ``block<k>`` from 1.
        on_progress: Called with the stage and the share done in [0, 1].

    Returns:
        The card, with the tap.

    Cost: 12 s for 6 layers of 384 (one core).

    Raises:
        BackboneUnknown: No backbone with that digest is hosted here.
        SourceRefused: It has no weights in torch, they have changed, there is no such tap, or it cannot be exported.
        WeightsCorrupt: Packaged weights are not the recorded ones.
    """
    with _held(folder, digest) as home, own_staging(folder) as staging:
        card = read_card(home)
        if tap not in card.taps:
            card = more_taps(entry, folder, card, tap, staging, on_progress)
            _add_graph(staging / f"{tap}.onnx", card, _home(folder, digest))
    on_progress("hosted", 1.0)
    return card


def read_card(home: Path) -> Card:
    """Read the card of one hosted folder.

    Raises:
        WeightsCorrupt: It is missing or unreadable, or its digest is not that of its files and of its folder's name.
    """
    try:
        fields: dict[str, Any] = json.loads((home / _CARD_NAME).read_text(encoding="utf-8"))
        fields["taps"] = {tap: tuple(shape) for tap, shape in fields["taps"].items()}
        fields["parts"] = dict(sorted(fields.get("parts", {}).items(), key=_place))
        card = Card(**fields)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsCorrupt(f"{home / _CARD_NAME} cannot be read ({error}). Host the backbone again.") from error
    if not card.digest == digest_of(card.files) == home.name:
        raise WeightsCorrupt(f"{home / _CARD_NAME} names another digest than its folder. Host the backbone again.")
    return card


def check_files(card: Card, home: Path, names: Iterable[str] | None = None) -> None:
    """Compare files of a hosted folder with its card.

    Args:
        card: What was recorded.
        home: The folder.
        names: Of the files; all where None.

    Raises:
        WeightsCorrupt: One is missing or is not the recorded one.
    """
    recorded = {**card.files, **card.extras}
    for name in recorded if names is None else names:
        check_sha256(home / name, recorded[name])


def _home(folder: Path, digest: str) -> Path:
    """Folder of a hosted backbone."""
    home = folder / digest
    if not _DIGEST.fullmatch(digest) or not home.is_dir():
        raise _unknown(digest)
    return home


def _unknown(digest: str) -> BackboneUnknown:
    return BackboneUnknown(f"No backbone with digest {digest[:80]!r} is hosted here. Host it first.")


@contextmanager
def _held(folder: Path, digest: str) -> Iterator[Path]:
    """Folder of a hosted backbone, which no other process adds to meanwhile."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked_folder(_home(folder, digest)))
        except FileNotFoundError as error:  # removed at this very moment
            raise _unknown(digest) from error
        yield folder / digest


def _add_graph(graph: Path, card: Card, home: Path) -> None:
    """The graph to disk, then the card that names it: a crash in between leaves a file that nobody asks for."""
    sync(graph)
    graph.replace(home / graph.name)
    sync(home)
    replace_file(home / _CARD_NAME, asdict(card))


def _place(part: tuple[str, int]) -> tuple[bool, int]:
    """Of a part of the tap ``blocks``: its blocks by number, then the embedding. In JSON the names are sorted."""
    name = part[0]
    return (True, 0) if name == POOLED else (False, int(name.removeprefix("block")))


def _of_tap(name: str, tap: str) -> bool:
    """Whether a file is not the graph of another tap."""
    stem = name.partition(".")[0]
    return stem == tap or (stem not in _EMBEDDINGS and not BLOCK.fullmatch(stem))


def _host_by_name(entry: Entry, folder: Path, on_progress: Progress) -> Card:
    staging = folder / f".{entry.id}.staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        card = convert(entry, folder, staging, on_progress)
        _publish(card, staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _point(card, folder)
    return card


def named(card: Card, entry: Entry) -> Card:
    """A card under the name, licence and origin that somebody gave their own backbone."""
    return replace(card, id=entry.id, licence=entry.licence, source=entry.about, trained=entry.trained)


def _nameless(card: Card) -> Card:
    """The card without what its owner said: others may add the same files, and the folder is theirs as well."""
    return replace(card, id=f"sha256-{card.digest[:12]}", licence="NOASSERTION", source="")


def _publish(card: Card, staging: Path, folder: Path) -> None:
    """Files to disk, then the card, then the folder's name: a crash in between leaves no half."""
    home = folder / card.digest
    for name in (*card.files, *card.extras):
        sync(staging / name)
    write_synced(staging / _CARD_NAME, asdict(card))
    sync(staging)
    with locked_folder(folder):
        if _whole(home) is None:
            shutil.rmtree(home, ignore_errors=True)
            staging.rename(home)
        sync(folder)


def _point(card: Card, folder: Path) -> None:
    """The card of the catalogue, whoever hosted the same files before, with their taps; and then the pointer."""
    home = folder / card.digest
    with locked_folder(home):
        there = read_card(home)
        kept = replace(card, taps=there.taps, extras=there.extras, parts=there.parts)
        replace_file(home / _CARD_NAME, asdict(kept))
    replace_file(folder / f"{card.id}.json", {"digest": card.digest})


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
