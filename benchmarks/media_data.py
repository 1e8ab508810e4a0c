"""The images and sounds that are judged, as encoded files with their labels."""

import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits

Labelled = tuple[bytes, str]
"""An encoded file and its class."""


@dataclass(frozen=True)
class Media:
    """One set of images or sounds.

    Attributes:
        name: In results.
        field: What one input is called: ``image`` or ``audio``.
        suffix: Of its files.
        train: What may be fitted.
        test: What is judged.
    """

    name: str
    field: str
    suffix: str
    train: Sequence[Labelled]
    test: Sequence[Labelled]

    def draw(self, shots: int, seed: int) -> list[Labelled]:
        """So many training files of each class, at random."""
        rng, classes = np.random.default_rng(seed), defaultdict(list)
        for item in self.train:
            classes[item[1]].append(item)
        return [found[i] for _, found in sorted(classes.items()) for i in rng.permutation(len(found))[:shots]]


def image_folder(items: Sequence[Labelled], suffix: str) -> bytes:
    """A zip file with one folder a class."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for number, (data, label) in enumerate(items):
            archive.writestr(f"{label}/{number:05}{suffix}", data)
    return sink.getvalue()


def cifar10(folder: Path) -> Media:
    """CIFAR-10 as 32 px JPEG files: 1,000 training and 200 test images a class."""
    parts = []
    for part in ("train", "test"):
        table = pq.read_table(folder / "cifar10" / f"{part}.parquet", columns=["image", "label_name"])
        parts.append(list(zip(table["image"].to_pylist(), table["label_name"].to_pylist(), strict=True)))
    train, test = ([(_bytes(image), label) for image, label in part] for part in parts)
    return Media("cifar10", "image", ".jpg", train, test)


def cxr(folder: Path) -> Media:
    """Chest X-rays, normal or pneumonia: 300 training and 100 test images of 224 px."""
    train, test = (_zipped(folder / "cxr" / "cxr_nih_400.zip", part, ".jpg", _parent) for part in ("train", "test"))
    return Media("cxr", "image", ".jpg", list(train), list(test))


def digits(seed: int, shots: int = 10) -> Media:
    """scikit-learn's digits, 8 px, as PNG: some of each class are fitted, all others judged."""
    x, y = load_digits(return_X_y=True)
    files = [(_png(image.reshape(8, 8)), str(label)) for image, label in zip(x, y, strict=True)]
    rng = np.random.default_rng(seed)
    fitted = {int(i) for label in range(10) for i in rng.permutation(np.flatnonzero(y == label))[:shots]}
    train, test = ([files[i] for i in range(len(files)) if (i in fitted) is part] for part in (True, False))
    return Media("digits", "image", ".png", train, test)


def fsdd(folder: Path) -> Media:
    """Spoken digits of six speakers, 8 kHz: 600 training and 300 test sounds."""
    train, test = (_zipped(folder / "fsdd" / "fsdd_900.zip", part, ".wav", _digit) for part in ("train", "test"))
    return Media("fsdd", "audio", ".wav", list(train), list(test))


def jpegs(media: Media, size_px: int, count: int) -> list[bytes]:
    """Test images enlarged and kept as JPEG files of quality 90: what a camera's small picture weighs."""
    made = []
    for data, _ in media.test[:: max(1, len(media.test) // count)][:count]:
        sink = io.BytesIO()
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC)
        image.save(sink, "JPEG", quality=90)
        made.append(sink.getvalue())
    return made


def _zipped(path: Path, part: str, suffix: str, label: Callable[[Path], str]) -> Iterator[Labelled]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            inside = Path(name)
            if inside.suffix == suffix and part in inside.parts:
                yield archive.read(name), label(inside)


def _parent(path: Path) -> str:
    return path.parent.name


def _digit(path: Path) -> str:
    return path.name.partition("_")[0]


def _bytes(image: object) -> bytes:
    return image["bytes"] if isinstance(image, dict) else image  # type: ignore[return-value]


def _png(pixels: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.round(pixels * (255 / 16)).astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()
