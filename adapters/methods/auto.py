"""Whatever does best here."""

from typing import ClassVar, Literal

from adapters.base import Head, Method, Need, Task, TaskKind
from adapters.select import proposals, settle


class Auto(Method):
    """Every method's proposals compared on identical folds; the simplest within one standard error of the best is kept.

    The loss is the held-out log loss after temperature scaling, or for regression the held-out squared error. Only
    methods that can do the task are tried. Where no row can be held out, the last proposal that knows the class names
    is taken (its prior holds it), or the simplest proposal where there are no names.

    Shapes: z (n, d) float32 → scores (n, k) float32, of the method that was chosen. Regression: (n, 1), the values in
        units of the target.
    Cost: the sum over all proposals, each fitted once a fold.
    Raises: DatasetTooSmall: fewer than two classes, or for regression fewer than two rows. TargetOutOfRange: a target
        is not finite or above 1e30.
    Source: Breiman, Friedman, Olshen & Stone, Classification and Regression Trees, 1984, section 3.4.3.
    """

    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Breiman, Friedman, Olshen & Stone, Classification and Regression Trees, 1984, section 3.4.3"
    )
    complexity: ClassVar[int] = 100

    method: Literal["auto"] = "auto"

    def variants(self, task: Task) -> tuple[Method, ...]:
        """Those of all proposals, simplest first."""
        return tuple(variant for proposal in proposals(task) for variant in proposal.variants(task))

    def fallback(self, task: Task) -> Method:
        """See the class."""
        tried = proposals(task)
        informed = [method for method in tried if Need.NAMES in method.requirements()]
        return (informed[-1] if informed else tried[0]).fallback(task)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        return settle(self, task).fit(task)
