"""Backbones of one's own on a real server: hosted by its worker, ready in every process, and still there afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
WEIGHTS = Path(os.environ.get("BENCH_DATA", "/nowhere")) / "weights"

needs_weights = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="BENCH_DATA is unset: it names the folder of weights")

MOBILENETS = {
    "mobilenet-v1": {"source": {"path": str(WEIGHTS / "mobilenetv1_0.25_128_imagenet_hf")}},
    "mobilenet-v2-128": {
        "source": {
            "path": str(WEIGHTS / "mobilenetv2_100_imagenet"),
            "timm": "mobilenetv2_100",
            "options": {"pad_type": "same"},
        },
        "preprocess": {"size": 128, "mean": [127.5], "std": [127.5]},
    },
}

SQUARES = """
import io, json, sys, zipfile
from PIL import Image
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for i in range(8):
        for colour in ("red", "blue"):
            file = io.BytesIO()
            Image.new("RGB", (40 + i, 40), colour).save(file, "PNG")
            archive.writestr(f"{colour}/{i}.png", file.getvalue())
"""


@pytest.fixture(scope="module")
def calls(server):
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


def _host(calls, id_, **body):
    return calls.post("/v1/backbones?wait=60", json={"id": id_} | body)


def test_what_is_hosted_serves_and_outlives_the_server(make_server):
    server = make_server().start()
    with httpx.Client(base_url=server.url, timeout=60) as calls:
        made = _host(calls, "mine", source={"catalog": "fake"})
        assert (made.status_code, made.json()["state"]) == (201, "ready")
        rows = "text,label\n" + "".join(f"{w} {i},{w}\n" for w in ("refund", "parcel") for i in range(8))
        files = {"file": ("t.csv", rows)}
        version = calls.post("/v1/adapters?wait=60", files=files, data={"name": "intents", "backbone": "auto"}).json()
        assert version["backbone"]["id"] in {"fake", "mine"}
        ranked = calls.post("/v1/backbones:rank?wait=60", json={"dataset": version["dataset"]}).json()
        assert (ranked["state"], len(ranked["result"]["backbones"])) == ("succeeded", 2)
    server.kill()
    server.start()
    with httpx.Client(base_url=server.url, timeout=60) as calls:
        assert calls.post("/v1/adapters/intents/predict", json={"inputs": ["refund 3"]}).status_code == 200
        _ready(calls, "mine")


def _ready(calls, id_):
    import time

    deadline_s = time.monotonic() + 20
    while calls.get(f"/v1/backbones/{id_}").json()["state"] != "ready":
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize("id_", MOBILENETS)
def test_real_weights_are_hosted_from_their_folder_and_fitted_on(make_server, tmp_path, id_):
    server = make_server()
    server.environment = {"GRAFT_BACKBONE_FOLDERS": str(WEIGHTS)}
    server.start()
    archive = tmp_path / "squares.zip"
    subprocess.run([sys.executable, "-c", SQUARES, str(archive)], check=True)
    with httpx.Client(base_url=server.url, timeout=120) as calls:
        made = _host(calls, id_, licence="Apache-2.0", **MOBILENETS[id_])
        assert made.status_code == 201, made.text
        assert (made.json()["modality"], made.json()["state"]) == ("image", "ready")
        files = {"file": ("squares.zip", archive.read_bytes())}
        version = calls.post("/v1/adapters?wait=60", files=files, data={"name": "squares"})
        assert version.status_code == 201, version.text
        assert version.json()["backbone"]["id"] == id_


def test_a_folder_that_is_not_allowed_is_refused(calls):
    refused = _host(calls, "passwd", source={"path": "/etc"}, modality="text")
    assert (refused.status_code, "GRAFT_BACKBONE_FOLDERS" in refused.json()["detail"]) == (422, True)


def test_a_graph_that_is_none_is_a_failed_job_and_nothing_is_hosted(calls, server):
    form = {"id": "net", "modality": "image", "input": "x", "output": "y"}
    answer = calls.post("/v1/backbones?wait=60", files={"file": ("net.onnx", b"not a graph")}, data=form)
    assert (answer.status_code, answer.json()["state"]) == (202, "failed")
    assert answer.json()["error"]["code"] == "source-refused"
    assert calls.get("/v1/backbones/net").json()["state"] == "failed"
    assert sorted(p.name for p in (server.home / "backbones").iterdir() if p.is_dir() and len(p.name) != 64) == []
    assert calls.delete("/v1/backbones/net").status_code == 204
