"""What holds for the whole tree: what the HTTP process loads, who imports what, that everything public is described."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import FOREIGN, PREFIX, Settings

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "adapters", "service", "graft")
HEAVY = ("torch", "transformers", "onnx", "onnxscript", "sklearn", "pandas", "scipy")

PUBLISH = """
import sys, time
from dataclasses import asdict
from pathlib import Path
from models.catalog import entry
from models.hosted import host
from service.database.engine import open_engine
from service.jobs.adapting import Adapting
from service.jobs.fit import Fitting, Order
from service.registry import jobs
from service.registry.items import pack_items
from service.settings import Settings
from service.store.blobs import Blobs
from service.wiring import prepare

settings = Settings(home=Path(sys.argv[1]))
prepare(settings)
host(entry("fake"), settings.backbones_dir, lambda stage, share: None)
blobs, engine = Blobs(settings.home), open_engine(settings.database_url)
texts = [f"{word} {i}" for i in range(5) for word in ("refund", "parcel")]
blob = blobs.put(pack_items(texts, ["a", "b"] * 5, range(10)))
options = {"method": {"method": "prototype"}, "seed": 0, "max_seconds": 60.0}
job = jobs.Job("job_1", "default", "adapt", "intents", {"promote": "auto", **options}, "queued", "", 0.0, 0, None, None,
               {}, None, 1.0, None, None)
jobs.add(engine, job, None, 10)
jobs.begin(engine, job.id, 2.0)
facts = {"modality": "text", "task": "classification"}
outcome = Fitting(blobs, settings.backbones_dir, 1, time.monotonic).run(
    Order("job_1", "ds_1", "s" * 64, blob.digest, facts, "fake", "truncate", **options), lambda stage, share: None)
Adapting(engine, settings.home, None).keep(job, asdict(outcome), 3.0)
"""

PREDICT = """
import asyncio, json, sys
from pathlib import Path
from service.serving.references import parse
from service.settings import Settings
from service.wiring import create_api, enclosed, prepare, running

async def main():
    settings = Settings(home=Path(sys.argv[1]), backbones=("fake",), encoder_lanes=1)
    prepare(settings)
    api = create_api()
    api.openapi()
    async with running(settings) as state:
        api.state.graft = state
        enclosed(api)
        while state.backbones.waiting_for():
            await asyncio.sleep(0.02)
        return await state.predictor.predict("default", parse("intents"), ["my refund"], 1)

answer = asyncio.run(main())
tops = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"label": answer["predictions"][0]["label"], "tops": tops}))
"""


def _run(program, home):
    return subprocess.run(
        [sys.executable, "-c", program, str(home)], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def _sources(*packages):
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def _tracked():
    """Text of every file that belongs to the project, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so what belongs to the project cannot be told from what was built here")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()}


@pytest.mark.slow
def test_the_http_process_predicts_without_anything_heavy(tmp_path):
    _run(PUBLISH, tmp_path)
    seen = json.loads(_run(PREDICT, tmp_path))
    assert seen["label"] == "a"
    assert "onnxruntime" in seen["tops"]
    assert set(HEAVY) & set(seen["tops"]) == set()


def test_only_the_queue_knows_dbos():
    def imported(path):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""

    users = [path for path in _sources(*PACKAGES) if any(name.split(".")[0] == "dbos" for name in imported(path))]
    assert users == [ROOT / "service" / "jobs" / "queue.py"]


def _public(node, name):
    """A module or class with the public classes, functions and methods in it; what stands in a function is private."""
    yield name, node
    for child in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _public(child, f"{name}:{child.name}")


def _is_overload(node):
    return any(getattr(item, "id", "") == "overload" for item in getattr(node, "decorator_list", ()))


@pytest.mark.parametrize("package", PACKAGES)
def test_everything_public_is_described(package):
    missing = [
        name
        for path in _sources(package)
        for name, node in _public(_tree(path), str(path.relative_to(ROOT)))
        if not (ast.get_docstring(node) or _is_overload(node) or path.parent.name == "versions")
    ]
    assert missing == []


def test_no_file_names_somebodys_home():
    home = re.compile(r"/(?:home|root|Users)/(?!bentoml\b)[A-Za-z.]")
    found = {str(path.relative_to(ROOT)) for path, text in _tracked().items() if home.search(text) or str(ROOT) in text}
    assert found == set()


def test_every_setting_has_a_sentence():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_only_settings_that_exist_are_spoken_of():
    known = {PREFIX + name.upper() for name in Settings.model_fields} | FOREIGN
    texts = {path: text for path, text in _tracked().items() if path.suffix in {".md", ".yaml", ".yml", ".toml", ".py"}}
    spoken = {
        (str(path.relative_to(ROOT)), name)
        for path, text in texts.items()
        if "tests" not in path.parts
        for name in re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", text)
    }
    assert {(path, name) for path, name in spoken if name not in known} == set()
