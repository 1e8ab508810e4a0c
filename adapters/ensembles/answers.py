"""What each member says of rows that it had not seen.

A member that was fitted to these very rows is fitted again without each fold; any other is asked as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from adapters.base import F32, F64, I64, Mask, Task
from adapters.budget import OVERHEAD_S, OutOfTime, limited
from adapters.calibrate import fit_temperature
from adapters.ensembles.members import Member, known, placements
from adapters.ensembles.running import Running
from adapters.errors import FitStopped
from adapters.folds import NEVER, deal_folds, random_folds
from adapters.linalg import log_softmax
from models.errors import InputError


@dataclass(frozen=True, eq=False)
class Answers:
    """Of one member.

    Attributes:
        scores: (n, k) float32: its probabilities or values as they are published; where it was fitted again, its scores
            of rows that were held out, without a temperature.
        knows: (k,) the classes that it knows.
        again: Whether it was fitted again.
    """

    scores: F32
    knows: Mask
    again: bool

    def at_own_temperature(self, task: Task, rows: Mask) -> F32:
        """(n, k) float32 probabilities or values; where it was fitted again at the temperature that some rows call for.

        Args:
            task: Whose rows were scored.
            rows: (n,) those that the temperature is fitted to.
        """
        if not self.again or task.regression:
            return self.scores
        scores = self.scores[:, self.knows]
        result = np.zeros_like(self.scores)
        if task.multilabel:
            temperature = fit_temperature(scores[rows], task.marks[rows][:, self.knows], _weights(task, rows))
            result[:, self.knows] = 0.5 + 0.5 * np.tanh(scores / np.float32(2 * temperature))
            return result
        # Rows of a class that it does not know say nothing of how sure it may be.
        rows = rows & self.knows[task.labels]
        place = np.cumsum(self.knows) - 1
        temperature = fit_temperature(scores[rows], place[task.labels[rows]], _weights(task, rows))
        result[:, self.knows] = np.exp(log_softmax(scores / np.float32(temperature)))
        return result


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What all members say.

    Attributes:
        task: The rows.
        answers: One for each member; none where they could not be asked.
        folds: (n,) int64, `NEVER` for rows that were never held out.
        early: Whether the time ended it.
        why: Why nothing is held out, as a sentence; empty where something is.
    """

    task: Task
    answers: tuple[Answers, ...]
    folds: I64
    early: bool = False
    why: str = ""

    @property
    def rows(self) -> Mask:
        """(n,) rows that are held out."""
        return np.not_equal(self.folds, NEVER)

    def knows(self, counted: Mask) -> Mask:
        """(m', k) which classes each of the members that count, (m,), knows.

        One that none of them knows, because it has no rows and all were fitted again to these, counts as known to all:
        each gives it a probability of zero.
        """
        found: Mask = np.stack([one.knows for one, counts in zip(self.answers, counted, strict=True) if counts])
        return found | ~found.any(axis=0)

    def without(self, fold: int) -> Mask:
        """(n,) rows that are held out in another fold."""
        others: Mask = self.rows & (self.folds != fold)
        return others

    def probabilities(self, rows: Mask) -> F32:
        """(m, n, k) of all members, or values, at the temperatures that some rows call for."""
        return np.stack([one.at_own_temperature(self.task, rows) for one in self.answers])


def hold_out(task: Task, on_progress: Callable[[float], None]) -> HeldOut:
    """Ask every member for rows that it had not seen.

    Raises:
        RequirementMissing: See `Running.check`.
        FitStopped: `task.check` said so.

    Cost: as many fits as members that saw the rows times folds.
    """
    members = task.members
    folds = _folds(task)
    if not (folds != NEVER).any():
        return _nothing(task, _TOO_FEW if len(task.y) else _NO_ROWS)
    placed = placements(members, task.classes)
    steps = sum(member.saw for member in members) * (int(folds.max()) + 1)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        on_progress(min(1.0, done / max(1, steps)))

    answers = []
    for member, place, knows in zip(members, placed, known(placed), strict=True):
        task.check()
        if not member.saw:
            answers.append(Answers(Running(member).answer(task.z) @ place, knows, again=False))
            continue
        try:
            answers.append(_fitted_again(member, knows, task, folds, step))
        except OutOfTime:
            return replace(_nothing(task, _NO_TIME), early=True)
        except FitStopped:
            raise
        except InputError as error:
            return _nothing(task, f"{member.name} learned from these very rows and cannot be fitted again: {error}")
    return HeldOut(task, tuple(answers), folds)


_NO_ROWS = "There are no rows, so nothing was measured."

_TOO_FEW = "No rows could be held out, so nothing was measured: there are too few that differ."

_NO_TIME = "The time was over before every member had been fitted again on folds, so nothing was measured."


def _nothing(task: Task, why: str) -> HeldOut:
    return HeldOut(task, (), np.full(len(task.y), NEVER, dtype=np.int64), why=why)


def _folds(task: Task) -> I64:
    """Where nobody learns from the rows, none of them has to stay in training."""
    if any(member.saw for member in task.members) or len(task.y) == 0:
        return deal_folds(task)
    return random_folds(task.groups, task.seed)


def _fitted_again(member: Member, knows: Mask, task: Task, folds: I64, on_fold: Callable[[], None]) -> Answers:
    """Fit a member's method to the rows outside each fold, and score the rows inside."""
    # The registry imports every method, and ``ensemble`` imports this module: so it is asked for when needed.
    from adapters.methods import parse_method

    method = parse_method(dict(member.method))
    own = _own(member, task)
    learned = knows if task.regression else knows & ~task.absent
    scores = np.zeros((len(task.y), len(learned)), dtype=np.float32)
    for fold in range(int(folds.max()) + 1):
        inside = folds == fold
        training, held_out = _split(own, inside, learned)
        scores[np.ix_(inside, learned)] = method.fit(_narrowed(training, learned)).scores_of(held_out)
        # Also behind the last one: who ends early where the time is over has fitted something else.
        own.check()
        on_fold()
    return Answers(scores, learned, again=True)


def _own(member: Member, task: Task) -> Task:
    """The rows as the member sees them, in the time that there is."""
    z = np.ascontiguousarray(task.z[:, member.first : member.behind])
    own = replace(task, z=z, names=member.names, parts=(), members=(), signatures=None)
    return limited(own, lambda: OVERHEAD_S)


def _split(own: Task, inside: Mask, learned: Mask) -> tuple[Task, Task]:
    """The rows to learn from, and those inside: of classes that the member does not know only the latter."""
    if own.regression or own.multilabel:
        return own.split(inside)
    kept = inside | learned[own.labels]
    return own.rows(kept).split(inside[kept])


def _narrowed(training: Task, learned: Mask) -> Task:
    """With the member's classes alone."""
    if learned.all():
        return training
    place = np.cumsum(learned) - 1
    return replace(
        training,
        y=training.marks[:, learned] if training.multilabel else place[training.labels],
        classes=tuple(name for name, kept in zip(training.classes, learned, strict=True) if kept),
        names=None if training.names is None else training.names[learned],
    )


def _weights(task: Task, rows: Mask) -> F64 | None:
    return None if task.weights is None else task.weights[rows]
