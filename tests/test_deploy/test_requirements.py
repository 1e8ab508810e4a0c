"""The image installs what was tested: every package that it needs, at the version in constraints.txt."""

import platform
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DIRECT, NEEDED = (
    [line for line in part.splitlines() if line and not line.startswith("#")]
    for part in (ROOT / "requirements-bento.txt").read_text("utf-8").split("# What those need")
)


def _name(requirement):
    return canonicalize_name(Requirement(requirement).name)


def _applies(requirement, extra=""):
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _closure(requirements):
    """Names of all that the requirements need on this machine, themselves included, from what is installed."""
    todo = [Requirement(line) for line in requirements if _applies(Requirement(line))]
    seen = set()
    while todo:
        requirement = todo.pop()
        for extra in {"", *requirement.extras}:
            key = (canonicalize_name(requirement.name), extra)
            if key not in seen:
                seen.add(key)
                needs = (Requirement(line) for line in metadata.requires(requirement.name) or [])
                todo += [need for need in needs if _applies(need, extra)]
    return {name for name, _ in seen}


def test_the_direct_ones_are_the_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert {_name(line) for line in DIRECT} == {_name(line) for extra in ("serve", "fit") for line in extras[extra]}


def test_every_version_is_the_pinned_one():
    pins = set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    assert {line.partition(";")[0].strip() for line in DIRECT + NEEDED} - pins == set()


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the image is for Linux on x86_64"
)
def test_nothing_is_left_to_the_installer_to_choose():
    here = {_name(line) for line in DIRECT if _applies(Requirement(line))}
    assert _closure(DIRECT) - here == {_name(line) for line in NEEDED}
