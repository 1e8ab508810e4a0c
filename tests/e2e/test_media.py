"""Images and sounds on a real server, by the commands that one types: fit a folder, predict files, fit again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import httpx
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NEW_EACH = 2
"""Drawings of each class that were not fitted on."""

pytestmark = pytest.mark.slow


@pytest.fixture
def drawn(tmp_path):
    """A folder of shapes and sounds like the examples, drawn anew."""
    draw = [sys.executable, str(EXAMPLES / "draw.py"), str(tmp_path), "--each", str(NEW_EACH), "--seed", "1"]
    subprocess.run(draw, check=True, timeout=60)
    return tmp_path


@pytest.fixture(scope="module")
def url(make_shared):
    """Address of a server that hosts the backbones which need no download."""
    return make_shared("scatter-2d,logmel-stats").start().url


@pytest.fixture
def graft(url):
    """Runs a command of the command line against the server; returns its JSON."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GRAFT_")} | {"GRAFT_URL": url}

    def run(*words: str):
        command = [sys.executable, "-m", "graft.cli", *words, "--json"]
        return json.loads(
            subprocess.run(command, cwd=ROOT, env=environment, stdout=PIPE, check=True, timeout=60).stdout
        )

    return run


@pytest.mark.parametrize(
    ("kind", "modality", "backbone"), [("shapes", "image", "scatter-2d"), ("sounds", "audio", "logmel-stats")]
)
def test_a_folder_is_fitted_files_are_predicted_and_the_cache_is_shared(graft, url, drawn, kind, modality, backbone):
    first = graft("fit", str(EXAMPLES / kind), "--name", kind)
    assert (first["ref"], first["modality"], first["backbone"]["id"]) == (f"{kind}:1", modality, backbone)
    assert first["metrics"]["accuracy"] >= 0.8

    embedded = _embedded(url)
    assert len(graft("predict", kind, str(EXAMPLES / kind))) == 18
    assert _embedded(url) == embedded, "what was fitted on is not embedded again"

    answers = graft("predict", kind, str(drawn / kind))
    assert _embedded(url) - embedded == len(answers) == NEW_EACH * len(first["classes"])
    right = [answer["label"] == Path(answer["file"]).parent.name for answer in answers]
    assert sum(right) >= len(right) - 1
    (alone,) = graft("predict", kind, answers[0]["file"])
    assert (alone["label"], alone["probability"]) == (answers[0]["label"], answers[0]["probability"])

    second = graft("fit", str(EXAMPLES / kind), "--name", kind)
    assert (second["ref"], second["dataset"]) == (f"{kind}:2", first["dataset"])
    assert second["files"]["head.safetensors"] == first["files"]["head.safetensors"]


def _embedded(url: str) -> float:
    """Items that ran through a backbone for predictions so far."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("graft_batch_items_sum"))
