"""Weighted averages against their members: a few-shot head, class means, names; two image backbones. In this process.

    BENCH_DATA=... python -m benchmarks.ensembles [--sets banking77,cifar10] [--draws 5] [--unseen dev] [--threads 2]

Members are fitted to the rows of each draw, and the weights are learned from these rows alone, out of fold. ``--unseen
dev`` judges on rows of the training file that are learned from by nobody: for choosing defaults. ``test`` judges on the
test file.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
from rich.table import Table

from adapters.adapt import Adaptation, adapt
from adapters.base import Task
from adapters.ensembles.members import Member
from adapters.methods import parse_method
from benchmarks import ensembles_data
from benchmarks.data import bench_data
from benchmarks.ensembles_data import SETS, Problem, Space
from benchmarks.record import Target, open_console, provenance, show_targets, some_of, write
from benchmarks.scores import F64, Scores, measure

AVERAGE = "ensemble"
NAMES = "names"
"""A member that has seen no row: the names of the classes alone, at the method's own temperature."""

MEMBERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {"banking77": ("logistic", "prototype", NAMES), "cifar10": ("logistic",)}
)
"""What is averaged, on every backbone of the set."""

GAIN: Mapping[str, float] = MappingProxyType({"banking77": 0.005, "cifar10": 0.01})
"""What an average is to add to the accuracy of its best member."""


@dataclass(frozen=True)
class Row:
    """A member or the average, on one draw.

    Attributes:
        set, draw, member: Which.
        test: Figures on the rows that are judged.
        share: Of the average; None of the average itself.
        seconds: Of the fit.
        told: Of the average: what its report said before it saw any of these rows.
    """

    set: str
    draw: int
    member: str
    test: Scores
    share: float | None
    seconds: float
    told: dict[str, Any] | None = None


def run(problem: Problem, say: Callable[[str], None]) -> Iterator[Row]:
    """Every draw: the members, and their average."""
    for draw, rows in enumerate(problem.draws):
        say(f"{problem.name}, draw {draw + 1}")
        yield from _one(problem, draw, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print, write results/ensembles.json."""
    options = _options(arguments)
    made_by = provenance({**vars(options), "home": str(bool(options.home))})
    console, folder = open_console(), bench_data()
    rows: list[Row] = []
    with TemporaryDirectory() as scratch:
        for name in options.sets:
            problem = getattr(ensembles_data, name)(
                folder,
                options.home or Path(scratch),
                draws=options.draws,
                dev=options.unseen == "dev",
                threads=options.threads,
            )
            rows += run(problem, console.print)
    console.print(shown(rows, options.unseen))
    aims = targets(rows)
    show_targets(console, aims)
    if options.unseen == "test":
        kept = {"targets": [aim.as_json() for aim in aims], "rows": [asdict(row) for row in rows]}
        console.print(f"kept in {write('ensembles', kept, made_by)}")


def targets(rows: Sequence[Row]) -> list[Target]:
    """What is asked of each set: accuracy beyond the best member's, and a log loss below every member's."""
    found = []
    for name in dict.fromkeys(row.set for row in rows):
        means = _means(rows, name)
        average = means.pop(AVERAGE)
        best = max(accuracy for accuracy, _ in means.values())
        lowest = min(loss for _, loss in means.values())
        found.append(Target(f"{name}: accuracy", average[0], best + GAIN[name], at_least=True))
        found.append(Target(f"{name}: log loss", average[1], lowest))
    return found


def shown(rows: Sequence[Row], unseen: str) -> Table:
    """Means over draws."""
    table = Table("set", "member", "accuracy", "log loss", "ECE", "share", "seconds", title="Unseen rows: " + unseen)
    for name, member in dict.fromkeys((row.set, row.member) for row in rows):
        some = [row for row in rows if (row.set, row.member) == (name, member)]
        means = [
            float(np.mean([getattr(row.test, figure) for row in some])) for figure in ("accuracy", "log_loss", "ece")
        ]
        shares = [row.share for row in some if row.share is not None]
        share = f"{np.mean(shares):.2f}" if shares else ""
        seconds = f"{np.median([row.seconds for row in some]):.1f}"
        table.add_row(name, member, *(f"{mean:.4f}" for mean in means), share, seconds)
    return table


def _one(problem: Problem, draw: int, rows: Any) -> Iterator[Row]:
    y, groups = problem.y[rows], np.arange(len(rows))
    whole = Task(np.concatenate([space.z[rows] for space in problem.spaces], axis=1), y, problem.classes, groups)
    test = np.concatenate([space.test for space in problem.spaces], axis=1)
    members, alone, first = [], [], 0
    for space in problem.spaces:
        task = Task(space.z[rows], y, problem.classes, groups, space.names)
        for name in MEMBERS[problem.name]:
            started = time.perf_counter()
            member, scores, temperature = _member(name, space, task, first)
            members.append(member)
            p = _softmax(scores(space.test) / temperature)
            alone.append((measure(p, problem.truth), time.perf_counter() - started))
        first += space.z.shape[1]
    started = time.perf_counter()
    average = _adapt({"method": AVERAGE}, replace(whole, members=tuple(members)))
    seconds = time.perf_counter() - started
    shares = [entry["share"] for entry in average.report["ensemble"]]
    for member, (scores_of, took), share in zip(members, alone, shares, strict=True):
        yield Row(problem.name, draw, member.name, scores_of, share, took)
    p = _softmax(average.head.scores(test) / average.temperature)
    told = {key: average.report[key] for key in ("accuracy", "log_loss", "ensemble", "gain", "disagreement", "notes")}
    told["method"] = average.method.model_dump(mode="json")
    yield Row(problem.name, draw, AVERAGE, measure(p, problem.truth), None, seconds, told)


def _member(name: str, space: Space, task: Task, first: int) -> tuple[Member, Callable[[Any], Any], float]:
    """A published version on one space, its scores and its temperature."""
    behind = first + space.z.shape[1]
    reference = f"{name}, {space.backbone}"
    if name == NAMES:
        method = parse_method(name)
        head, temperature = method.fit(task), method.default_temperature
        onnx, chosen = head.onnx(temperature), method.model_dump(mode="json")
        member = Member(reference, onnx, task.classes, chosen, first, behind, names=space.names)
        return member, head.scores, temperature
    fitted = _adapt({"method": name}, task)
    chosen = fitted.method.model_dump(mode="json")
    member = Member(reference, fitted.onnx, task.classes, chosen, first, behind, saw=True, names=space.names)
    return member, fitted.head.scores, fitted.temperature


def _adapt(method: dict[str, Any], task: Task) -> Adaptation:
    return adapt(task, parse_method(method), on_stage=lambda _stage, _share: None, clock=time.perf_counter)


def _softmax(scores: Any) -> F64:
    p = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    result: F64 = p / p.sum(axis=1, keepdims=True)
    return result


def _means(rows: Sequence[Row], name: str) -> dict[str, tuple[float, float]]:
    """Mean accuracy and log loss over the draws of a set."""
    members = dict.fromkeys(row.member for row in rows if row.set == name)
    some = {member: [row.test for row in rows if (row.set, row.member) == (name, member)] for member in members}
    return {
        member: (float(np.mean([s.accuracy for s in scores])), float(np.mean([s.log_loss for s in scores])))
        for member, scores in some.items()
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=some_of(SETS), default=list(SETS))
    parser.add_argument("--draws", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--unseen", choices=("dev", "test"), default="test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--home", type=Path, help="where backbones are hosted; kept between runs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
