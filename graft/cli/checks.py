"""What `graft doctor` looks at. Each check says what it saw and, where that is not well, what to do."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from graft._backbones import Backbone
from graft._client import Client
from graft._errors import GraftError, Unreachable

Status = Literal["ok", "warn", "fail"]
GIB = 2**30

EXTRAS = {
    "serve": ("bentoml", "fastapi", "onnxruntime", "tokenizers", "sqlalchemy", "dbos", "pillow", "soundfile", "soxr"),
    "fit": ("torch", "transformers", "onnx", "onnxscript", "huggingface_hub"),
    "timm": ("timm", "torchvision"),
}
"""Packages that show that an extra is installed; the GPU build of onnxruntime has a name of its own."""

REMEDIES = {
    "timm": "Only for architectures that transformers lacks (VGG16, InceptionV3, ...). To have them: make setup."
}
"""What to do about a missing extra; of the others: `SETUP`."""
SETUP = "Not needed to call a service. To run one here: make setup."


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    status: Status
    seen: str
    remedy: str = ""


def python() -> Check:
    """The interpreter."""
    seen = f"{sys.version.split()[0]} at {sys.executable}"
    return (
        Check("python", "ok", seen)
        if sys.version_info >= (3, 11)
        else Check("python", "fail", seen, "Use 3.11 or newer.")
    )


def installed(name: str) -> Check:
    """The packages that an extra brings. A client needs none of them, so that a missing one is no failure."""
    found = {package: _installed(package) for package in EXTRAS[name]}
    missing = [package for package, version in found.items() if version is None]
    seen = ", ".join(f"{package} {version}" for package, version in found.items() if version)
    if not missing:
        return Check(f"extra {name}", "ok", seen)
    lacking = "; ".join(part for part in (seen, f"missing: {', '.join(missing)}") if part)
    return Check(f"extra {name}", "warn", lacking, REMEDIES.get(name, SETUP))


def _installed(package: str) -> str | None:
    for name in (package, f"{package}-gpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def disk(home: Path) -> Check:
    """Free space where the service keeps its state."""
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(place).free
    seen = f"{free_bytes / GIB:.1f} GiB free for {home}"
    if free_bytes < GIB // 2:
        return Check("disk", "fail", seen, "Uploads and fits need room: free 0.5 GiB, or name another --home.")
    low = free_bytes < 5 * GIB
    return Check("disk", "warn", seen, "Enough to try it; 5 GiB are comfortable.") if low else Check("disk", "ok", seen)


def cache(home: Path) -> Check:
    """What embeddings that were kept take; their bound is a setting of the service's."""
    folder = home / "cache"
    if not folder.is_dir():
        return Check("embedding cache", "ok", f"none in {home}")
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Check("embedding cache", "ok", f"{size_bytes / 2**20:,.1f} MiB in {folder} (bound: GRAFT_CACHE_BYTES)")


def memory(root: Path = Path("/")) -> Check:
    """Memory that is available, within the limit of a container if there is one (Linux)."""
    available_bytes = _meminfo(root / "proc/meminfo")
    limit = _read(root / "sys/fs/cgroup/memory.max")
    used = _read(root / "sys/fs/cgroup/memory.current")
    if limit.isdigit() and used.isdigit():
        left_bytes = int(limit) - int(used)
        available_bytes = left_bytes if available_bytes is None else min(available_bytes, left_bytes)
    if available_bytes is None:
        return Check("memory", "ok", "not measured on this system")
    seen = f"{available_bytes / GIB:.1f} GiB available"
    low = available_bytes < 2 * GIB
    return Check("memory", "warn", seen, "Service and worker take about 2 GiB.") if low else Check("memory", "ok", seen)


def _meminfo(path: Path) -> int | None:
    for line in _read(path).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cores() -> Check:
    """Processor cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cores", "ok", str(count))


def gpu(command: str = "nvidia-smi") -> Check:
    """GPUs that the driver shows. None is fine: everything runs on the processor too."""
    path = shutil.which(command)
    if path is None:
        return Check("gpu", "ok", "none; the processor is used")
    query = [path, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        shown = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        return Check("gpu", "warn", f"nvidia-smi failed: {error}", "Mend the driver, or go on without the GPU.")
    return Check("gpu", "ok", "; ".join(shown.strip().splitlines()))


def service(client: Client, *, named: bool) -> Iterator[Check]:
    """The service: does it answer, is it ready, what does it host. `named`: somebody expects one at the address."""
    try:
        now = client.readiness()
    except Unreachable:
        status: Status = "fail" if named else "warn"
        yield Check("service", status, f"nothing answers at {client.base_url}", "Start it: make serve.")
        return
    except GraftError as error:
        yield Check("service", "fail", str(error), "Look at the service's log.")
        return
    remedy = "" if now.ready else "Wait: the first start prepares the backbone (about half a minute)."
    seen = f"{client.base_url} is {'ready' if now.ready else 'not ready: ' + now.reason}"
    yield Check("service", "ok" if now.ready else "warn", seen, remedy)
    yield from _backbones(client)


def _backbones(client: Client) -> Iterator[Check]:
    """How many are ready, and of each what runs it, and why that."""
    try:
        hosted = client.backbones.list()
    except GraftError as error:
        yield Check("backbones", "fail", str(error), "Look at the service's log.")
        return
    seen = ", ".join(f"{b.id} ({b.state})" for b in hosted)
    if any(b.state == "ready" for b in hosted):
        yield Check("backbones", "ok", seen)
    else:
        remedy = "Wait until one is ready; the service's log tells of its progress."
        yield Check("backbones", "warn", seen or "none", remedy)
    yield from (_backbone(backbone) for backbone in hosted)


def _backbone(backbone: Backbone) -> Check:
    name = f"backbone {backbone.id}"
    if backbone.state == "failed":
        why = backbone.error.detail if backbone.error else "it could not be hosted"
        return Check(name, "warn", why, f"Mend it and add it again, or: graft backbones remove {backbone.id}.")
    if not backbone.provider:
        return Check(name, "ok", backbone.state)
    why = f": {backbone.provider_why}" if backbone.provider_why else ""
    return Check(name, "ok", f"runs on {backbone.provider}{why}")


def variables(env: Mapping[str, str]) -> Check:
    """Names of the variables that set something here; values may be secrets."""
    return Check("variables", "ok", ", ".join(sorted(name for name in env if name.startswith("GRAFT_"))) or "none set")
