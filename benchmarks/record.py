"""Results on disk: figures together with what made them."""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.server import ROOT

RESULTS = ROOT / "benchmarks" / "results"
WIDTH = 160
"""Columns of what is printed into a file or a pipe."""
LIBRARIES = (
    *("bentoml", "fastapi", "uvicorn", "uvloop", "orjson"),
    *("numpy", "onnxruntime-gpu", "onnxruntime", "scikit-learn", "tokenizers", "torch"),
)


@dataclass(frozen=True)
class Target:
    """A figure that has a limit. `at_least` says on which side of the limit it has to be."""

    what: str
    seen: float
    limit: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """The figure is on the right side, or on the limit."""
        return self.seen >= self.limit if self.at_least else self.seen <= self.limit

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        sign = ">=" if self.at_least else "<="
        return {"what": self.what, "seen": self.seen, "limit": f"{sign} {self.limit:.6g}", "reached": self.reached}


def write(name: str, figures: Mapping[str, Any], made_by: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write ``<name>.json``: what made the figures (see `provenance`), then the figures. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**made_by, **figures}, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def provenance(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Date, commit, device, versions and settings; taken before a run, so that the load is what others caused."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        # Earlier results do not change what is measured.
        "dirty": bool(_git("status", "--porcelain", "--", ".", ":!benchmarks/results")),
        "device": device(),
        "versions": {"python": platform.python_version()} | versions(),
        "settings": dict(settings),
    }


def device() -> dict[str, Any]:
    """The machine, and how busy it was in the last minute: its load of others than this benchmark spoils timings."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1min": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that decide speed and results, of those that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def open_console() -> Console:
    """Where tables are printed: as wide as the terminal, or `WIDTH` where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def show_targets(console: Console, targets: list[Target]) -> None:
    """Print what was aimed at and whether it was reached."""
    table = Table("target", "seen", "limit", "", title="Targets")
    for target in targets:
        kept = target.as_json()
        verdict = "[green]reached[/]" if target.reached else "[bold red]missed[/]"
        table.add_row(target.what, f"{target.seen:.4g}", kept["limit"], verdict)
    console.print(table)


def some_of(parts: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads an option that names some of the parts of a benchmark, with commas between them."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        if unknown := set(words) - set(parts):
            raise argparse.ArgumentTypeError(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
        return words

    return read


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(*arguments: str) -> str | None:
    """What git says; None outside a checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
