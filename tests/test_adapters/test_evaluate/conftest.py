import pytest

from adapters.decision import decide
from adapters.evaluate import report
from adapters.methods.logistic import Logistic
from adapters.methods.prototype import Prototype
from adapters.methods.ridge import Ridge
from adapters.race import compare


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

    def of(task, methods=None, whole=None):
        methods = methods or (candidates if task.kind == "classification" else Ridge().variants(task))
        comparison = compare(methods, task)
        decision = decide(task, comparison, free=False)
        choice = decision.choice
        return report(
            task,
            methods[choice.index] if choice else methods[0],
            whole=whole or task,
            comparison=comparison,
            choice=choice,
            judged=decision.judged,
            crossed=decision.crossed,
            nearest_mean=decision.nearest_mean,
            temperature=choice.temperature if choice else 1.0,
            thresholds=decision.thresholds,
        )

    return of
