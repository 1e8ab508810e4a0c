"""Pictures of a class that nobody has an example of, as mixtures of classes that are known. In this process.

    BENCH_DATA=... python -m benchmarks.mixture_cifar10 [--held truck,cat] [--rows 2000] [--home FOLDER]

Two questions about CIFAR-10 through a MobileNetV2, both with ``conse`` and names embedded by MiniLM as signatures:

- a classifier of nine classes, and pictures of the tenth: what are they made of, and does it show? For each held class
  the shares, their entropy and the second of them are set beside those of pictures of known classes, right and wrong.
- the thousand ImageNet classes of MobileNetV2's own classifier, and no picture of CIFAR-10 to learn from: how many of
  the test pictures get the right one of ten names?
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from rich.table import Table
from safetensors.numpy import load_file

from adapters.adapt import adapt
from adapters.base import F32, I64, Parent, Task
from adapters.linalg import unit_rows
from adapters.methods import parse_method
from adapters.signatures import Signatures
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.head import SignatureHead
from adapters.zero_shot.mixtures import mixture_of
from benchmarks.data import bench_data
from benchmarks.mixture_plot import plot
from benchmarks.record import open_console, provenance, write
from benchmarks.server import ROOT
from models.base import Item
from models.batching import embed
from models.catalog import Entry, Options, entry
from models.hosted import host, open_backbone
from models.sources import Folder

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HELD = ("truck", "cat")
IMAGES = ROOT / "docs" / "images"
SEED = 7
_PIXELS = 128
_BARS = 80
"""Pictures of the held class that are drawn."""
_MOST = 8
"""Source classes that are drawn by name; the rest is one."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """Pictures as MobileNetV2 sees them, and names as MiniLM does.

    Attributes:
        z, y: (n, d) float32 and (n,) classes to learn from.
        z_test, y_test: The same to be judged.
        words: Names to their embeddings of length 1.
        space: Digest of what embedded the names.
    """

    z: F32
    y: I64
    z_test: F32
    y_test: I64
    words: Mapping[str, F32]
    space: str

    def signatures(self, names: Sequence[str]) -> Signatures:
        """Of some classes, by their names."""
        values = np.stack([self.words[name] for name in names])
        return Signatures(tuple(names), tuple(map(str, range(values.shape[1]))), values, self.space)


@dataclass(frozen=True)
class Seen:
    """A group of test pictures: how many, means of what was said of them, and how many have a second mode."""

    pictures: int
    entropy: float
    second: float
    two_modes: float


@dataclass(frozen=True)
class Held:
    """What became of one class that was held out.

    Attributes:
        held: The class.
        known_accuracy: Of test pictures of the nine others, mean over classes, all ten names as answers.
        held_accuracy: Of test pictures of the held class, the same.
        raw: Both with nothing taken from the scores of seen classes.
        among_nine: Of the nine others, with only their names as answers.
        shares: Mean share of each source class in pictures of the held class, largest first.
        groups: Pictures of the held class, and of known ones that nine names answer right or wrong.
        told_apart: Chance that a picture of the held class has the larger entropy than one of a known class (AUROC),
            and than one of those that are wrong.
    """

    held: str
    known_accuracy: float
    held_accuracy: float
    raw: dict[str, float]
    among_nine: float
    shares: dict[str, float]
    groups: dict[str, Seen]
    told_apart: dict[str, float]


def main() -> None:
    """Run, print, draw and keep."""
    options = _options()
    made_by = provenance({**vars(options), "home": str(bool(options.home))})
    console = open_console()
    with TemporaryDirectory() as scratch:
        data = _embedded(bench_data(), options.home or Path(scratch), options.rows, options.threads)
    rows = [_held(data, name) for name in options.held]
    table = Table(
        "held", "made of", "nine", "known", "held", "raw", "entropy", "right", "wrong", "AUROC", "wrong", "two"
    )
    for row in rows:
        of = ", ".join(f"{name} {share:.2f}" for name, share in list(row.shares.items())[:4])
        entropies = [f"{row.groups[group].entropy:.2f}" for group in (row.held, "right", "wrong")]
        apart = [f"{value:.3f}" for value in row.told_apart.values()]
        right = [row.among_nine, row.known_accuracy, row.held_accuracy]
        raw = " ".join(f"{value:.3f}" for value in row.raw.values())
        two = " ".join(f"{group.two_modes:.2f}" for group in row.groups.values())
        table.add_row(row.held, of, *(f"{value:.3f}" for value in right), raw, *entropies, *apart, two)
    console.print(table)
    imagenet = _imagenet(data, bench_data() / "weights")
    console.print(imagenet)
    kept = {"held": [asdict(row) for row in rows], "imagenet": imagenet}
    console.print(f"kept in {write('mixture_cifar10', kept, made_by)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=lambda text: text.split(","), default=list(HELD), help="classes to hold out")
    parser.add_argument("--rows", type=int, default=2000, help="pictures to learn from, all classes together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--home", type=Path, help="where backbones are hosted; kept between runs")
    return parser.parse_args()


def _embedded(data: Path, home: Path, rows: int, threads: int) -> Embedded:
    weights = Folder(str(data / "weights" / "mobilenetv2_100_imagenet"), "mobilenetv2_100", {"pad_type": "same"})
    size = {"size": [_PIXELS] * 2, "resize": _PIXELS, "resample": "bilinear", "crop": True}
    scaling = {"mean": [127.5] * 3, "std": [127.5] * 3}
    eye = Entry("mobilenet", "image", "Apache-2.0", "MobileNetV2", weights, Options(preprocess={**size, **scaling}))
    images, y = _images(data / "cifar10" / "train.parquet")
    chosen = np.random.default_rng(SEED).permutation(len(y))[:rows]
    test, y_test = _images(data / "cifar10" / "test.parquet")
    z, _ = _through(eye, home, threads, [*(images[i] for i in chosen), *test])
    names = list(dict.fromkeys([*NAMES, *_imagenet_names(data / "weights")]))
    words, space = _through(entry("minilm-l6"), home, threads, names)
    known = dict(zip(names, unit_rows(words.astype(np.float64)).astype(np.float32), strict=True))
    return Embedded(z[:rows], y[chosen], z[rows:], y_test, known, space)


def _through(backbone: Entry, home: Path, threads: int, items: Sequence[Item]) -> tuple[F32, str]:
    card = host(backbone, home, lambda _stage, _share: None)
    z, _ = embed(open_backbone(home, card.digest, threads=threads), list(items))
    return z, card.digest


def _images(path: Path) -> tuple[list[bytes], I64]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    images = [entry["bytes"] if isinstance(entry, dict) else entry for entry in table["image"].to_pylist()]
    return images, np.array(table["label"].to_pylist(), dtype=np.int64)


def _fit(task: Task) -> SignatureHead:
    made = adapt(task, parse_method("conse"), on_stage=lambda _name, _share: None, clock=time.monotonic)
    return cast("SignatureHead", made.head)


def _held(data: Embedded, name: str) -> Held:
    """Learn nine classes, and look at the tenth."""
    held = NAMES.index(name)
    rows = data.y != held
    task = Task(data.z[rows], data.y[rows], NAMES, np.arange(int(rows.sum())), seed=SEED)
    head = _fit(replace(task, signatures=data.signatures(NAMES)))
    others = [other for other in NAMES if other != name]
    answers = np.array(NAMES)[head.scores(data.z_test).argmax(axis=1)]
    plain = np.array(NAMES)[replace(head, stacking=0.0).scores(data.z_test).argmax(axis=1)]
    narrow = np.array(others)[head.with_signatures(data.signatures(others)).scores(data.z_test).argmax(axis=1)]
    truth = np.array(NAMES)[data.y_test]
    front = cast("ConvexFront", head.fronts[0])
    sources, weights = front.shares(data.z_test)
    two = np.array([one.second is not None for one in mixture_of(sources, weights, front.similarity)])
    entropy, second = _entropy(weights), np.sort(weights, axis=1)[:, -2]
    groups = {name: truth == name, "right": (truth != name) & (narrow == truth)}
    groups["wrong"] = (truth != name) & (narrow != truth)
    mean = weights[groups[name]].mean(axis=0)
    ordered = {sources[i]: float(mean[i]) for i in np.argsort(-mean, kind="stable").tolist()}
    _draw(
        name, list(ordered), sources, weights[groups[name]], groups, {"entropy, nats": entropy, "second share": second}
    )
    return Held(
        name,
        known_accuracy=_mean_recall(answers, truth, others),
        held_accuracy=_mean_recall(answers, truth, [name]),
        raw={"known": _mean_recall(plain, truth, others), "held": _mean_recall(plain, truth, [name])},
        among_nine=_mean_recall(narrow, truth, others),
        shares=ordered,
        groups={
            group: Seen(
                int(of.sum()),
                entropy=float(entropy[of].mean()),
                second=float(second[of].mean()),
                two_modes=float(two[of].mean()),
            )
            for group, of in groups.items()
        },
        told_apart={
            "known": _auroc(entropy[groups[name]], entropy[truth != name]),
            "wrong": _auroc(entropy[groups[name]], entropy[groups["wrong"]]),
        },
    )


def _draw(
    name: str,
    ordered: Sequence[str],
    sources: Sequence[str],
    weights: F32,
    groups: Mapping[str, npt.NDArray[np.bool_]],
    figures: Mapping[str, F32],
) -> None:
    named = ordered[:_MOST]
    bars = []
    for row in weights[:_BARS]:
        shares = dict(zip(sources, row.tolist(), strict=True))
        kept = {source: shares[source] for source in named}
        bars.append(kept | {"others": max(0.0, 1 - sum(kept.values()))})
    called = {name: f"{name} (no example)", "right": "known, answered right", "wrong": "known, answered wrong"}
    spread = {
        figure: {called[group]: values[of].tolist() for group, of in groups.items()}
        for figure, values in figures.items()
    }
    drawn = plot(
        f"{name.capitalize()}s, seen by somebody who knows the nine other classes of CIFAR-10",
        bars,
        spread,
        f"{len(bars)} test pictures, a bar each: the classes that they are averages of (ConSE on MobileNetV2)",
    )
    (IMAGES / f"mixture_{name}.svg").write_text(drawn, encoding="utf-8")


def _imagenet(data: Embedded, weights: Path) -> dict[str, Any]:
    """Test pictures among ten names, by a classifier of a thousand others."""
    arrays = load_file(weights / "mobilenetv2_100_imagenet" / "model.safetensors")
    sources = _imagenet_names(weights)
    parent = Parent("imagenet:1", arrays["classifier.weight"], arrays["classifier.bias"], 1.0, tuple(sources))
    classes = (*sources, *(name for name in NAMES if name not in sources))
    nothing = np.zeros((0, data.z.shape[1]), np.float32)
    task = Task(nothing, np.zeros(0, np.int64), classes, np.zeros(0, np.int64), seed=SEED, parent=parent)
    head = _fit(replace(task, signatures=data.signatures(classes))).with_signatures(data.signatures(NAMES))
    answers = np.array(NAMES)[head.scores(data.z_test).argmax(axis=1)]
    truth = np.array(NAMES)[data.y_test]
    recall = {name: _mean_recall(answers, truth, [name]) for name in NAMES}
    return {"pictures": len(truth), "accuracy": float((answers == truth).mean()), "chance": 0.1, "recall": recall}


def _imagenet_names(weights: Path) -> list[str]:
    """A thousand different names: two are called crane."""
    lines = (weights / "imagenet_labels_1001.txt").read_text(encoding="utf-8").splitlines()[1:]
    return [f"{line}, the machine" if line in lines[:at] else line for at, line in enumerate(lines)]


def _entropy(shares: F32) -> F32:
    p = shares.astype(np.float64)
    result: F32 = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
    return result


def _mean_recall(answers: npt.NDArray[np.str_], truth: npt.NDArray[np.str_], classes: Sequence[str]) -> float:
    return float(np.mean([(answers[truth == name] == name).mean() for name in classes]))


def _auroc(above: F32, below: F32) -> float:
    order = np.searchsorted(np.sort(below), above, side="left") + np.searchsorted(np.sort(below), above, side="right")
    return float(order.mean() / (2 * len(below)))


if __name__ == "__main__":
    main()
