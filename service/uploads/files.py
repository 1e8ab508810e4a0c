"""Labelled images or sounds -> their files as they came: the one entry for both modalities.

archive (zip, tar) -> members -> folders, or a metadata table, as labels ┐
Parquet with bytes -> clean Parquet (parquet_media)                      ┴-> read and decoded -> policy -> quality
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Literal

from models.errors import Problem
from service.errors import FormatUnsupported, UploadRefused
from service.uploads.archives import Member, open_archive
from service.uploads.beside import Beside
from service.uploads.cells import Bad
from service.uploads.decoding import Candidate, Decoded, decode_all
from service.uploads.folders import labels_of
from service.uploads.items import Items, Reading, TaskKind
from service.uploads.limits import Limits
from service.uploads.listing import find_listing, read_listing
from service.uploads.media import HEAD_BYTES, NOUNS, Kind, Medium, kind_of
from service.uploads.names import listed, quoted
from service.uploads.policy import FILES, ROWS, Unit
from service.uploads.quality import Quality
from service.uploads.rows import Cell
from service.uploads.settle import Found, settle
from service.uploads.target import decide, quality_of

_SHOWN_LEFT_OUT = 5


@dataclass(frozen=True)
class Labelled:
    """The files of an upload and what is said of each.

    Attributes:
        unit: What is counted: files, or rows of a table.
        numbers: (m,) numbers of those that may become items.
        files: (m,) their paths, and how they are read.
        cells: (m,) what is learned of each, as it came.
        file_column, label_column: Where names and labels come from; empty where folders are the labels.
        beside: Groups and weights.
        problems: Those that are bad already.
        notes: What was decided.
    """

    unit: Unit
    numbers: Sequence[int]
    files: Sequence[Candidate]
    cells: Sequence[Cell]
    file_column: str = ""
    label_column: str = ""
    beside: Beside = field(default_factory=Beside)
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = field(default_factory=list)


def read_archive(path: Path, kind: Literal["zip", "tar"], reading: Reading, limits: Limits) -> Items:
    """Reads an archive of labelled images or sounds. Blocks: call it from a worker thread.

    Args:
        path: The finished local file; beside it is room for an unpacked copy.
        kind: Its format.
        reading: What the caller said about it.
        limits: How large it, and each part of it, may be.

    Raises:
        FormatUnsupported: It holds neither images nor sounds.
        UploadUnreadable: It is damaged.
        UploadTooLarge: A part of it is over a limit.
        UploadRefused: It was read and cannot be learned from: paths, labels, bad files.

    Cost: 1 ms for a photograph of 500 x 375, on each core; in memory the bytes of all files.
    """
    with open_archive(path, kind, limits) as members:
        kinds = {member.path: found for member in members if (found := _kind(member))}
        table = find_listing(members)
        media = [member for member in members if member.path in kinds]
        medium = _medium(reading, kinds, members)
        if table is not None:
            labelled = _by_table(table, members, media, path, reading, limits)
        else:
            labelled = _by_folder(members, media, reading)
        return read_files(labelled, medium, reading, limits, form=kind)


def read_files(labelled: Labelled, medium: Medium, reading: Reading, limits: Limits, *, form: str) -> Items:
    """Reads, decodes and judges files whose labels are known; see `read_archive`."""
    task, notes = _task(labelled, reading, limits)
    decoded = list(decode_all(labelled.files, medium, limits))
    faults = {
        at: f"{labelled.files[at].name}: {found.reason}" for at, found in enumerate(decoded) if isinstance(found, Bad)
    }
    found = Found(labelled.numbers, labelled.cells, labelled.problems, faults, labelled.beside)
    said = reading.task == "classification"
    settled = settle(
        labelled.label_column, found, task, limits, strict=reading.strict, unit=labelled.unit, certain=said
    )
    good = [file for at in settled.index if isinstance(file := decoded[at], Decoded)]
    names = tuple(labelled.files[at].name for at in settled.index)
    keys = [sha256(file.data).digest() for file in good]
    item: Literal["image", "sound"] = "image" if medium == "image" else "sound"
    quality = quality_of(keys, settled, [*labelled.notes, *notes], item=item, unit=labelled.unit)
    _name_conflicts(quality, dict(zip(settled.rows, names, strict=True)))
    role = "target" if task == "regression" else "label"
    roles = {"file": labelled.file_column, role: labelled.label_column, **labelled.beside.roles}
    return Items(
        modality=medium,
        task=task,
        rows=settled.rows,
        bad=settled.bad,
        bad_count=settled.bad_count,
        format=form,
        columns={role: column for role, column in roles.items() if column},
        quality=quality,
        labels=settled.labels,
        label_sets=settled.label_sets,
        targets=settled.targets,
        groups=settled.groups,
        weights=settled.weights,
        files=tuple(file.data for file in good),
        names=names,
        media=_media(good, medium),
    )


def _kind(member: Member) -> Kind | None:
    """What a member is; one that cannot be read is what its name says, and turns out bad when its turn comes."""
    try:
        head = member.entry.read(HEAD_BYTES)
    except Exception:
        head = b""
    return kind_of(head, member.path)


def _medium(reading: Reading, kinds: Mapping[str, Kind], members: Sequence[Member]) -> Medium:
    """Images or sounds: the caller's word, or what all of them are."""
    counts = Counter(kind.medium for kind in kinds.values())
    if not counts:
        held = f"its files are {listed([member.path for member in members])}" if members else "it holds no files"
        raise FormatUnsupported(
            f"The archive holds neither images nor sounds; {held}. Send CSV, TSV, JSON Lines or Parquet as it is, and "
            "images or sounds in one folder for each class."
        )
    if reading.modality in ("image", "audio"):
        asked: Medium = "image" if reading.modality == "image" else "audio"
        if not counts[asked]:
            raise UploadRefused(
                f"The archive holds {NOUNS[next(iter(counts))]}s, and 'modality' is {asked!r}. Leave 'modality' out."
            )
        return asked
    if len(counts) > 1:
        raise UploadRefused(
            f"The archive holds both images ({counts['image']}) and sounds ({counts['audio']}); an adapter takes one "
            "kind. Send an archive of one kind."
        )
    return next(iter(counts))


