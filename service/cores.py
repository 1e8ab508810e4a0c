"""How many cores this process may use: the machine's, less what affinity and a container's limit take away."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = CGROUP) -> int:
    """Cores that work can run on at the same time, at least 1.

    A container with a limit of 2 cores on a machine of 64 has 2: 64 threads there would be throttled.

    Args:
        cgroup: Where the kernel shows the container's limits.
    """
    shown = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit(cgroup)
    return shown if limit is None else max(1, min(shown, int(limit)))


def _limit(cgroup: Path) -> float | None:
    """Cores' worth of time that the control group allows, version 2 or 1; None without a limit."""
    version_1 = (cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us")
    for files in ((cgroup / "cpu.max",), version_1):
        words = [word for file in files for word in _words(file)]
        if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):
            return int(words[0]) / int(words[1])
    return None  # "max", -1, or nothing there


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
