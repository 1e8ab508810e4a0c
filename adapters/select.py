"""Choosing among methods and parameters on identical folds.

variants -> compare (out-of-fold scores of each) -> pick (temperature, loss, one-standard-error rule)
"""

from adapters.base import Method, Task
from adapters.comparison import Choice, Comparison, cross_pick, pick
from adapters.race import compare

__all__ = ["Choice", "Comparison", "compare", "cross_pick", "pick", "proposals", "settle"]


def settle(method: Method, task: Task) -> Method:
    """The method with every open parameter chosen on folds of this task."""
    variants = method.variants(task)
    if len(variants) == 1:
        return variants[0]
    comparison = compare(variants, task)
    if not comparison.possible:
        return method.fallback(task)
    return comparison.methods[pick(comparison, task.y, comparison.held_out).index]


def proposals(task: Task) -> tuple[Method, ...]:
    """What every method that can do a task proposes to try on it, simplest first."""
    # The registry imports every method, and ``auto`` imports this module: so it is asked for when needed.
    from adapters.methods import METHODS

    kinds = sorted(METHODS.values(), key=lambda kind: getattr(kind, "complexity", 0))
    able = (kind for kind in kinds if task.kind in kind.tasks)
    return tuple(method for kind in able for method in kind.proposals(task))