def _by_folder(members: Sequence[Member], media: Sequence[Member], reading: Reading) -> Labelled:
    _check_folders(reading)
    labels, notes = labels_of(media)
    numbered = [(at, member, label) for at, (member, label) in enumerate(zip(media, labels, strict=True), start=1)]
    return Labelled(
        unit=FILES,
        numbers=[at for at, _, label in numbered if label is not None],
        files=[Candidate(member.path, member.entry.read) for _, member, label in numbered if label is not None],
        cells=[label for label in labels if label is not None],
        problems=[
            Problem(f"{member.path}: it lies in no folder that names its class", row=at)
            for at, member, label in numbered
            if label is None
        ],
        notes=[*_others(members, media), *notes],
    )


def _check_folders(reading: Reading) -> None:
    """Refuses words about columns, which folders have not."""
    words = {name: getattr(reading, name) for name in ("label", "target", "group", "weight")}
    for word, given in words.items():
        if given is not None:
            remedy = f"Leave '{word}' out."
            if word in {"group", "weight"}:
                remedy = f"Add one with the columns file_name, label and {word}, or leave '{word}' out."
            raise UploadRefused(
                f"'{word}' names the column {quoted(given)}, and the archive has no metadata.csv that could hold it: "
                f"its folders are the labels. {remedy}"
            )
    if reading.task == "regression":
        raise UploadRefused(
            "Folders are classes; a regression needs numbers. Add a metadata.csv with the columns file_name and "
            'target, and send "target": "target".'
        )
    if reading.task == "multilabel":
        raise UploadRefused(
            "Folders are classes, one a file; where a file has several labels, add a metadata.csv with the columns "
            "file_name and label, such as 'beach|sunset'."
        )


def _by_table(
    table: Member, members: Sequence[Member], media: Sequence[Member], path: Path, reading: Reading, limits: Limits
) -> Labelled:
    beside = path.with_name(f"{path.name}.metadata")
    listing = read_listing(table, members, beside, reading, limits)
    named = {member.path for member in listing.members if member is not None}
    unnamed = [member for member in media if member.path not in named]
    notes = list(listing.notes)
    if unnamed:
        what = "1 file is" if len(unnamed) == 1 else f"{len(unnamed)} files are"
        notes.append(f"{what} not named in {table.path} and left out, such as {quoted(unnamed[0].path)}.")
    return Labelled(
        unit=ROWS,
        numbers=listing.numbers,
        files=[_candidate(*named, table) for named in zip(listing.names, listing.members, strict=True)],
        cells=listing.cells,
        file_column=listing.file_column,
        label_column=listing.label_column,
        beside=listing.beside,
        problems=listing.problems,
        notes=[*_others([m for m in members if m is not table], media), *notes],
    )


def _candidate(name: str, member: Member | None, table: Member) -> Candidate:
    if member is not None:
        return Candidate(member.path, member.entry.read)
    if not name:
        return Candidate("?", Bad("the name of the file is missing"))
    return Candidate(name, Bad(f"no file of that name lies beside {table.path}"))


def _others(members: Sequence[Member], media: Sequence[Member]) -> list[str]:
    known = {member.path for member in media}
    others = [member.path for member in members if member.path not in known]
    if not others:
        return []
    shown = ", ".join(quoted(path) for path in others[:_SHOWN_LEFT_OUT])
    more = f" and {len(others) - _SHOWN_LEFT_OUT} more" if len(others) > _SHOWN_LEFT_OUT else ""
    return [f"Left out, because they are neither images nor sounds: {shown}{more}."]


def _task(labelled: Labelled, reading: Reading, limits: Limits) -> tuple[TaskKind, list[str]]:
    """Classes where folders are, or numbers that the caller does not call a target."""
    if not labelled.label_column:
        return "classification", []
    numbers = reading.target is not None
    return decide(labelled.label_column, labelled.cells, reading.task, limits, numbers=numbers)


def _name_conflicts(quality: Quality, names: Mapping[int, str]) -> None:
    for conflict in quality.get("conflicts", []):
        conflict["files"] = [names[row] for row in conflict["rows"]]


def _media(items: Sequence[Decoded], medium: Medium) -> dict[str, Any]:
    sizes = [item.size for item in items]
    what = {"low": min(sizes), "high": max(sizes), "median": median(sizes)}
    formats = Counter(item.format for item in items)
    return {"formats": dict(formats.most_common()), "pixels" if medium == "image" else "seconds": what}
