import subprocess
import sys
from pathlib import Path

import pytest

import models.trunks.torchvision_ops
from models.trunks.torchvision_ops import complete

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forgetful():
    """Ask again what a test changes; what was declared before stays declared for the process."""
    before = complete()
    yield
    complete.cache_clear()
    del before


def test_nothing_is_done_where_torchvision_is_not_installed(monkeypatch):
    complete.cache_clear()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert complete() is None


def test_nothing_is_declared_where_its_library_loads(monkeypatch, tmp_path):
    complete.cache_clear()
    monkeypatch.setattr(models.trunks.torchvision_ops, "_folder", lambda: tmp_path)
    (tmp_path / "_C.so").touch()
    monkeypatch.setattr("torch.ops.load_library", lambda path: None)
    assert complete() is None


def test_torchvision_and_transformers_can_then_be_imported_together():
    pytest.importorskip("torch")
    program = """
import importlib.util
from models.trunks.torchvision_ops import complete
complete()
complete()
if importlib.util.find_spec("torchvision"):
    import torchvision
from transformers import AutoModel
print("imported")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "imported\n"
