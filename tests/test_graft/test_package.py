"""What the package exports, needs and ships."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import graft

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {"numpy", "torch", "transformers", "onnx", "onnxruntime", "pydantic", "fastapi", "bentoml"}


def test_all_names_what_is_exported():
    public = {name for name in vars(graft) if not name.startswith("_") and name != "cli"}
    assert public == set(graft.__all__) - {"__version__"}
    assert len(graft.__all__) == len(set(graft.__all__))


def test_the_version_is_the_distributions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert graft.__version__ == project["version"]


@pytest.mark.parametrize("module", ["graft", "graft.cli"])
def test_importing_loads_the_declared_packages_alone(module):
    code = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    tops = {name.partition(".")[0] for name in loaded.split()}
    third_party = tops - set(sys.stdlib_module_names)
    assert not tops & (FORBIDDEN | {"service", "adapters", "models"})
    brought = {"httpcore", "h11", "anyio", "certifi", "idna", "sniffio", "click", "shellingham", "typing_extensions"}
    brought |= {"annotated_doc", "markdown_it", "mdurl", "pygments"}
    assert third_party <= {"graft", "httpx", "typer", "rich"} | brought


@pytest.mark.slow
def test_the_wheel_holds_the_front_door_alone(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], check=True, cwd=ROOT
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"graft", f"graft-{graft.__version__}.dist-info"}
    assert "graft/py.typed" in names
    assert "graft/cli/fit.py" in names
