"""Animals with Attributes and Banking77 with classes left out, as tasks with signatures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.base import Task
from adapters.dataset import humanise
from adapters.signatures import Signatures
from benchmarks.data import Banking77, load_banking77
from benchmarks.server import BENCH
from models.batching import embed
from models.catalog import entry
from models.hosted import host, hosted, open_backbone

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

BACKBONE = "minilm-l6"
SHARE = 0.2
"""Of the rows of seen classes of AwA, what is held out to judge these."""

_KINDS = ("phog", "surf", "rgsift")


@dataclass(frozen=True, eq=False)
class Unseen:
    """What is fitted, and what is judged.

    Attributes:
        name: Of the split.
        task: Rows of seen classes; all classes are described.
        z: (m, d) rows that are judged, of all classes.
        y: (m,) their classes.
        whole: The task with every row of the seen classes, where some of those are judged; else None.
    """

    name: str
    task: Task
    z: F32
    y: I64
    whole: Task | None = None


def awa(folder: Path) -> list[Unseen]:
    """The standard and the proposed split: 40 seen classes, 10 unseen, three kinds of histograms side by side.

    Each kind is brought to a sum of one, and its square roots are taken.
    """
    arrays = np.load(folder / "awa" / "awa1_features_60pc.npz", allow_pickle=False)
    classes = tuple(str(name) for name in arrays["classes"])
    z = np.concatenate([_root(arrays[kind].astype(np.float32)) for kind in _KINDS], axis=1)
    values = arrays["continuous"].astype(np.float32)
    values[values < 0] = np.nan
    signatures = Signatures(classes, tuple(str(name) for name in arrays["predicates"]), values)
    y = arrays["labels"].astype(np.int64)
    proposed = (folder / "awa" / "awa2" / "ps_testclasses.txt").read_text(encoding="utf-8").split()
    unseen = {"standard": [str(name) for name in arrays["test_classes"]], "proposed": proposed}
    return [_parted(name, z, y, signatures, names) for name, names in unseen.items()]


def _root(histograms: F32) -> F32:
    result: F32 = np.sqrt(histograms / np.maximum(histograms.sum(axis=1, keepdims=True), 1e-12))
    return result


def _parted(name: str, z: F32, y: I64, signatures: Signatures, unseen: Sequence[str]) -> Unseen:
    foreign = np.isin(y, [signatures.classes.index(one) for one in unseen])
    held_out = np.random.default_rng(0).random(len(y)) < SHARE
    fitted, judged = ~foreign & ~held_out, foreign | held_out
    every = Task(z, y, signatures.classes, np.arange(len(y)), signatures=signatures)
    return Unseen(name, every.rows(fitted), z[judged], y[judged], every.rows(~foreign))


@dataclass(frozen=True, eq=False)
class Embedded:
    """Banking77 as the backbone embeds it.

    Attributes:
        classes: 77, as the lists of unseen ones number them.
        train, test: (n, 384) rows.
        y_train, y_test: (n,) their classes.
        names: (77, 384) the classes' names.
        space: Digest of the backbone.
        unseen: Five lists of 20 classes.
        data: The texts themselves.
    """

    classes: tuple[str, ...]
    train: F32
    test: F32
    y_train: I64
    y_test: I64
    names: F32
    space: str
    unseen: list[list[str]]
    data: Banking77


class Words:
    """The text backbone, opened once; what it embedded of the data is kept between runs."""

    def __init__(self, threads: int) -> None:
        folder = BENCH / "backbones"
        host(entry(BACKBONE), folder, lambda _stage, _share: None)
        self.digest = hosted(folder)[BACKBONE].digest
        self._backbone = open_backbone(folder, self.digest, threads=threads)

    def embed(self, texts: Sequence[str]) -> F32:
        """(n, 384)."""
        return embed(self._backbone, texts)[0]

    def banking77(self, folder: Path) -> Embedded:
        """All of Banking77. Cost: a minute the first time."""
        data = load_banking77(folder)
        classes = tuple(sorted({label for _, label in data.train}))
        place = {name: number for number, name in enumerate(classes)}
        kept = BENCH / f"zero_shot_{self.digest[:12]}.npz"
        if not kept.is_file():
            parts = {part: self.embed([text for text, _ in getattr(data, part)]) for part in ("train", "test")}
            np.savez(kept, train=parts["train"], test=parts["test"])
        arrays = np.load(kept, allow_pickle=False)
        unseen = json.loads((folder / "banking77" / "splits.json").read_text(encoding="utf-8"))["unseen"]
        return Embedded(
            classes,
            arrays["train"],
            arrays["test"],
            np.array([place[label] for _, label in data.train], dtype=np.int64),
            np.array([place[label] for _, label in data.test], dtype=np.int64),
            self.embed([humanise(name) for name in classes]),
            self.digest,
            [[name if isinstance(name, str) else classes[name] for name in names] for names in unseen],
            data,
        )


def without(words: Embedded, number: int) -> Unseen:
    """One of the lists left out: training rows of the others are fitted, all test rows are judged."""
    foreign = np.isin(words.y_train, [words.classes.index(name) for name in words.unseen[number]])
    attributes = tuple(str(column) for column in range(words.names.shape[1]))
    signatures = Signatures(words.classes, attributes, words.names, words.space)
    every = Task(
        words.train,
        words.y_train,
        words.classes,
        np.arange(len(words.y_train)),
        words.names,
        signatures=signatures,
    )
    return Unseen(f"list {number}", every.rows(~foreign), words.test, words.y_test)


def shots(words: Embedded, number: int, split: int) -> Task:
    """One of the fixed few-shot splits."""
    rows = np.array(words.data.shots[number][split])
    return Task(words.train[rows], words.y_train[rows], words.classes, np.arange(len(rows)), words.names)
