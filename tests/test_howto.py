"""docs/howto/add-a-method.md is true: the method that it writes, dropped into the folder, is all there is to do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "howto" / "add-a-method.md"
PARTS = ("adapters", "models", "service", "graft", "docs", "tests/contract", "pyproject.toml", "README.md", "Makefile")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the project with one file more."""
    root = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, root / part)
    [code] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (root / "adapters" / "methods" / "diagonal.py").write_text(code, encoding="utf-8")
    return root


def run(tree, *arguments):
    env = os.environ | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_contract_holds_it(tree):
    done = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_methods.py", "-k", "diagonal")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20


def test_the_api_and_its_schema_have_it(tree):
    code = (
        "from adapters.methods import parse_method, AnyMethod, __file__ as where; from pydantic import TypeAdapter;"
        "print(where); print(parse_method({'method': 'diagonal', 'floor': 0.5}));"
        "print(TypeAdapter(AnyMethod).json_schema()['$defs']['Diagonal']['properties']['floor']['description'])"
    )
    done = run(tree, "-c", code)
    assert done.returncode == 0, done.stderr
    where, parsed, description = done.stdout.strip().splitlines()[:3]
    assert Path(where).is_relative_to(tree)
    assert "floor=0.5" in parsed
    assert description.startswith("What is added to every variance")


def test_the_docs_follow(tree):
    done = run(tree, "docs/generate.py")
    assert done.returncode == 0, done.stderr
    assert "diagonal" in (tree / "docs" / "methods.md").read_text(encoding="utf-8")
