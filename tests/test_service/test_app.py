"""The BentoML service: what stands between the socket and our application."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LAYERS = """
import json, sys
import service.app as it
app = it.Graft.to_asgi()
print(json.dumps({
    "layers": [layer.cls.__name__ for layer in app.user_middleware],
    "heavy": sorted({"torch", "transformers", "onnx"} & set(sys.modules)),
    "workers": it.Graft.config["workers"],
}))
"""


def seen(tmp_path, **variables):
    environment = {**os.environ, "GRAFT_HOME": str(tmp_path), "GRAFT_BACKBONES": "fake", **variables}
    run = subprocess.run(
        [sys.executable, "-c", LAYERS], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def test_nothing_of_bentoml_stands_before_our_application(tmp_path):
    assert seen(tmp_path, GRAFT_API_PROCESSES="3") == {"layers": ["Ours"], "heavy": [], "workers": 3}
