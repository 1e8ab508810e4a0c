"""What the serving figures are held against, and how they are shown."""

import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks import ceiling, contenders, rows
from benchmarks.record import Target
from benchmarks.serving_figures import FEW, MOST, Figures, Heads
from benchmarks.serving_many import MANY as MANY_ADAPTERS
from benchmarks.serving_many import ONE as ONE_ADAPTER

FASTAPI = (contenders.FASTAPI_PROCESSES, contenders.FASTAPI_THREADS)

RATE = 1.25
"""Requests a second over those of the better FastAPI, at `MOST` clients."""
NEARER_MS = 0.5
"""How much longer than the better FastAPI's the median of one client may be."""
PADDING = 0.20
TAIL = 2.5
"""p99 over p50 at `MOST` clients."""
MANY = 0.97
"""Rate with many adapters over the rate with one."""
HEADS_BYTES = 300e6
START_NOISE_S = 0.2
"""Starts differ by so much by themselves."""

COLUMNS = (
    *("clients", "req/s", "of ceiling", "p50 ms", "p99 ms", "CPU ms", "cores"),
    *("padding", "batch", "errors", "others"),
)


def targets(figures: Figures) -> list[Target]:
    """Every figure that has a limit, for what was run."""
    result = []
    seen = {(row.contender, row.clients): row for row in rows.medians(figures.rounds)}
    if seen:
        result += _beside_peers(seen)
    if figures.adapters:
        ratio = statistics.median(_ratios(figures.adapters))
        result.append(Target("rate with many adapters over one's, median of turns", ratio, MANY, at_least=True))
    if figures.heads:
        result += _of_heads(*figures.heads)
    own = [row for row in figures.rounds if row.contender == contenders.GRAFT]
    errors = sum(row.errors for row in own + figures.adapters)
    return [*result, Target("requests that failed", errors, 0)]


def show(console: Console, figures: Figures) -> None:
    """Print all tables."""
    console.print(f"Load generator: {figures.generator}, on the same cores. One text a request.")
    for name, said in figures.peers.items():
        console.print(f"{name}: {said}")
    if figures.ceiling:
        console.print(_ceiling_table(figures.ceiling))
    if figures.rounds:
        console.print(_rows_table(figures))
    if figures.adapters:
        console.print(_adapters_table(figures))
    if figures.heads:
        console.print(_heads_table(figures.heads))


def _ratios(seen: Sequence[rows.Row]) -> list[float]:
    """Rate with many adapters over the rate with one, turn by turn."""
    rates = [[row.per_s for row in seen if row.contender == what] for what in (ONE_ADAPTER, MANY_ADAPTERS)]
    return [many / one for one, many in zip(*rates, strict=True)]


def _beside_peers(seen: dict[tuple[str, int], rows.Row]) -> list[Target]:
    own, one = seen[contenders.GRAFT, MOST], seen[contenders.GRAFT, FEW]
    rate = max(seen[name, MOST].per_s for name in FASTAPI)
    p50_ms = min(seen[name, FEW].p50_ms for name in FASTAPI)
    result = [
        Target(f"requests/s at {MOST} clients over FastAPI's", own.per_s / rate, RATE, at_least=True),
        Target(f"p50 of one client, ms, FastAPI's + {NEARER_MS:g}", one.p50_ms, p50_ms + NEARER_MS),
        Target(f"p99 over p50 at {MOST} clients", own.p99_ms / own.p50_ms, TAIL),
    ]
    if own.padding is not None:
        result.append(Target(f"padding at {MOST} clients", own.padding, PADDING))
    return result


def _of_heads(few: Heads, many: Heads) -> list[Target]:
    memory = (many.asked.pss_bytes - few.asked.pss_bytes) / 1e6
    ready = [statistics.median(one.ready_s) for one in (few, many)]
    slower = f"seconds to ready with {many.heads:,} heads, those with one + {START_NOISE_S:g}"
    return [
        Target(f"MB (PSS) of {many.heads:,} heads", memory, HEADS_BYTES / 1e6),
        Target(slower, ready[1], ready[0] + START_NOISE_S),
    ]


def _ceiling_table(seen: Sequence[ceiling.Ceiling]) -> Table:
    columns = ("processes x threads", "group", "texts/s", "CPU ms a text", "others")
    table = Table(*columns, title="ONNX Runtime alone, sorted by length")
    for one in seen:
        figures = (f"{one.texts_per_s:.0f}", f"{one.cpu_ms:.2f}", f"{one.others:.0%}")
        table.add_row(f"{one.processes} x 1", str(one.group), *figures)
    return table


def _rows_table(figures: Figures) -> Table:
    table = Table("server", *COLUMNS, "PSS MB", "RSS MB", "processes", title="Side by side, medians of rounds")
    top = ceiling.best(figures.ceiling).texts_per_s if figures.ceiling else None
    for row in sorted(rows.medians(figures.rounds), key=lambda row: row.clients):
        held = figures.memory[row.contender]
        memory = (f"{held.pss_bytes / 1e6:.0f}", f"{held.rss_bytes / 1e6:.0f}", str(held.processes))
        table.add_row(*_cells(row, top), *memory)
    return table


def _adapters_table(figures: Figures) -> Table:
    table = Table("adapters", *COLUMNS, title="Many adapters, medians of turns")
    for row in rows.medians(figures.adapters):
        table.add_row(*_cells(row, None))
    return table


def _cells(row: rows.Row, top: float | None) -> list[str]:
    return [
        row.contender,
        str(row.clients),
        f"{row.per_s:.0f}",
        "" if top is None else f"{row.per_s / top:.2f}",
        f"{row.p50_ms:.1f}",
        f"{row.p99_ms:.1f}",
        f"{row.cpu_ms:.2f}",
        f"{row.cores:.1f}",
        "" if row.padding is None else f"{row.padding:.1%}",
        "" if row.batch is None else f"{row.batch:.1f}",
        str(row.errors),
        f"{row.others:.0%}",
    ]


def _heads_table(seen: Sequence[Heads]) -> Table:
    columns = ("heads", "ready s", "PSS MB at ready", "RSS MB", "PSS MB when asked", "RSS MB", "requests", "seconds")
    table = Table(*columns, title="Many small heads")
    for one in seen:
        memory = [bytes_ / 1e6 for m in (one.at_ready, one.asked) for bytes_ in (m.pss_bytes, m.rss_bytes)]
        ready = " ".join(f"{s:.2f}" for s in one.ready_s)
        table.add_row(f"{one.heads:,}", ready, *(f"{mb:.0f}" for mb in memory), f"{one.requests:,}", f"{one.ask_s:.1f}")
    return table
