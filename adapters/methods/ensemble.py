"""Weighted average of published versions."""

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from adapters.base import Head, Method, Need, Task, TaskKind
from adapters.ensembles.answers import hold_out
from adapters.ensembles.head import head_of
from adapters.ensembles.learning import learn
from adapters.ensembles.members import admit_members, known, placements
from adapters.errors import ParameterInvalid, RequirementMissing, TaskUnsupported


class Ensemble(Method):
    """Weighted average of what published versions answer, each at its own temperature.

    With ``of: probabilities`` the probability of class c is Σ wᵢ·pᵢ(c), with ``of: log_probabilities`` it is
    proportional to exp(Σ wᵢ·ln pᵢ(c)); where a row may have any number of classes log odds are averaged instead of
    logs, and numbers are averaged as they are. A member that does not know a class says nothing of it: wᵢ then counts
    among those that do, and all classes are brought to a sum of one.

    Without `weights` they are the convex ones that make held-out rows likeliest, drawn toward equal ones as by five
    rows for each member. A member that was fitted to the same dataset is fitted again on its folds, any other is asked
    as it is. Without rows, or where nothing can be held out, all members weigh the same.

    Shapes: z (n, d) float32, the members' embeddings side by side → scores (n, k) float32, logs of the averaged
        probabilities. Regression: (n, 1), the values.
    Cost: as many fits as members of the same dataset times folds; the shares themselves O(n·k·m²) a step.
    Raises: RequirementMissing: fewer than two members, or such as have no average; see `members.admit_members`.
        ParameterInvalid: not one weight a member, or all weights of a class's members are zero.
    Source: Caruana, Niculescu-Mizil, Crew & Ksikes, Ensemble Selection from Libraries of Models, ICML 2004; of log
        probabilities: Jacobs, Methods for Combining Experts' Probability Assessments, Neural Computation 7(5), 1995.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({Need.MEMBERS})
    tasks: ClassVar[frozenset[TaskKind]] = frozenset(TaskKind)
    source: ClassVar[str] = (
        "Caruana, Niculescu-Mizil, Crew & Ksikes, Ensemble Selection from Libraries of Models, ICML 2004"
    )
    complexity: ClassVar[int] = 60

    method: Literal["ensemble"] = "ensemble"
    weights: list[Annotated[float, Field(ge=0, le=1e6)]] | None = Field(None, min_length=2, max_length=100)
    """One for each member, in their order; of any size, for they are divided by their sum. None: learned."""
    of: Literal["probabilities", "log_probabilities"] | None = None
    """What is averaged: log probabilities let one member veto. None: what does better on held-out rows."""
    drop: bool = True
    """Whether a member without whom held-out rows are surely likelier is left out, where weights are learned."""
    temperature: float | None = Field(None, gt=0, le=1e6)
    """Of the average: below one sharpens its probabilities. None: measured on held-out rows."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if self.weights is not None and not any(self.weights):
            raise ParameterInvalid("All of 'weights' are zero, so nothing would be averaged. Give one above zero.")
        return self

    def admit(self, task: Task) -> None:
        """Refuse what cannot be averaged; rows need not be there.

        Raises:
            RequirementMissing: See `members.admit_members`.
            ParameterInvalid: Not one weight a member, or none above zero for a class.
            TaskUnsupported: The items are rows of a table.
        """
        if not task.members:
            raise RequirementMissing(
                f'{self.method!r} averages published versions, and none were named. Name them in "parents".'
            )
        if task.table is not None:
            raise TaskUnsupported(
                "Versions that take the rows of a table encode them each in its own way and are not averaged. Upload "
                "the rows as vectors, and fit versions to these."
            )
        admit_members(task.members, task.classes, task.z.shape[1])
        self._admit_weights(task)

    def fit(self, task: Task) -> Head:
        """See `Method.fit`."""
        self.admit(task)
        found = learn(self, hold_out(task, lambda _share: None))
        return head_of(task, found.shares, found.of)

    def _admit_weights(self, task: Task) -> None:
        if self.weights is None:
            return
        if len(self.weights) != len(task.members):
            raise ParameterInvalid(
                f"'weights' has {len(self.weights)} numbers and {len(task.members)} versions are averaged. Give one "
                "for each, in their order."
            )
        knows = known(placements(task.members, task.classes))[np.array(self.weights) > 0].any(axis=0)
        if not knows.all():
            raise ParameterInvalid(
                f"Every version that knows class {task.classes[int(knows.argmin())]!r} weighs nothing. Give one of "
                "them a weight above zero, or leave the class out in 'labels'."
            )
