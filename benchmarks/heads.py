"""What fitting a head costs: against rows, width and classes, beside scikit-learn, and on many rows. Needs no data.

    python -m benchmarks.heads [--quick] [--parts sweep,peer,many] [--device cuda]

Embeddings are drawn: unit vectors around a centre of each class. Every time is that of `adapters.adapt` with nothing
chosen beforehand: all parameters compared on folds, the fit to all rows, the report, export and verification, as the
service does it with embeddings that are there already. Of scikit-learn it is that of its `fit`. Writes
results/heads.json and the plots of docs/costs.md.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.heads_plot import plot
from benchmarks.heads_runs import (
    AXES,
    DRAWS,
    LEADING,
    MIDDLE,
    PEER,
    PEER_SHAPES,
    SEED,
    SPREAD,
    Cost,
    beside_peer,
    on_many_rows,
    sweep,
    warm_up,
)
from benchmarks.record import Target, open_console, provenance, show_targets, some_of, write
from benchmarks.server import ROOT

PARTS = ("sweep", "peer", "many")
IMAGES = ROOT / "docs" / "images"

SIZES: Mapping[str, Sequence[int]] = {
    "n": (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000),
    "d": (64, 128, 256, 512, 1_024, 2_048),
    "k": (2, 5, 20, 77, 200),
}
QUICK_SIZES: Mapping[str, Sequence[int]] = {"n": (100, 300, 1_000), "d": (64, 256, 768), "k": (2, 20, 77)}
ENOUGH_S = 60.0
QUICK_ENOUGH_S = 1.0
"""A method that takes longer is not tried on what is larger."""

AS_ACCURATE = -0.005
"""Two accuracies on thrice 2,000 rows that differ by less are not told apart."""
AUTO_S = (3.0, 8.0)
"""What `auto` may take on each of them."""
MANY_S = 60.0
MANY_MEMORY = 3.0
"""Most memory of a fit beside the embeddings themselves and with them, in embeddings."""


def targets(peer: Sequence[Cost], many: Sequence[Cost]) -> list[Target]:
    """What was aimed at."""
    aims = []
    for (n, d, k), limit_s in zip(((s["n"], s["d"], s["k"]) for s in PEER_SHAPES), AUTO_S, strict=True):
        here = {cost.method: cost for cost in peer if (cost.n, cost.d, cost.k) == (n, d, k)}
        if not here:
            continue
        shape = f"n={n} d={d} C={k}"
        theirs, ours, auto = here[PEER], here["logistic"], here["auto"]
        aims += [
            Target(f"auto, {shape}: s", auto.seconds, limit_s),
            Target(f"logistic, {shape}: its time over {PEER}'s", ours.seconds / theirs.seconds, 1.0),
            Target(
                f"logistic, {shape}: accuracy less {PEER}'s",
                ours.accuracy - theirs.accuracy,
                AS_ACCURATE,
                at_least=True,
            ),
            Target(
                f"auto, {shape}: accuracy less {PEER}'s", auto.accuracy - theirs.accuracy, AS_ACCURATE, at_least=True
            ),
        ]
    for cost in many:
        aims.append(Target(f"{cost.method}, 100,000 x 384 x 100: s", cost.seconds, MANY_S))
        aims.append(Target(f"{cost.method}, 100,000 x 384 x 100: memory / embeddings", cost.memory, MANY_MEMORY))
    return aims


def draw_plots(costs: Sequence[Cost], folder: Path, note: str) -> None:
    """One plot for each axis, of the costs that vary along it."""
    folder.mkdir(parents=True, exist_ok=True)
    for axis, meaning in AXES.items():
        others = {key: value for key, value in MIDDLE.items() if key != axis}
        along = [cost for cost in costs if all(getattr(cost, key) == value for key, value in others.items())]
        lines = {
            name: sorted({getattr(c, axis): c.seconds for c in along if c.method == name}.items())
            for name in dict.fromkeys(cost.method for cost in along)
        }
        fixed = ", ".join(f"{AXES[key]} {value:,}" for key, value in others.items())
        drawn = plot(f"Choosing and fitting: {fixed}", meaning, "seconds", lines, note)
        (folder / f"heads_{axis}.svg").write_text(drawn, encoding="utf-8")


def costs_table(title: str, costs: Sequence[Cost]) -> Table:
    """As it is printed."""
    table = Table("method", "rows", "width", "classes", "s", "accuracy", "memory / embeddings", title=title)
    for cost in costs:
        figures = ["" if math.isnan(value) else f"{value:.3f}" for value in (cost.accuracy, cost.memory)]
        table.add_row(cost.method, *(f"{v:,}" for v in (cost.n, cost.d, cost.k)), f"{cost.seconds:.3f}", *figures)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/heads.json and the plots."""
    chosen = _parse(arguments)
    made_by, console = provenance(vars(chosen) | {"seed": SEED, "spread": SPREAD, "leading": LEADING}), open_console()
    made: dict[str, list[Cost]] = {part: [] for part in PARTS}
    warm_up()
    with console.status("drawing") as status, threadpool_limits(chosen.threads):
        # First, while the memory is as it was at the start.
        if "many" in chosen.parts:
            made["many"] = list(on_many_rows(chosen.device, status.update))
        if "peer" in chosen.parts:
            shapes = PEER_SHAPES[:1] if chosen.quick else PEER_SHAPES
            made["peer"] = list(beside_peer(shapes, 1 if chosen.quick else DRAWS, chosen.device, status.update))
        if "sweep" in chosen.parts:
            sizes = QUICK_SIZES if chosen.quick else SIZES
            enough_s = QUICK_ENOUGH_S if chosen.quick else ENOUGH_S
            made["sweep"] = list(sweep(sizes, enough_s, chosen.device, status.update))
    for part, costs in made.items():
        if costs:
            console.print(costs_table(part, costs))
    if made["sweep"]:
        draw_plots(made["sweep"], IMAGES, made_by["device"]["cpu"] if chosen.device == "cpu" else chosen.device)
    aims = targets(made["peer"], made["many"])
    show_targets(console, aims)
    kept = {"targets": [aim.as_json() for aim in aims]} | {p: [c.as_json() for c in costs] for p, costs in made.items()}
    console.print(f"Written to {write(chosen.results, kept, made_by)}", soft_wrap=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What fitting a head costs.")
    parser.add_argument("--quick", action="store_true", help="few sizes, and not on many rows: below a minute")
    parser.add_argument("--parts", type=some_of(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--threads", type=int, default=1, help="of BLAS, for all that is measured; the service has one")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="what heavy algebra runs on")
    parser.add_argument("--results", default="heads", help="name of the file in benchmarks/results")
    chosen = parser.parse_args(arguments)
    chosen.parts = chosen.parts or [part for part in PARTS if not (chosen.quick and part == "many")]
    return chosen


if __name__ == "__main__":
    main()
