"""What averages are judged on: embeddings of several backbones side by side, and the members that are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adapters.base import F32, I64
from adapters.dataset import humanise
from benchmarks import media_data
from benchmarks.data import load_banking77
from models.base import Item
from models.batching import embed
from models.catalog import Entry, Options, entry
from models.hosted import host, open_backbone
from models.sources import Folder

SETS = ("banking77", "cifar10")
SHOTS = {"banking77": 5, "cifar10": 50}
"""Examples a class."""

_PIXELS = 128
_DEV_ROWS = 2000


@dataclass(frozen=True, eq=False)
class Space:
    """An embedding of every item.

    Attributes:
        backbone: Whose.
        z: (n, d) of the items that may be learned from.
        test: (t, d) of those that are judged.
        names: (k, d) of the class names; None where it embeds no texts.
    """

    backbone: str
    z: F32
    test: F32
    names: F32 | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """One set.

    Attributes:
        name: Of `SETS`.
        classes: k names.
        spaces: In the order in which embeddings stand side by side.
        y: (n,) classes of the items that may be learned from.
        truth: (t,) classes of those that are judged.
        draws: Of each draw the rows that are learned from.
    """

    name: str
    classes: tuple[str, ...]
    spaces: tuple[Space, ...]
    y: I64
    truth: I64
    draws: tuple[I64, ...]


def banking77(folder: Path, home: Path, *, draws: int, dev: bool, threads: int) -> Problem:
    """The fixed splits of five examples a class, and MiniLM."""
    data = load_banking77(folder)
    classes = tuple(sorted({label for _, label in data.train}))
    chosen = [np.array(rows) for rows in data.shots[SHOTS["banking77"]][:draws]]
    learned, test = _kept(len(data.train), chosen, dev=dev)
    texts = [data.train[row][0] for row in learned]
    judged = [data.train[row] for row in test] if dev else data.test
    eye, names = entry("minilm-l6"), [humanise(name) for name in classes]
    z = _embedded(eye, [*texts, *(text for text, _ in judged), *names], home, threads)
    behind = len(texts) + len(judged)
    space = Space(eye.id, z[: len(texts)], z[len(texts) : behind], z[behind:])
    y = _numbers([data.train[row][1] for row in learned], classes)
    truth = _numbers([label for _, label in judged], classes)
    return Problem("banking77", classes, (space,), y, truth, tuple(np.searchsorted(learned, rows) for rows in chosen))


def cifar10(folder: Path, home: Path, *, draws: int, dev: bool, threads: int) -> Problem:
    """Fifty images a class, and two MobileNets."""
    media = media_data.cifar10(folder)
    classes = tuple(sorted({label for _, label in media.train}))
    place = {id(item): row for row, item in enumerate(media.train)}
    chosen = [np.sort([place[id(item)] for item in media.draw(SHOTS["cifar10"], seed)]) for seed in range(draws)]
    learned, test = _kept(len(media.train), chosen, dev=dev)
    items = [media.train[row] for row in learned]
    judged = [media.train[row] for row in test] if dev else list(media.test)
    files = [image for image, _ in (*items, *judged)]
    spaces = []
    for eye in mobilenets(folder / "weights"):
        z = _embedded(eye, files, home, threads)
        spaces.append(Space(eye.id, z[: len(items)], z[len(items) :]))
    y, truth = (_numbers([label for _, label in some], classes) for some in (items, judged))
    return Problem(
        "cifar10", classes, tuple(spaces), y, truth, tuple(np.searchsorted(learned, rows) for rows in chosen)
    )


def mobilenets(weights: Path) -> tuple[Entry, ...]:
    """Two backbones for images of 128 px, as the service hosts them for `benchmarks.media`."""
    size = {"size": [_PIXELS] * 2, "resize": [_PIXELS] * 2, "resample": "bilinear", "crop": False}
    options = Options(normalise=True, preprocess={**size, "mean": [127.5] * 3, "std": [127.5] * 3})
    large = Folder(str(weights / "mobilenetv2_100_imagenet"), "mobilenetv2_100", {"pad_type": "same"})
    small = Folder(str(weights / "mobilenetv1_0.25_128_imagenet_hf"))
    return (
        Entry("mobilenet-v2-128", "image", "Apache-2.0", "MobileNetV2", large, options),
        Entry("mobilenet-v1-128", "image", "Apache-2.0", "MobileNetV1 0.25", small, options),
    )


def _kept(rows: int, chosen: Sequence[npt.NDArray[np.int64]], *, dev: bool) -> tuple[I64, I64]:
    """Rows that any draw learns from, and some that none does; the latter for choosing defaults."""
    learned = np.unique(np.concatenate(chosen))
    if not dev:
        return learned, np.empty(0, dtype=np.int64)
    others = np.setdiff1d(np.arange(rows), learned)
    return learned, np.sort(np.random.default_rng(0).permutation(others)[:_DEV_ROWS])


def _embedded(backbone: Entry, items: Sequence[Item], home: Path, threads: int) -> F32:
    card = host(backbone, home, lambda _stage, _share: None)
    z, _ = embed(open_backbone(home, card.digest, threads=threads), list(items))
    return z


def _numbers(labels: Sequence[str], classes: tuple[str, ...]) -> I64:
    return np.array([classes.index(label) for label in labels], dtype=np.int64)
