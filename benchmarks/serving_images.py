"""Served images beside what they are made of: JPEG in, label out; every image is computed anew (no cache).

    BENCH_DATA=... python -m benchmarks.serving_images [--seconds 8] [--rounds 3]

CIFAR-10's test images as 128 px JPEG files on MobileNetV2. 32 images a request from one client beside decoding and ONNX
Runtime alone; one image a request from 32 clients beside FastAPI that batches nothing. Servers take turns.
"""

import argparse
import base64
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import ceiling, contenders, image_ceiling, published, rows
from benchmarks.ceiling import Ceiling
from benchmarks.contenders import Contender, Files
from benchmarks.data import bench_data
from benchmarks.load import generator, write_calls
from benchmarks.media import V2, sources
from benchmarks.media_client import MediaClient
from benchmarks.media_data import Media, cifar10, jpegs
from benchmarks.record import Target, open_console, provenance, show_targets, write
from benchmarks.rows import Row
from benchmarks.server import NO_CACHE, fresh_home, serving, stop_on_terminate

SIZE_PX = 128
IMAGES = 640
MANY, CLIENTS = 32, 32
SHARE, RATE = 0.85, 1.2
AGREED = 64
WARM_S = 2.0


@dataclass
class Figures:
    """All that was measured.

    Attributes:
        generator: What made the load.
        bytes_per_image: Mean size of the JPEG files.
        ceiling: Decoding and ONNX Runtime alone.
        many: Rows of requests with `MANY` images, one client; `per_s` counts requests.
        single: Rows of requests with one image, `CLIENTS` clients.
    """

    generator: str
    bytes_per_image: float
    ceiling: list[Ceiling] = field(default_factory=list)
    many: list[Row] = field(default_factory=list)
    single: list[Row] = field(default_factory=list)


def run(media: Media, folder: Path, home: Path, seconds: float, rounds: int, say: Callable[[str], None]) -> Figures:
    """Host, fit, and measure in turns."""
    files = jpegs(media, SIZE_PX, IMAGES)
    figures = Figures(generator(), statistics.mean(map(len, files)))
    settings = NO_CACHE | {"GRAFT_BACKBONE_FOLDERS": str(folder)}
    with tempfile.TemporaryDirectory() as scratch, serving(home, settings=settings) as service:
        with closing(MediaClient(service.client.base_url)) as client:
            say("hosting and fitting")
            client.host(next(body for body in sources(folder / "weights") if body["id"] == V2))
            ref = client.fit(media, media.draw(20, 0), V2).ref
        manifest = published.read_manifest(home, ref.partition(":")[0])
        backbone = home / "backbones" / manifest.backbone_digest
        graft = contenders.graft(service, ref)
        calls = _Calls(Path(scratch), files)
        with _peers(Files(backbone, published.file_of(home, manifest, published.ONNX)), files[0]) as peers:
            _agree(graft, peers, files)
            for number in range(rounds):
                say(f"round {number + 1}")
                with rows.alone(graft, peers):
                    rows.measure(graft, calls.of(graft, 1), clients=CLIENTS, seconds=WARM_S)
                    many = rows.measure(graft, calls.of(graft, MANY), clients=1, seconds=seconds)
                    figures.many.append(many)
                say(f"round {number + 1}, ONNX Runtime alone")
                with rows.none_of([graft, *peers]):
                    figures.ceiling += [
                        image_ceiling.measure(backbone, calls.raw(), os.cpu_count() or 1, group)
                        for group in (image_ceiling.GROUPS if number == 0 else [ceiling.best(figures.ceiling).group])
                    ]
                for one in (graft, *peers):
                    with rows.alone(one, [graft, *peers]):
                        rows.measure(one, calls.of(one, 1), clients=CLIENTS, seconds=WARM_S)
                        row = rows.measure(one, calls.of(one, 1), clients=CLIENTS, seconds=seconds)
                        figures.single.append(row)
    return figures


