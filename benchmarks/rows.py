"""One contender under load: rate, latency, processor time and memory of all its processes, and how it batched."""

import os
import resource
import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.contenders import Contender
from benchmarks.load import for_seconds
from benchmarks.processes import family, machine_cpu_s, paused, tree_cpu_s

TOKENS = "graft_batch_tokens_total"
ITEMS = "graft_batch_items"


@dataclass(frozen=True)
class Row:
    """One contender, some clients, some seconds.

    Attributes:
        contender, clients: Which; `contender` may say more than the server's name.
        per_s: Requests a second.
        p50_ms, p99_ms: Milliseconds a request, as its client saw them.
        cpu_ms: Processor milliseconds a request, of all processes of the server.
        errors: Requests without a good answer.
        others: Share of all cores that went to neither the server nor the generator: a large one spoils the row.
        padding: Share of the tokens that were run and were none; None where the server does not say.
        batch: Items a run; None where the server does not say.
    """

    contender: str
    clients: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    errors: int
    others: float
    padding: float | None = None
    batch: float | None = None

    @property
    def cores(self) -> float:
        """Cores that the server kept busy: fewer than there are, where `others` is small, means that it waited."""
        return self.per_s * self.cpu_ms / 1000


@dataclass(frozen=True)
class Memory:
    """All processes of a server together: `pss_bytes` counts a shared page once, `rss_bytes` in each."""

    processes: int
    pss_bytes: int
    rss_bytes: int


@dataclass(frozen=True)
class _Clocks:
    """Processor seconds so far: of the server, of what this process started and waited for, and of the machine."""

    server_s: float
    generator_s: float
    machine_s: float

    @classmethod
    def now(cls, pid: int) -> "_Clocks":
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(tree_cpu_s(pid), waited.ru_utime + waited.ru_stime, machine_cpu_s())


def measure(contender: Contender, calls: Path, *, clients: int, seconds: float, name: str = "") -> Row:
    """Load a contender once."""
    metrics, before = scrape(contender.url), _Clocks.now(contender.pid)
    load = for_seconds(contender.url, calls, clients=clients, seconds=seconds)
    after = _Clocks.now(contender.pid)
    padding, batch = batching(metrics, scrape(contender.url))
    server_s, generator_s = after.server_s - before.server_s, after.generator_s - before.generator_s
    others_s = after.machine_s - before.machine_s - server_s - generator_s
    return Row(
        name or contender.name,
        clients,
        load.per_s,
        load.p50_ms,
        load.p99_ms,
        cpu_ms=1000 * server_s / max(1, load.requests),
        errors=load.errors,
        others=max(0.0, others_s / (load.seconds * (os.cpu_count() or 1))),
        padding=padding,
        batch=batch,
    )


def alone(contender: Contender, others: Iterable[Contender]) -> ExitStack:
    """All others stopped, for as long as the block lasts."""
    return none_of(other for other in others if other.pid != contender.pid)


def none_of(contenders: Iterable[Contender]) -> ExitStack:
    """All of them stopped, for as long as the block lasts."""
    stack = ExitStack()
    for one in contenders:
        stack.enter_context(paused(one.pid))
    return stack


def memory(pid: int) -> Memory:
    """Of a process and everything below it, now."""
    usages = family(pid)
    return Memory(len(usages), sum(u.pss_bytes for u in usages), sum(u.rss_bytes for u in usages))


def medians(rows: Iterable[Row]) -> list[Row]:
    """One row for each contender and number of clients: medians of its rounds, errors added up."""
    grouped: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        grouped.setdefault((row.contender, row.clients), []).append(row)
    return [_middle(found) for found in grouped.values()]


def scrape(url: str) -> dict[str, float]:
    """Every sample of /metrics by name and, where it has one, `kind`; empty where there is no such page."""
    with suppress(httpx.HTTPError, ValueError):
        answer = httpx.get(f"{url}/metrics", trust_env=False, timeout=5)
        if answer.status_code == httpx.codes.OK:
            return read_metrics(answer.text)
    return {}


def read_metrics(text: str) -> dict[str, float]:
    """Samples of a page of metrics, added up over the labels other than `kind`."""
    seen: dict[str, float] = {}
    for metric in text_string_to_metric_families(text):
        for sample in metric.samples:
            kind = sample.labels.get("kind")
            name = f"{sample.name} {kind}" if kind else sample.name
            seen[name] = seen.get(name, 0.0) + sample.value
    return seen


def batching(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[float | None, float | None]:
    """Share of padding in the tokens that were run, and items a run, between two looks; None for what was not told."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    real, padding, runs = grown(f"{TOKENS} real"), grown(f"{TOKENS} padded"), grown(f"{ITEMS}_count")
    share = padding / (real + padding) if real + padding > 0 else None
    return share, grown(f"{ITEMS}_sum") / runs if runs > 0 else None


def _middle(found: Sequence[Row]) -> Row:
    names = ("per_s", "p50_ms", "p99_ms", "cpu_ms", "others")
    return replace(
        found[0],
        **{name: statistics.median(getattr(row, name) for row in found) for name in names},
        errors=sum(row.errors for row in found),
        padding=_median(row.padding for row in found),
        batch=_median(row.batch for row in found),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
