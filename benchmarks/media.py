"""Images and sounds over HTTP: accuracy of few labelled files on each backbone, and what ranking backbones costs.

    BENCH_DATA=... python -m benchmarks.media [--parts cifar10,cxr,digits,fsdd,rank] [--seeds 5]

Each draw: upload the files as a zip with one folder a class, fit `logistic`, predict the whole test set. Nothing is
chosen on a test set.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks import media_data
from benchmarks.data import bench_data
from benchmarks.media_client import MediaClient
from benchmarks.media_data import Labelled, Media
from benchmarks.record import Target, open_console, provenance, show_targets, some_of, write
from benchmarks.scores import log_loss, spread
from benchmarks.server import NO_CACHE, fresh_home, serving, stop_on_terminate

PARTS = ("cifar10", "cxr", "digits", "fsdd", "rank")
ALL = 10**6
"""As many files of a class as there are."""

V1, V2, V2_LARGE, SCATTER, LOGMEL = (
    *("mobilenetv1-128", "mobilenetv2-128", "mobilenetv2-224"),
    *("scatter-2d", "logmel-stats"),
)
AIMS = {
    ("cifar10", V2): {10: 0.55, 50: 0.645, 100: 0.665},
    ("cifar10", V1): {10: 0.49, 50: 0.61, 100: 0.645},
    ("cifar10", SCATTER): {10: 0.36, 50: 0.50},
    ("cxr", V2_LARGE): {ALL: 0.84},
    ("digits", SCATTER): {10: 0.935},
    ("fsdd", LOGMEL): {5: 0.77, ALL: 0.96},
}
"""Accuracy on the test set that is asked for, by files a class."""
RANK_ITEMS = 20
"""Files a class of the ranking's dataset: 200 in all."""
RANK_FACTOR = 1.2


@dataclass(frozen=True)
class Draw:
    """One draw of training files.

    Attributes:
        data, backbone, shots, seed: What was fitted; `shots` is `ALL` where every file was.
        accuracy, log_loss: On the test set.
        auc: Area under the ROC curve, where there are two classes.
        seconds: Of the fit's stages.
    """

    data: str
    backbone: str
    shots: int
    seed: int
    accuracy: float
    log_loss: float
    auc: float | None
    seconds: dict[str, float]


@dataclass(frozen=True)
class Ranked:
    """One ranking: seconds that its job ran, seconds that embedding the same files took, and its table."""

    seconds: float
    embed_s: float
    result: dict[str, Any]


def mobilenet(weights: Path, name: str) -> dict[str, Any]:
    """MobileNetV2 for images of 128 px under a name, as `sources` has it."""
    return {**sources(weights)[1], "id": name}


def sources(weights: Path) -> list[dict[str, Any]]:
    """The pretrained backbones, from their folders: whole images, resized to the square that the graph takes.

    Cropping as for ImageNet loses the borders of X-rays; cross-validated on training images alone, the log loss is
    lower without it on both sets, and with embeddings of unit length.
    """
    mobilenet_v1: dict[str, Any] = {"path": str(weights / "mobilenetv1_0.25_128_imagenet_hf")}
    mobilenet_v2: dict[str, Any] = {"path": str(weights / "mobilenetv2_100_imagenet"), "timm": "mobilenetv2_100"}
    mobilenet_v2["options"] = {"pad_type": "same"}
    return [_hosted(V1, mobilenet_v1, 128), _hosted(V2, mobilenet_v2, 128), _hosted(V2_LARGE, mobilenet_v2, 224)]


def _hosted(name: str, source: dict[str, Any], size: int) -> dict[str, Any]:
    pixels = {"size": size, "resize": [size, size], "crop": False, "resample": "bilinear"}
    scale = {"mean": [127.5], "std": [127.5]}
    common = {"modality": "image", "normalise": True, "licence": "Apache-2.0"}
    return {"id": name, "source": source, "preprocess": pixels | scale, **common}


def judge(client: MediaClient, media: Media, backbone: str, shots: int, seed: int) -> Draw:
    """Fit one draw and score it on the test set."""
    items: Sequence[Labelled] = media.train if shots == ALL else media.draw(shots, seed)
    fitted = client.fit(media, items, backbone)
    answers = client.predict(fitted.ref, media, [data for data, _ in media.test])
    classes = sorted({label for _, label in media.train})
    y = np.array([classes.index(label) for _, label in media.test])
    p = np.array([[dict(answer["top"])[name] for name in classes] for answer in answers], dtype=np.float64)
    auc = float(roc_auc_score(y, p[:, 1])) if len(classes) == 2 else None
    accuracy = float((p.argmax(axis=1) == y).mean())
    return Draw(media.name, backbone, shots, seed, accuracy, log_loss(p, y), auc, fitted.seconds)