@dataclass(frozen=True)
class _Calls:
    """Files of calls."""

    folder: Path
    files: Sequence[bytes]

    def raw(self) -> Path:
        path = self.folder / "files.json"
        path.write_text(json.dumps([base64.b64encode(data).decode() for data in self.files]), encoding="utf-8")
        return path

    def of(self, contender: Contender, count: int) -> Path:
        """Every image once, so many a call."""
        inputs = [{"image": base64.b64encode(data).decode()} for data in self.files]
        parts = (inputs[start : start + count] for start in range(0, len(inputs), count))
        path = self.folder / f"{contender.name.replace(' ', '')}-{count}.calls"
        return write_calls(path, ((contender.path, {"inputs": part}) for part in parts))


@contextmanager
def _peers(files: Files, probe: bytes) -> Iterator[list[Contender]]:
    cores = os.cpu_count() or 1
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                contenders.fastapi(
                    files,
                    name=name,
                    processes=processes,
                    threads=threads,
                    app="benchmarks.peers.fastapi_image:app",
                    probe={"image": base64.b64encode(probe).decode()},
                )
            )
            for name, processes, threads in (
                (contenders.FASTAPI_PROCESSES, cores, 1),
                (contenders.FASTAPI_THREADS, 1, cores),
            )
        ]


def _agree(graft: Contender, peers: Sequence[Contender], files: Sequence[bytes]) -> None:
    inputs = [{"image": base64.b64encode(data).decode()} for data in files[:AGREED]]
    own = [answer["label"] for answer in graft.predict(inputs)]
    for peer in peers:
        if [answer["label"] for answer in peer.predict(inputs)] != own:
            raise SystemExit(f"{peer.name} gives other labels: it runs something else.")


def targets(figures: Figures) -> list[Target]:
    """Both figures that have a limit."""
    alone = ceiling.best(figures.ceiling).texts_per_s
    many = statistics.median(row.per_s for row in figures.many) * MANY
    single = {row.contender: row.per_s for row in rows.medians(figures.single)}
    peer = max(rate for name, rate in single.items() if name != contenders.GRAFT)
    errors = sum(row.errors for row in (*figures.many, *figures.single))
    return [
        Target(f"images/s, {MANY} a request, over decoding and ONNX Runtime alone", many / alone, SHARE, at_least=True),
        Target(f"images/s, {CLIENTS} clients, over FastAPI's", single[contenders.GRAFT] / peer, RATE, at_least=True),
        Target("requests that failed", errors, 0),
    ]


def shown(figures: Figures) -> Table:
    """Every row."""
    table = Table(
        "what", "images/s", "p50 ms", "p99 ms", "CPU ms an image", "others", title="128 px JPEG in, label out"
    )
    for one in figures.ceiling:
        name = f"alone, {one.processes} processes, groups of {one.group}"
        table.add_row(name, f"{one.texts_per_s:.0f}", "-", "-", f"{one.cpu_ms:.2f}", f"{one.others:.0%}")
    for row, count in [*((row, MANY) for row in figures.many), *((row, 1) for row in figures.single)]:
        name = f"{row.contender}, {row.clients} clients, {count} a request"
        rate, cpu = f"{row.per_s * count:.0f}", f"{row.cpu_ms / count:.2f}"
        table.add_row(name, rate, f"{row.p50_ms:.1f}", f"{row.p99_ms:.1f}", cpu, f"{row.others:.0%}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/serving_images.json."""
    parser = argparse.ArgumentParser(description="Served images beside decoding, ONNX Runtime and FastAPI.")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured; medians count")
    parser.add_argument("--results", default="serving_images", help="name of the file in benchmarks/results")
    chosen = parser.parse_args(arguments)
    folder = bench_data()
    stop_on_terminate()
    made_by, console = provenance(vars(chosen) | {"backbone": V2}), open_console()
    with console.status("starting") as status, fresh_home() as home:
        figures = run(cifar10(folder), folder, home, chosen.seconds, chosen.rounds, status.update)
    aims = targets(figures)
    console.print(shown(figures))
    show_targets(console, aims)
    kept: dict[str, Any] = {"targets": [aim.as_json() for aim in aims], **asdict(figures)}
    console.print(f"Written to {write(chosen.results, kept, made_by)}", soft_wrap=True)


if __name__ == "__main__":
    main()
