"""This service beside what it is made of and beside its peers, in one run on the same cores; under 8 minutes.

    BENCH_DATA=... [PEERS_PYTHON=...] python -m benchmarks.serving [--parts ceiling,peers,adapters,heads]

Banking77's test texts in a closed loop, one text a request, the load generator on the same cores. Servers take turns:
while one is measured the others are stopped.
"""

import argparse
import json
import os
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import ceiling, contenders, published, serving_many, serving_tables
from benchmarks.contenders import Files
from benchmarks.data import Banking77, bench_data, load_banking77
from benchmarks.load import generator
from benchmarks.record import open_console, provenance, show_targets, some_of, write
from benchmarks.server import NO_CACHE, fresh_home, serving, stop_on_terminate
from benchmarks.serving_figures import PARTS, Bench, Chosen, Figures
from benchmarks.serving_peers import side_by_side

BACKBONE = "minilm-l6"
ADAPTER = "banking77"
SHOTS = 5


def run(bench: Bench, data: Banking77, home: Path) -> Figures:
    """Every part that was chosen."""
    figures, parts = Figures(generator()), bench.chosen.parts
    bench.say("fitting the adapter")
    with serving(home, settings=NO_CACHE) as service:
        service.client.fit(data.split(SHOTS, 0), name=ADAPTER, method="logistic")
    manifest = published.read_manifest(home, ADAPTER)
    backbone = home / "backbones" / manifest.backbone_digest
    if "ceiling" in parts:
        figures.ceiling = alone(bench, backbone)
    names = []
    if "adapters" in parts:
        bench.say(f"publishing {serving_many.ADAPTERS:,} adapters")
        copies = published.copies(home, manifest, serving_many.ADAPTERS)
        names = published.publish(home, manifest, copies, "copy-")
    if {"peers", "adapters"} & set(parts):
        with serving(home, settings=NO_CACHE) as service:
            graft = contenders.graft(service, ADAPTER)
            serving_many.settle(bench, graft.url, graft.path)
            if "peers" in parts:
                head = published.file_of(home, manifest, published.ONNX)
                side_by_side(bench, figures, graft, Files(backbone, head))
            if "adapters" in parts:
                figures.adapters = serving_many.adapters(bench, graft, names)
    if "heads" in parts:
        figures.heads = serving_many.heads(bench, manifest)
    return figures


def alone(bench: Bench, backbone: Path) -> list[ceiling.Ceiling]:
    """ONNX Runtime without a server: every group size on all cores, and the best of them on one."""
    texts = bench.folder / "texts.json"
    texts.write_text(json.dumps(list(bench.texts)), encoding="utf-8")
    seen = []
    for group in ceiling.GROUPS:
        bench.say(f"ONNX Runtime alone, groups of {group}")
        seen.append(ceiling.measure(backbone, texts, os.cpu_count() or 1, group))
    bench.say("ONNX Runtime alone, one thread")
    return [*seen, ceiling.measure(backbone, texts, 1, ceiling.best(seen).group)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/serving.json."""
    chosen, name = _parse(arguments)
    data = load_banking77(bench_data())
    texts = [text for text, _ in data.test]
    random.Random(0).shuffle(texts)
    stop_on_terminate()
    made_by, console = provenance(asdict(chosen) | {"backbone": BACKBONE}), open_console()
    with console.status("starting") as status, tempfile.TemporaryDirectory() as folder, fresh_home() as home:
        figures = run(Bench(chosen, texts, Path(folder), status.update), data, home)
    aims = serving_tables.targets(figures)
    serving_tables.show(console, figures)
    show_targets(console, aims)
    kept = {"targets": [aim.as_json() for aim in aims], **asdict(figures)}
    console.print(f"Written to {write(name, kept, made_by)}", soft_wrap=True)


def _parse(arguments: Sequence[str] | None) -> tuple[Chosen, str]:
    parser = argparse.ArgumentParser(description="The service beside raw ONNX Runtime, FastAPI and LitServe.")
    parser.add_argument("--parts", type=some_of(PARTS), default=PARTS, help="of " + ", ".join(PARTS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row of the servers side by side")
    parser.add_argument("--rounds", type=int, default=3, help="times that each of these is measured; medians count")
    parser.add_argument("--starts", type=int, default=2, help="starts with many heads, and with one")
    parser.add_argument("--results", default="serving", help="name of the file in benchmarks/results")
    given = parser.parse_args(arguments)
    return Chosen(tuple(given.parts), given.seconds, given.rounds, given.starts), given.results


if __name__ == "__main__":
    main()
