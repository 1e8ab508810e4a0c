"""What `eszsl` and `sae` cost on many classes: 10,000 rows 2,048 wide, 1,000 classes of 312 attributes. Needs no data.

    python -m benchmarks.zero_shot_cost [--small] [--threads 2]

Random signatures, items that show them under noise; a tenth of the classes have no rows. Timed are a fit with given
parameters, all parameters that are compared, and a head for other classes. Writes results/zero_shot_cost.json.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from adapters.base import Method, Task
from adapters.methods.eszsl import Eszsl
from adapters.methods.sae import Sae
from adapters.signatures import Signatures
from adapters.zero_shot.head import SignatureHead
from benchmarks.record import Target, open_console, provenance, show_targets, write

LIMIT_S = 5.0
"""Of all parameters together."""
NEW_CLASSES_S = 0.1
"""From signatures to the rows of the head table."""

NOISE = 8.0
"""Standard deviation of a column of an item, around 1 of what its class shows."""
UNSEEN = 0.1
SEED = 0

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """Rows, columns, classes, attributes."""

    n: int = 10_000
    d: int = 2_048
    k: int = 1_000
    a: int = 312


SMALL = Size(500, 128, 50, 20)


@dataclass(frozen=True)
class Cost:
    """One method on one size.

    Attributes:
        method: Its name.
        given_s: Seconds of a fit with given parameters.
        grid: How many sets of parameters are compared.
        grid_s: Seconds of all of them on the same rows.
        other_s: Seconds of a head for other classes, until its one table is there.
        accuracy: Of unseen classes among themselves; tells that what was timed works.
    """

    method: str
    given_s: float
    grid: int
    grid_s: float
    other_s: float
    accuracy: float


def described(size: Size, seed: int = SEED) -> tuple[Task, Task]:
    """A task whose last classes have no rows, and a few rows of these."""
    rng = np.random.default_rng(seed)
    values = rng.random((size.k, size.a), dtype=np.float32)
    shown = rng.standard_normal((size.a, size.d), dtype=np.float32) * np.sqrt(12 / size.a, dtype=np.float32)
    seen = size.k - int(UNSEEN * size.k)
    y = np.concatenate([np.arange(size.n) % seen, np.arange(seen, size.k).repeat(5)])
    z = (values - 0.5)[y] @ shown + np.float32(NOISE) * rng.standard_normal((len(y), size.d), dtype=np.float32)
    classes = tuple(f"class {c}" for c in range(size.k))
    signatures = Signatures(classes, tuple(f"attribute {i}" for i in range(size.a)), values)
    every = Task(z, y, classes, np.arange(len(y)), signatures=signatures)
    return every.rows(y < seen), every.rows(y >= seen)


def measure(method: Method, task: Task, unseen: Task) -> Cost:
    """Time one method.

    Raises:
        TypeError: Its head cannot be given other classes.
    """
    variants = method.variants(task)
    chosen = method.fallback(task)
    head, given_s = timed(lambda: chosen.fit(task))
    _, grid_s = timed(lambda: sum(1 for _ in type(method).fit_each(variants, task)))
    if not isinstance(head, SignatureHead):
        raise TypeError(f"{method.method!r} gives a {type(head).__name__}, which cannot be given other classes.")
    signatures = head.signatures
    turned = signatures.of(signatures.classes[::-1])
    _, other_s = timed(lambda: head.with_signatures(turned).affine)
    among = head.scores(unseen.z)[:, task.absent]
    right = np.flatnonzero(task.absent)[among.argmax(axis=1)] == unseen.y
    return Cost(method.method, given_s, len(variants), grid_s, other_s, float(right.mean()))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What work gives, and its seconds."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def measure_costs(size: Size | None = None) -> list[Cost]:
    """Both methods on one size; the full one where none is given."""
    # The first product of a process starts its threads.
    Eszsl().fit(described(SMALL)[0])
    task, unseen = described(size or Size())
    return [measure(method, task, unseen) for method in (Eszsl(), Sae())]


def targets(costs: Sequence[Cost], size: Size | None = None) -> list[Target]:
    """What was aimed at."""
    at = size or Size()
    shape = f"{at.k:,} x {at.a} on {at.n:,} x {at.d:,}"
    aims = [Target(f"{c.method}, {c.grid} sets of parameters, {shape}: s", c.grid_s, LIMIT_S) for c in costs]
    return aims + [Target(f"{c.method}, other classes, {shape}: s", c.other_s, NEW_CLASSES_S) for c in costs]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/zero_shot_cost.json (--small: zero_shot_cost_small.json)."""
    parser = argparse.ArgumentParser(description="What eszsl and sae cost on many classes.")
    parser.add_argument("--small", action="store_true", help="a moment in all, to see that it runs")
    parser.add_argument("--threads", type=int, default=2, help="that algebra may take (default: 2)")
    chosen = parser.parse_args(arguments)
    size = SMALL if chosen.small else Size()
    made_by, console = provenance(vars(chosen) | asdict(size) | {"seed": SEED, "noise": NOISE}), open_console()
    with console.status("fitting"), threadpool_limits(chosen.threads):
        costs = measure_costs(size)
    table = Table("method", "given s", "sets", "all s", "other classes s", "unseen accuracy", title="Zero-shot fits")
    for cost in costs:
        seconds = [f"{value:.3f}" for value in (cost.given_s, cost.grid_s, cost.other_s)]
        table.add_row(cost.method, seconds[0], str(cost.grid), *seconds[1:], f"{cost.accuracy:.3f}")
    console.print(table)
    aims = targets(costs, size)
    show_targets(console, aims)
    name = "zero_shot_cost_small" if chosen.small else "zero_shot_cost"
    figures = {"targets": [aim.as_json() for aim in aims], "costs": [asdict(cost) for cost in costs]}
    console.print(f"Written to {write(name, figures, made_by)}", soft_wrap=True)


if __name__ == "__main__":
    main()
