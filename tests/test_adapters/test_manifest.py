import json
from dataclasses import replace

import pytest

from adapters.errors import ManifestInvalid
from adapters.manifest import FileEntry, Manifest

MANIFEST = Manifest(
    name="intents",
    number=3,
    kind="affine",
    backbone="fake",
    backbone_digest="ab" * 32,
    tap="pooled",
    width=4,
    classes=("b", "ä"),
    method={"method": "logistic", "c": 10.0},
    temperature=0.5,
    calibrated=True,
    dataset="ds_1",
    dataset_sha256="cd" * 32,
    job="job_1",
    created_at="2001-02-03T04:05:06+00:00",
    seed=0,
    files={"head.onnx": FileEntry("ef" * 32, 12)},
    libraries={"numpy": "2"},
)


def spoiled(**changes):
    given = json.loads(MANIFEST.to_json()) | changes
    return json.dumps({name: value for name, value in given.items() if value is not ...}).encode()


def test_it_comes_back():
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


TABLE = replace(
    MANIFEST,
    kind="graph",
    backbone="",
    backbone_digest="",
    tap="row",
    classes=(),
    temperature=1.0,
    calibrated=False,
    modality="table",
    task="regression",
    columns=({"name": "size", "kind": "number", "low": 0.5, "examples": [1, 2]},),
)


def test_a_table_comes_back():
    assert Manifest.from_json(TABLE.to_json()) == TABLE


def test_what_was_stored_before_there_were_tables_is_read():
    older = spoiled(modality=..., task=..., columns=..., long=...)
    assert Manifest.from_json(older) == MANIFEST


def test_the_order_of_mappings_does_not_change_the_bytes():
    turned = replace(MANIFEST, method={"c": 10.0, "method": "logistic"})
    assert turned.to_json() == MANIFEST.to_json()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"format": ...}, "format None"),
        ({"kind": "lora"}, "kind 'lora'"),
        ({"extra": 1}, r"unknown \['extra'\]"),
        ({"seed": ...}, r"lacks \['seed'\]"),
        ({"number": "3"}, "'number'"),
        ({"number": True}, "'number'"),
        ({"classes": ["a", 1]}, "class"),
        ({"temperature": 0}, "temperature 0"),
        ({"files": {"a": {"sha256": "x"}}}, "'a'"),
        ({"files": {"a": "x"}}, "'a'"),
        ({"calibrated": 1}, "'calibrated'"),
        ({"modality": "video"}, "modality 'video'"),
        ({"modality": None}, "'modality'"),
        ({"task": "ranking"}, "task 'ranking'"),
        ({"task": "regression"}, "'regression' and 2 classes"),
        ({"classes": []}, "'classification' and 0 classes"),
        ({"long": "drop"}, "long 'drop'"),
        ({"columns": {}}, "'columns'"),
        ({"columns": ["size"], "modality": "table"}, "column"),
        ({"columns": [{"kind": "number"}], "modality": "table"}, "column"),
        ({"modality": "table"}, "'table' and 0 columns"),
        ({"columns": [{"name": "size"}]}, "'text' and 1 columns"),
    ],
)
def test_what_is_not_exactly_a_manifest_is_refused(changes, says):
    with pytest.raises(ManifestInvalid, match=says):
        Manifest.from_json(spoiled(**changes))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff"])
def test_other_bytes_are_refused(data):
    with pytest.raises(ManifestInvalid):
        Manifest.from_json(data)
