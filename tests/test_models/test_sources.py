import json

import pytest

from models.sources import BuiltIn, Folder, Hub, OnnxFile, Package, Trunk, Words, source_from_dict, source_to_dict

SOURCES = [
    BuiltIn("fake"),
    Package("package", "model", "0" * 64),
    Hub("acme/tiny"),
    Hub("acme/tiny", "v1", "vgg16", {"pad_type": "same"}),
    Folder("/weights", "vgg16", {"depth": 2}),
    OnnxFile("/a.onnx", "x", "y", "/tokenizer.json"),
    Words("/vectors.txt", "glove"),
    Trunk("intents:3", "/head.onnx", "0" * 64),
    Trunk("intents:3", "/head.onnx", "0" * 64, "blocks", ((0, 4), (8, 12))),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.kind)
def test_a_source_survives_json(source):
    assert source_from_dict(json.loads(json.dumps(source_to_dict(source)))) == source


def test_an_unknown_kind_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'url'; known are built-in, package, hub"):
        source_from_dict({"kind": "url", "url": "http://example.org"})


@pytest.mark.parametrize("fields", [{"kind": "hub"}, {"kind": "hub", "repo": "a/b", "token": "secret"}])
def test_a_field_too_few_or_too_many_is_refused(fields):
    with pytest.raises(TypeError):
        source_from_dict(fields)
