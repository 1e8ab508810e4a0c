"""Many adapters on one backbone: what they cost in rate, in memory, and at the start."""

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from adapters.manifest import Manifest
from benchmarks import published, rows
from benchmarks.contenders import Contender
from benchmarks.load import Load, once, write_calls
from benchmarks.rows import Memory, Row
from benchmarks.server import NO_CACHE, fresh_home, serving
from benchmarks.serving_figures import MOST, Bench, Heads

ADAPTERS = 1_000
ONE, MANY = "one adapter", f"{ADAPTERS:,} adapters at random"
TURNS = 5
"""Short rows in turns: each pair is compared by itself, so that what else the machine does falls on both."""
TURN_S = 3.0
HEADS = 10_000
HEAD_CLASSES = 10
LEAST_REQUESTS = 2_000
"""Requests before memory is read: by then buffers have grown."""
SHORT_TEXT = "hi"
PASSES = 8
"""How often each of many adapters is asked before its rate counts. A process reads an adapter when it is first asked
for it, and which process a connection belongs to is chance: after 8 passes 1 in 256 is unknown to one of two."""
SETTLE_S = 30.0
"""Longest wait until every process answers, after the first one did."""


def adapters(bench: Bench, graft: Contender, names: Sequence[str]) -> list[Row]:
    """Rate with one adapter and with many in turns; every adapter has been asked before."""
    bench.say(f"asking {len(names):,} adapters {PASSES} times each")
    ask(bench, graft.url, names, PASSES)
    calls = {ONE: bench.calls(ONE, [graft.path]), MANY: bench.calls(MANY, [_path(name) for name in names])}
    seen = []
    for number in range(TURNS):
        for what, file in calls.items():
            bench.say(f"turn {number + 1}: {what}, {MOST} clients")
            seen.append(rows.measure(graft, file, clients=MOST, seconds=TURN_S, name=what))
    return seen


def heads(bench: Bench, like: Manifest) -> list[Heads]:
    """Starts and memory with one small head and with many.

    Args:
        bench: What to do it with.
        like: What their manifests say of the backbone.
    """
    seen: dict[int, list[float]] = {1: [], HEADS: []}
    homes: dict[int, tuple[Path, list[str]]] = {}
    with ExitStack() as stack:
        for count in seen:
            bench.say(f"publishing {count:,} heads of {HEAD_CLASSES} classes")
            home = stack.enter_context(fresh_home())
            made = published.random_heads(HEAD_CLASSES, like.width, count)
            homes[count] = home, published.publish(home, like, made, "head-")
        for number in range(bench.chosen.starts - 1):
            for count, (home, _) in homes.items():
                bench.say(f"start {number + 1} with {count:,} heads")
                with serving(home, settings=NO_CACHE) as service:
                    seen[count].append(service.ready_s)
        return [_asked(bench, count, *homes[count], seen[count]) for count in homes]


def _asked(bench: Bench, count: int, home: Path, names: Sequence[str], ready_s: Sequence[float]) -> Heads:
    """The last start, and memory before and after every head was asked."""
    bench.say(f"asking {count:,} heads")
    with serving(home, settings=NO_CACHE) as service:
        at_ready: Memory = rows.memory(service.pid)
        url = service.client.base_url
        settle(bench, url, _path(names[0]))
        load = ask(bench, url, names, max(1, LEAST_REQUESTS // count))
        asked = rows.memory(service.pid)
    return Heads(count, [*ready_s, service.ready_s], at_ready, asked, load.seconds, load.requests)


def ask(bench: Bench, url: str, names: Sequence[str], passes: int) -> Load:
    """Ask every adapter so many times, in another order each time, with the shortest of texts.

    Raises:
        SystemExit: A request failed.
    """
    rng = random.Random(0)
    order = [name for _ in range(passes) for name in rng.sample(names, len(names))]
    calls = ((_path(name), {"inputs": [SHORT_TEXT]}) for name in order)
    load = once(url, write_calls(bench.folder / "ask.calls", calls), clients=MOST)
    if load.errors:
        raise SystemExit(f"{load.errors} of {load.requests} requests for many adapters failed.")
    return load


def settle(bench: Bench, url: str, path: str) -> None:
    """Return once every process answers: the service is ready when its first one is.

    Raises:
        SystemExit: Requests still fail after `SETTLE_S`.
    """
    calls = write_calls(bench.folder / "settle.calls", [(path, {"inputs": [SHORT_TEXT]})] * (4 * MOST))
    deadline = time.monotonic() + SETTLE_S
    while once(url, calls, clients=MOST).errors:
        if time.monotonic() > deadline:
            raise SystemExit(f"Some requests to {url}{path} still failed after {SETTLE_S:g} s.")


def _path(name: str) -> str:
    return f"/v1/adapters/{name}/predict"
