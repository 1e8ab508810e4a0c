"""Jobs of kind refit: the order that made a version, and what is said of the bytes that come of it."""

from dataclasses import replace

import pytest

from adapters.manifest import FileEntry
from service.errors import NotReproducible
from service.jobs.refitting import compared
from service.registry.refits import AT_LEAST_S, request_of

REQUEST = {
    "method": {"method": "auto", "candidates": [{"method": "ridge", "l2": 3.0}]},
    "tap": "pooled",
    "parents": [],
    "peft": {},
    "max_seconds": 60.0,
    "early": False,
}
FILES = {name: FileEntry(name[0] * 64, 1) for name in ("head.onnx", "head.safetensors", "report.json")}


@pytest.fixture
def manifest(records):
    made = records.draft(records.stored_job()).manifest(3)
    return replace(made, request=REQUEST, files=FILES, code="c" * 64, libraries={"numpy": "2.4"}, seed=7)


@pytest.fixture
def again(manifest):
    """What the child answers where everything is as it was."""
    files = {name: {"sha256": file.sha256, "size_bytes": 1} for name, file in FILES.items()}
    return {"files": files, "code": "c" * 64, "libraries": {"numpy": "2.4"}, "method": dict(manifest.method)}


def test_what_is_asked_is_what_made_the_version(manifest):
    asked = request_of(manifest)
    assert asked["method"] == REQUEST["method"]
    assert (asked["dataset"], asked["seed"]) == (manifest.dataset, 7)
    assert asked["backbone_digest"] == manifest.backbone_digest
    assert asked["max_seconds"] == 60.0 + AT_LEAST_S


def test_a_version_of_old_cannot_be_asked_for(manifest):
    with pytest.raises(NotReproducible, match=f"{manifest.name}:3 was made before"):
        request_of(replace(manifest, request={}))


def test_the_same_bytes_are_the_same_whatever_the_report_took(manifest, again):
    again["files"]["report.json"]["sha256"] = "0" * 64
    result = compared(manifest, again)
    assert result["same"]
    assert result["differs_because"] == []
    assert set(result["files"]) == {"head.onnx", "head.safetensors"}


def test_one_file_that_differs_is_a_difference(manifest, again):
    again["files"]["head.onnx"]["sha256"] = "0" * 64
    result = compared(manifest, again)
    assert not result["same"]
    assert result["files"]["head.onnx"] == {"before": "h" * 64, "after": "0" * 64}
    assert result["differs_because"] == [
        "Code and libraries are the same; the machine computes otherwise (processor, threads or GPU)."
    ]


def test_a_file_that_is_not_there_any_more_is_a_difference(manifest, again):
    del again["files"]["head.safetensors"]
    assert compared(manifest, again)["files"]["head.safetensors"]["after"] is None
    assert not compared(manifest, again)["same"]


def test_what_may_explain_it_is_said(manifest, again):
    again["files"]["head.onnx"]["sha256"] = "0" * 64
    again |= {"code": "d" * 64, "libraries": {"numpy": "3.0"}, "method": {"method": "ridge"}}
    reasons = " ".join(compared(replace(manifest, request=REQUEST | {"early": True}), again)["differs_because"])
    for words in ("code that fits is another", "numpy is 3.0 now and was 2.4", "ended early", "Another method"):
        assert words in reasons
