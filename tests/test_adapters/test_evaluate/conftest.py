import pytest

from adapters.evaluate import report
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.select import compare, pick


@pytest.fixture
def candidates():
    """Of classes, simplest first."""
    return (Prototype(), Ridge(l2=1.0), Logistic(c=10.0), Logistic(c=100.0))


@pytest.fixture
def task(make_task):
    """Classes that are hard to tell apart, the last one with a single example."""
    return make_task((12, 9, 7, 1), spread=2.0)


@pytest.fixture
def report_of(candidates):
    """A function from a task to its report, with other candidates if given."""

    def of(task, methods=None):
        methods = methods or (Ridge().variants(task) if task.regression else candidates)
        comparison = compare(methods, task)
        choice = pick(comparison, task.y, comparison.held_out) if comparison.possible else None
        nearest = None if choice is None or task.regression else compare([Prototype()], task).scores[0]
        return report(
            task,
            methods[choice.index] if choice else methods[0],
            comparison=comparison,
            choice=choice,
            nearest_mean=nearest,
            temperature=choice.temperature if choice else 1.0,
        )

    return of