def draws(client: MediaClient, part: str, folder: Path, seeds: int, say: Callable[[str], None]) -> Iterator[Draw]:
    """Every draw of one set."""
    loaded = getattr(media_data, part)
    for (name, backbone), aims in AIMS.items():
        for shots in aims if name == part else ():
            many = 10 if part in {"digits", "fsdd"} else seeds
            for seed in range(1 if shots == ALL else many):
                media = loaded(seed) if part == "digits" else loaded(folder)
                say(f"{part}, {backbone}, {shots} a class, draw {seed + 1}")
                yield judge(client, media, backbone, shots, seed)


def rank(client: MediaClient, media: Media, say: Callable[[str], None]) -> Ranked:
    """Rank four image backbones on files that none has embedded, beside embedding alone; needs the cache off."""
    backbones = [V1, V2, V2_LARGE, SCATTER]
    items = media.draw(RANK_ITEMS, seed=1_000)
    for _ in range(2):  # sessions are opened once; that is no part of embedding
        say("ranking, and embedding alone")
        embed_s = sum(client.fit(media, items, name, method="prototype").seconds["embed"] for name in backbones)
        result, seconds = client.rank(client.upload(media, items), backbones)
    return Ranked(seconds, embed_s, result)


def targets(seen: Sequence[Draw], ranked: Ranked | None) -> list[Target]:
    """Every figure that has a limit, for what was run."""
    result = []
    for (name, backbone), aims in AIMS.items():
        for shots, limit in aims.items():
            own = [draw.accuracy for draw in seen if (draw.data, draw.backbone, draw.shots) == (name, backbone, shots)]
            if own:
                what = f"{name}, {backbone}, {_shots(shots)}"
                result.append(Target(what, statistics.mean(own), limit, at_least=True))
    if ranked is not None:
        what = "seconds to rank 4 backbones on 200 images over embedding them"
        result.append(Target(what, ranked.seconds / ranked.embed_s, RANK_FACTOR))
    return result


def shown(seen: Sequence[Draw]) -> Table:
    """Means and deviations over draws."""
    table = Table("data", "backbone", "files a class", "draws", "accuracy", "log loss", "AUC", title="On the test set")
    for key in dict.fromkeys((draw.data, draw.backbone, draw.shots) for draw in seen):
        own = [draw for draw in seen if (draw.data, draw.backbone, draw.shots) == key]
        aucs = [draw.auc for draw in own if draw.auc is not None]
        accuracy, loss = spread([draw.accuracy for draw in own]), spread([draw.log_loss for draw in own])
        auc = str(spread(aucs)) if aucs else "-"
        table.add_row(key[0], key[1], _shots(key[2]), str(len(own)), str(accuracy), str(loss), auc)
    return table


def _shots(shots: int) -> str:
    return "all" if shots == ALL else str(shots)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/media.json."""
    chosen = _parse(arguments)
    folder = bench_data()
    stop_on_terminate()
    made_by, console = provenance(vars(chosen)), open_console()
    seen: list[Draw] = []
    ranked: Ranked | None = None
    settings = {"GRAFT_BACKBONE_FOLDERS": str(folder)}
    with console.status("starting") as status, fresh_home() as home:
        if set(chosen.parts) - {"rank"}:
            with serving(home, settings=settings) as service, closing(MediaClient(service.client.base_url)) as client:
                for body in sources(folder / "weights"):
                    client.host(body)
                for part in [part for part in chosen.parts if part != "rank"]:
                    seen += draws(client, part, folder, chosen.seeds, status.update)
        if "rank" in chosen.parts:
            settings |= NO_CACHE
            with serving(home, settings=settings) as service, closing(MediaClient(service.client.base_url)) as client:
                if not seen:
                    for body in sources(folder / "weights"):
                        client.host(body)
                ranked = rank(client, media_data.cifar10(folder), status.update)
    aims = targets(seen, ranked)
    if seen:
        console.print(shown(seen))
    if ranked is not None:
        console.print(ranked.result)
    show_targets(console, aims)
    kept = {
        "targets": [aim.as_json() for aim in aims],
        "draws": [asdict(draw) for draw in seen],
        "rank": None if ranked is None else asdict(ranked),
    }
    console.print(f"Written to {write(chosen.results, kept, made_by)}", soft_wrap=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Accuracy on images and sounds over HTTP.")
    parser.add_argument("--parts", type=some_of(PARTS), default=list(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=5, help="draws of CIFAR-10")
    parser.add_argument("--results", default="media", help="name of the file in benchmarks/results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
