"""What the service's processes hold and use, read from Linux's /proc."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PROC = Path("/proc")

ROLES = {
    "bentoml": "parent",
    "_bentoml_impl.worker.service": "http",
    "service.jobs.worker": "worker",
    "service.jobs.child": "fit child",
}
"""What a process is, by the module that it runs. ``http`` is the one that answers calls."""


@dataclass(frozen=True)
class Usage:
    """One process at one moment.

    Attributes:
        role: A value of `ROLES`, or ``other``.
        rss_bytes: Resident now; pages shared between processes count in each.
        pss_bytes: The same, but a page that n processes share counts 1/n: these may be added.
        peak_rss_bytes: Most that was ever resident.
        cpu_s: Processor time since its start, user and system.
    """

    role: str
    rss_bytes: int
    pss_bytes: int
    peak_rss_bytes: int
    cpu_s: float


def family(pid: int) -> list[Usage]:
    """A process and everything below it that lives now, parents first."""
    found = []
    for one in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found.append(usage(one))
    return found


def tree(pid: int) -> list[int]:
    """Ids of a process and everything below it that lives now, parents first."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            children.setdefault(_parent(folder), []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop(0)
        found.append(current)
        waiting += sorted(children.get(current, []))
    return found


def tree_cpu_s(pid: int) -> float:
    """Processor seconds that a process and everything below it have used, those that ended and were waited for too."""
    ticks = 0
    for one in tree(pid):
        with suppress(OSError):
            ticks += sum(map(int, _stat(PROC / str(one))[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_cpu_s() -> float:
    """Processor seconds that the whole machine has used since it started, and what its host took from it (steal)."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, (PROC / "stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stop a process and everything below it for a while, so that what it does when idle disturbs nobody."""
    stopped = tree(pid)
    for one in stopped:  # parents first: a parent must not see its children stop
        _signal(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(stopped):
            _signal(one, signal.SIGCONT)


def usage(pid: int) -> Usage:
    """One process now. Raises FileNotFoundError or ProcessLookupError when it has ended."""
    folder = PROC / str(pid)
    kilobytes = {}
    for line in (folder / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            kilobytes[name] = int(value.split()[0])
    user, system = _stat(folder)[11:13]
    return Usage(
        role_of((folder / "cmdline").read_text().split("\0")),
        rss_bytes=1024 * kilobytes.get("VmRSS", 0),
        pss_bytes=1024 * _pss_kilobytes(folder),
        peak_rss_bytes=1024 * kilobytes.get("VmHWM", 0),
        cpu_s=(int(user) + int(system)) / os.sysconf("SC_CLK_TCK"),
    )


def role_of(arguments: Sequence[str]) -> str:
    """What a process is, from its command line ``python -m module ...``."""
    modules = [after for option, after in pairwise(arguments) if option == "-m"]
    return ROLES.get(modules[0], "other") if modules else "other"


def of_role(usages: Sequence[Usage], role: str) -> list[Usage]:
    """The processes of a role.

    Raises:
        ValueError: There is none.
    """
    found = [one for one in usages if one.role == role]
    if not found:
        raise ValueError(f"No process is {role!r}; seen: {[u.role for u in usages]}.")
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _pss_kilobytes(folder: Path) -> int:
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; the name before it may hold anything, spaces too."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _parent(folder: Path) -> int:
    return int(_stat(folder)[1])
