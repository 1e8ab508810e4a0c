"""What the service's processes hold and use, read from Linux's /proc."""

import os
from collections.abc import Sequence
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
        peak_rss_bytes: Most that was ever resident.
        cpu_s: Processor time since its start, user and system.
    """

    role: str
    rss_bytes: int
    peak_rss_bytes: int
    cpu_s: float


def family(pid: int) -> list[Usage]:
    """A process and everything below it that lives now, parents first."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            children.setdefault(_parent(folder), []).append(int(folder.name))
        except OSError:
            continue  # It has just ended.
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop(0)
        found.append(usage(current))
        waiting += sorted(children.get(current, []))
    return found


def usage(pid: int) -> Usage:
    """One process now. Raises FileNotFoundError when it has ended."""
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
        peak_rss_bytes=1024 * kilobytes.get("VmHWM", 0),
        cpu_s=(int(user) + int(system)) / os.sysconf("SC_CLK_TCK"),
    )


def role_of(arguments: Sequence[str]) -> str:
    """What a process is, from its command line ``python -m module ...``."""
    modules = [after for option, after in pairwise(arguments) if option == "-m"]
    return ROLES.get(modules[0], "other") if modules else "other"


def only(usages: Sequence[Usage], role: str) -> Usage:
    """The one process of a role.

    Raises:
        ValueError: There is none, or there are several.
    """
    found = [one for one in usages if one.role == role]
    if len(found) != 1:
        raise ValueError(f"{len(found)} processes are {role!r}, one was expected; seen: {[u.role for u in usages]}.")
    return found[0]


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/<pid>/stat from the state on; the name before it may hold anything, spaces too."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _parent(folder: Path) -> int:
    return int(_stat(folder)[1])
