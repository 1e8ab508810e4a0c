"""Seconds to ready, memory and latency of the real service.

    python -m benchmarks.start [--starts 5]

The backbone is exported before anything is timed. Needs no data: the texts are made of examples/intents.csv.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.processes import Usage, family, of_role
from benchmarks.record import Target, open_console, provenance, show_targets, write
from benchmarks.server import ROOT, fresh_home, serving, stop_on_terminate
from graft import Client

EXAMPLES = ROOT / "examples" / "intents.csv"
TEXTS = 2000
"""Texts predicted before memory is read again."""
CALLS = 200
"""Calls of one text each whose latency is measured."""
WARM_CALLS = 20
READY_S = 4.0
OPEN_S = 2.0
"""From the first answer of the service until its backbones are open."""
EXPORT_S = 20.0
EXPORTED = "minilm-l6"
RSS_BYTES = 500e6


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single-text calls, one after the other, as the client's caller sees them."""

    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency":
        """Percentiles of measured calls."""
        return cls(*(float(value) for value in 1000 * np.percentile(seconds, (50, 95, 99))))


@dataclass(frozen=True)
class Running:
    """One service, watched from ready until it has predicted.

    Attributes:
        at_ready: Its processes when it became ready.
        after_fit: The same after a fit of the examples.
        after_texts: The same after `TEXTS` predicted texts.
        texts_per_s: Of these, in calls of 1,000.
        latency: Of `CALLS` single-text calls after them.
    """

    at_ready: list[Usage]
    after_fit: list[Usage]
    after_texts: list[Usage]
    texts_per_s: float
    latency: Latency


def texts_of(path: Path, count: int) -> list[str]:
    """`count` different texts: pairs of the file's sentences, so that their lengths differ as well."""
    with path.open(encoding="utf-8", newline="") as file:
        sentences = [row["text"] for row in csv.DictReader(file)]
    return [f"{first} {second}" for first, second in islice(product(sentences, repeat=2), count)]


@dataclass(frozen=True)
class Start:
    """Seconds from the start of the first process to the first answer, and to the first 200 of /readyz."""

    live_s: float
    ready_s: float


def started(home: Path, threads: int | None) -> Start:
    """Start the service once and stop it."""
    with serving(home, threads=threads) as service:
        return Start(service.live_s, service.ready_s)


def start_times(starts: int, threads: int | None) -> dict[str, list[Start]]:
    """Starts of a service whose folder is empty (it makes its databases), and of one that ran before."""
    fresh, again = [], []
    for _ in range(starts):
        with fresh_home() as home:
            fresh.append(started(home, threads))
            again.append(started(home, threads))
    return {"fresh": fresh, "again": again}


def export_s(name: str) -> float:
    """Seconds to host a backbone of the catalogue in a folder of its own, torch's import included."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        program = (
            "import sys; from pathlib import Path; from models.catalog import entry; from models.hosted import host; "
            "host(entry(sys.argv[1]), Path(sys.argv[2]), lambda *_: None)"
        )
        subprocess.run([sys.executable, "-c", program, name, folder], cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - begun


def watch(threads: int | None) -> Running:
    """Start the service, fit the examples, predict, and look at its processes in between."""
    texts = texts_of(EXAMPLES, TEXTS)
    with fresh_home() as home, serving(home, threads=threads) as service:
        at_ready = family(service.pid)
        version = service.client.fit(EXAMPLES, name="intents")
        service.client.predict(version.ref, texts[:1])
        after_fit = family(service.pid)
        started = time.perf_counter()
        service.client.predict(version.ref, texts)
        texts_per_s = TEXTS / (time.perf_counter() - started)
        after_texts = family(service.pid)
        latency = single_calls(service.client, version.ref, texts)
    return Running(at_ready, after_fit, after_texts, texts_per_s, latency)


def single_calls(client: Client, ref: str, texts: Sequence[str]) -> Latency:
    """Predict texts one by one."""
    seconds = []
    for text in texts[: WARM_CALLS + CALLS]:
        started = time.perf_counter()
        client.predict(ref, [text])
        seconds.append(time.perf_counter() - started)
    return Latency.of(seconds[WARM_CALLS:])


def targets(starts: dict[str, list[Start]], running: Running, exported_s: float) -> list[Target]:
    """Every figure that has a limit."""
    http = {"at ready": running.at_ready, f"after {TEXTS:,} texts": running.after_texts}
    return [
        *(
            Target(f"seconds to ready, {n}, median", _median(one.ready_s for one in s), READY_S)
            for n, s in starts.items()
        ),
        Target(
            "seconds from the first answer to ready, again, median",
            _median(one.ready_s - one.live_s for one in starts["again"]),
            OPEN_S,
        ),
        Target(f"seconds to host {EXPORTED}", exported_s, EXPORT_S),
        *(Target(f"MB of the largest HTTP process {n}", _largest(u) / 1e6, RSS_BYTES / 1e6) for n, u in http.items()),
    ]


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _largest(usages: Sequence[Usage]) -> int:
    return max(one.rss_bytes for one in of_role(usages, "http"))


def processes_table(running: Running) -> Table:
    """Memory and processor time of each process at each moment."""
    moments = {"at ready": running.at_ready, "after a fit": running.after_fit, "after texts": running.after_texts}
    table = Table("process", *(f"{what}, {when}" for when in moments for what in ("MB", "CPU s")), "peak MB")
    for role in dict.fromkeys(u.role for usages in moments.values() for u in usages):
        cells = []
        for usages in moments.values():
            found = [u for u in usages if u.role == role]
            cells += [f"{sum(u.rss_bytes for u in found) / 1e6:.0f}", f"{sum(u.cpu_s for u in found):.1f}"]
        peak = sum(u.peak_rss_bytes for u in running.after_texts if u.role == role)
        table.add_row(role, *cells, f"{peak / 1e6:.0f}")
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/start.json."""
    parser = argparse.ArgumentParser(description="Seconds to ready, memory and latency of the service.")
    parser.add_argument("--starts", type=int, default=5, help="timed starts of each kind")
    parser.add_argument("--threads", type=int, help="of the backbone's sessions; the service chooses where left out")
    chosen = parser.parse_args(arguments)
    stop_on_terminate()
    made_by, console = provenance(vars(chosen)), open_console()
    with console.status("exporting the backbone") as status, fresh_home() as home:
        exported_s = export_s(EXPORTED)
        started(home, chosen.threads)
        status.update("starting and stopping the service")
        starts = start_times(chosen.starts, chosen.threads)
        status.update("fitting and predicting")
        running = watch(chosen.threads)
    aims = targets(starts, running, exported_s)
    console.print(processes_table(running))
    for name, seconds in starts.items():
        console.print(
            f"Ready (first answer), {name}: {' '.join(f'{s.ready_s:.2f} ({s.live_s:.2f})' for s in seconds)} s"
        )
    latency = running.latency
    console.print(
        f"{running.texts_per_s:.0f} texts/s in calls of 1,000; "
        f"one text a call: p50 {latency.p50_ms:.1f}, p95 {latency.p95_ms:.1f}, p99 {latency.p99_ms:.1f} ms"
    )
    show_targets(console, aims)
    figures: dict[str, Any] = {"targets": [aim.as_json() for aim in aims], "exported_s": exported_s, **asdict(running)}
    figures["starts"] = {name: [asdict(one) for one in seen] for name, seen in starts.items()}
    console.print(f"Written to {write('start', figures, made_by)}", soft_wrap=True)


if __name__ == "__main__":
    main()
