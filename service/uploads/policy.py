"""What becomes of bad rows: the one policy, the same in every modality; in an archive, the rows are its files.

Bad rows are listed by number and reason and left out. The upload is refused where more than a tenth of its rows is
bad, where a class vanishes with them, or, if the caller asked to be strict, where any row is bad.
"""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from models.errors import Problem
from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits

_SHOWN_CLASSES = 5
_SHOWN_CHARS = 60


@dataclass(frozen=True)
class Unit:
    """What is counted, in the words of a message.

    Attributes:
        one, many: What it is called.
        first: Before the first bad one; ``{row}`` is its number.
        remedy: What to do about bad ones.
        classes: What to do where there is one class.
    """

    one: str
    many: str
    first: str
    remedy: str
    classes: str


ROWS = Unit(
    "row",
    "rows",
    "row {row}: ",
    "Mend or remove the rows that are listed and send the file again.",
    "Add rows of another class, or name the right label column.",
)
FILES = Unit(
    "file",
    "files",
    "",
    "Mend or remove the files that are listed and send the archive again.",
    "Put files of another class beside them, in a folder named for it.",
)


class _Ledger(ABC):
    """Keeps account of the rows of one upload while it is read, and judges it at the end.

    Attributes:
        problems: The first `limits.listed_problems` bad rows.
        bad_count: All of them.
    """

    _smallest: ClassVar[str]
    """What must be sent at the least."""

    def __init__(self, limits: Limits, *, strict: bool, unit: Unit = ROWS) -> None:
        self._limits = limits
        self._strict = strict
        self._unit = unit
        self.problems: list[Problem] = []
        self.bad_count = 0

    @property
    @abstractmethod
    def kept(self) -> int:
        """Good rows."""

    @property
    def total(self) -> int:
        """Rows read, good and bad."""
        return self.kept + self.bad_count

    def _enter(self, problem: Problem) -> None:
        self.bad_count += 1
        if len(self.problems) < self._limits.listed_problems:
            self.problems.append(problem)

    def settle(self) -> None:
        """Judges the upload once every row is counted.

        Raises:
            UploadRefused: No rows, too many bad ones, any bad one under `strict`, or nothing to tell apart in those
                that are left; `problems` lists the bad rows.
        """
        if not self.total:
            raise UploadRefused(f"The file holds no rows below its header. Send at least {self._smallest}.")
        if self._strict and self.bad_count:
            raise self._refused(f"{self._bad_share()} cannot be used, and strict=true refuses any.")
        if self.bad_count > self._limits.bad_fraction * self.total:
            raise self._refused(f"{self._bad_share()} cannot be used; at most {self._limits.bad_fraction:.0%} may be.")
        self._judge()

    @abstractmethod
    def _judge(self) -> None:
        """Refuses rows that nothing can be learned from."""

    def _bad_share(self) -> str:
        return f"{self.bad_count} of {self.total} {self._unit.many} ({self.bad_count / self.total:.0%})"

    def _refused(self, seen: str) -> UploadRefused:
        first = self.problems[0]
        where = self._unit.first.format(row=first.row)
        message = f"{seen} The first is {where}{first.detail.rstrip('.')}. {self._unit.remedy}"
        return UploadRefused(message, problems=self.problems)


class RowLedger(_Ledger):
    """The account of a classification: which rows each class has kept and lost.

    Attributes:
        classes: Rows kept of each class, in order of first occurrence.
        problems: The first `limits.listed_problems` bad rows.
        bad_count: All of them.
    """

    _smallest = "two rows of two classes"

    def __init__(self, limits: Limits, *, strict: bool, unit: Unit = ROWS) -> None:
        super().__init__(limits, strict=strict, unit=unit)
        self._lost: Counter[str] = Counter()
        self._kept = 0
        self.classes: Counter[str] = Counter()

    @property
    def kept(self) -> int:
        """Good rows."""
        return self._kept

    def keep(self, *labels: str) -> None:
        """Counts a good row of a class, or of several.

        Raises:
            UploadTooLarge: A class is one more than `limits.classes`.
        """
        self._kept += 1
        for label in labels:
            self.classes[label] += 1
        if len(self.classes) > self._limits.classes:
            raise UploadTooLarge(
                f"There are more than {self._limits.classes} different labels, which is the limit. "
                "Is the label column the right one?"
            )

    def reject(self, problem: Problem, *labels: str) -> None:
        """Counts a bad row; `labels` are its classes where those could be read."""
        self._enter(problem)
        for label in labels:
            if label in self._lost or len(self._lost) <= self._limits.classes:
                self._lost[label] += 1

    def _judge(self) -> None:
        if vanished := [label for label in self._lost if label not in self.classes]:
            raise self._refused(f"All {self._unit.many} of {_named(vanished)} are bad, so nothing of it would be left.")
        if len(self.classes) < 2:
            raise self._too_few()

    def _too_few(self) -> UploadRefused:
        label, items = next(iter(self.classes.items()))
        left = " that are left" if self.bad_count else ""
        rows = f"1 {self._unit.one} has" if items == 1 else f"All {items} {self._unit.many}{left} have"
        return UploadRefused(
            f"{rows} the label {_quoted(label)}; a classifier needs at least two classes. {self._unit.classes}",
            problems=self.problems,
        )


class SetLedger(RowLedger):
    """The account of a classification with any number of classes a row."""

    _smallest = "two rows and two labels"

    def _too_few(self) -> UploadRefused:
        many = self._unit.many
        seen = f"None of the {self.kept} {many} has a label"
        if self.classes:
            seen = f"There is one label, {_quoted(next(iter(self.classes)))}, in all {self.kept} {many}"
        return UploadRefused(
            f"{seen}; at least two different ones are needed. {self._unit.classes} Where one thing is either so or "
            "not, send both as classes, such as 'spam' and 'no spam'.",
            problems=self.problems,
        )


class ValueLedger(_Ledger):
    """The account of a regression, where each row has a number and there are no classes."""

    _smallest = "two rows with different targets"

    def __init__(self, limits: Limits, *, strict: bool, unit: Unit = ROWS) -> None:
        super().__init__(limits, strict=strict, unit=unit)
        self._values: list[float] = []

    @property
    def kept(self) -> int:
        """Good rows."""
        return len(self._values)

    def keep(self, value: float) -> None:
        """Counts a good row."""
        self._values.append(value)

    def reject(self, problem: Problem) -> None:
        """Counts a bad row."""
        self._enter(problem)

    def _judge(self) -> None:
        if min(self._values) == max(self._values):
            rows = "1 row has" if self.kept == 1 else f"All {self.kept} rows have"
            raise UploadRefused(
                f"{rows} the target {self._values[0]:g}; a regression needs at least two different values. "
                "Add rows with other targets, or name the right target column.",
                problems=self.problems,
            )


def _named(labels: list[str]) -> str:
    shown = ", ".join(_quoted(label) for label in labels[:_SHOWN_CLASSES])
    more = f" and {len(labels) - _SHOWN_CLASSES} more" if len(labels) > _SHOWN_CLASSES else ""
    return f"{'class' if len(labels) == 1 else 'classes'} {shown}{more}"


def _quoted(label: str) -> str:
    return f"'{label}'" if len(label) <= _SHOWN_CHARS else f"'{label[:_SHOWN_CHARS]}…'"
