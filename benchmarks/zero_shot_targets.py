"""What the zero-shot benchmark is to reach."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.record import Target

_HALF_POINT = 0.005


def targets(rows: Sequence[Any], names: Mapping[str, Any], starts: Sequence[Any]) -> list[Target]:
    """Of the parts that were run."""
    return _awa(rows) + _banking77(rows) + _names(names) + _starts(starts)


def _mean(rows: Sequence[Any], data: str, method: str, figure: str, split: str = "") -> float | None:
    some = [getattr(r, figure) for r in rows if r.data == data and r.method == method and split in {"", r.split}]
    return statistics.mean(some) if some else None


def _awa(rows: Sequence[Any]) -> list[Target]:
    if not any(row.data == "awa" for row in rows):
        return []

    def figure(method: str, name: str, split: str = "standard") -> float:
        return _mean(rows, "awa", method, name, split) or 0.0

    eszsl = {split: figure("eszsl", "among", split) for split in ("standard", "proposed")}
    single = [row for row in rows if row.data == "awa" and row.method not in {"blend-all", "auto"}]
    best = max(figure(method, "among") for method in ("blend-all", "auto"))
    return [
        Target("AwA standard: eszsl", eszsl["standard"], 0.33, at_least=True),
        Target("AwA proposed: eszsl", eszsl["proposed"], 0.27, at_least=True),
        Target("AwA standard: sae", figure("sae", "among"), eszsl["standard"] - 0.03, at_least=True),
        Target("AwA proposed: sae", figure("sae", "among", "proposed"), eszsl["proposed"] - 0.03, at_least=True),
        Target("AwA standard: dap", figure("dap", "among"), 0.20, at_least=True),
        Target("AwA standard: conse", figure("conse", "among"), 0.18, at_least=True),
        Target("AwA standard: best combination", best, 0.36, at_least=True),
        Target("AwA: least H over raw H", min(r.harmonic / max(r.raw, 1e-3) for r in single), 2.0, at_least=True),
    ]


def _banking77(rows: Sequence[Any]) -> list[Target]:
    if not any(row.data == "banking77" for row in rows):
        return []

    def figure(method: str, name: str) -> float:
        return _mean(rows, "banking77", method, name) or 0.0

    named = figure("names", "among")
    return [
        Target("Banking77: names", named, 0.755, at_least=True),
        Target("Banking77: eszsl", figure("eszsl", "among"), 0.58, at_least=True),
        Target("Banking77: blend", figure("blend", "among"), named - _HALF_POINT, at_least=True),
        Target("Banking77: blend, aim", figure("blend", "among"), named + 0.01, at_least=True),
        Target("Banking77: H of the blend", figure("blend", "harmonic"), 0.66, at_least=True),
        *(
            Target(f"Banking77: H of {word}", figure(word, "harmonic"), figure(word, "raw") + 0.05, at_least=True)
            for word in ("eszsl", "sae", "conse")
        ),
    ]


def _names(names: Mapping[str, Any]) -> list[Target]:
    if not names:
        return []
    return [
        Target("Banking77: names over all 77", names["plain"], 0.61, at_least=True),
        Target("Banking77: templates over all 77, aim", names["chosen"], 0.65, at_least=True),
    ]


def _starts(starts: Sequence[Any]) -> list[Target]:
    found = []
    for shots in sorted({one.shots for one in starts}):
        some = [one for one in starts if one.shots == shots]
        auto, few, zero = (statistics.mean(getattr(one, n) for one in some) for n in ("auto", "few_shot", "zero_shot"))
        found.append(Target(f"Banking77: start at {shots}", auto, max(few, zero) - _HALF_POINT, at_least=True))
    return found
