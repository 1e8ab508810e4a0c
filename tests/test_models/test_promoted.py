from dataclasses import replace

import numpy as np
import onnx
import pytest

from adapters.graphs import trunk_graph
from models.catalog import Entry, Options
from models.errors import SourceRefused
from models.hosted import host, open_backbone
from models.promoted import _rename
from models.sources import Trunk

TEXTS = ["I lost my card", "", "wann kommt meine Karte an? " * 9, "卡"]
WEIGHT = np.random.default_rng(0).standard_normal((5, 64)).astype(np.float32)
BIAS = np.linspace(-0.2, 0.2, 5).astype(np.float32)


def no_progress(_stage, _share):
    """Nobody watches."""


@pytest.fixture
def folder(hosted_folder, tmp_path):
    """A folder of hosted backbones with the fake one, to be written to."""
    import shutil

    return shutil.copytree(hosted_folder, tmp_path / "backbones")


@pytest.fixture
def trunk(tmp_path, fake_card):
    """A function that writes a trunk and says where it is."""

    def make(weight=WEIGHT, activation="relu", **fields):
        path = tmp_path / "trunk.onnx"
        path.write_bytes(trunk_graph(weight, BIAS[: len(weight)], activation))
        return Trunk("intents:3", str(path), **({"parent": fake_card.digest} | fields))

    return make


def promoted(folder, source, **fields):
    """The backbone that a trunk becomes, opened."""
    entry = Entry("mine", "text", "MIT", "the trunk of the adapter intents:3", source, **fields)
    card = host(entry, folder, no_progress, pointer=False)
    return open_backbone(folder, card.digest, threads=1)


def embed(backbone):
    return np.concatenate([backbone.run([item]) for item in backbone.prepare(TEXTS)])


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(("activation", "expected"), [("relu", lambda x: np.maximum(x, 0)), ("gelu", gelu)])
def test_the_hidden_layer_of_an_adapter_becomes_a_backbone(folder, fake, trunk, activation, expected):
    backbone = promoted(folder, trunk(activation=activation))
    np.testing.assert_allclose(embed(backbone), expected(embed(fake) @ WEIGHT.T + BIAS), atol=1e-6)
    assert backbone.card.taps == {"pooled": (5,)}
    assert (backbone.card.max_tokens, backbone.card.modality) == (fake.card.max_tokens, "text")
    assert backbone.card.recipe["normalisation"] == "none"
    assert backbone.card.recipe["trunk"]["parent"] == fake.card.digest
    assert backbone.card.digest != fake.card.digest


def test_its_embedding_has_unit_length_where_that_is_said(folder, fake, trunk):
    backbone = promoted(folder, trunk(), options=Options(normalise=True))
    units = np.maximum(embed(fake) @ WEIGHT.T + BIAS, 0)
    np.testing.assert_allclose(embed(backbone), units / np.linalg.norm(units, axis=1, keepdims=True), atol=1e-6)
    assert backbone.card.recipe["normalisation"] == "L2"


def test_a_trunk_may_take_some_columns_of_the_embedding(folder, fake, trunk):
    source = trunk(WEIGHT[:, :7], parts=[[10, 14], [60, 63]])
    chosen = embed(fake)[:, [10, 11, 12, 13, 60, 61, 62]]
    seen = embed(promoted(folder, source))
    np.testing.assert_allclose(seen, np.maximum(chosen @ WEIGHT[:, :7].T + BIAS, 0), atol=1e-6)


def test_the_same_trunk_gives_the_same_digest_and_another_one_another(folder, trunk):
    first = promoted(folder, trunk()).card.digest
    assert promoted(folder, trunk()).card.digest == first
    assert promoted(folder, trunk(2 * WEIGHT)).card.digest != first


def test_a_promoted_backbone_can_be_a_parent(folder, fake, trunk):
    child = promoted(folder, trunk())
    second = np.eye(3, 5, dtype=np.float32)
    grandchild = promoted(folder, trunk(second, parent=child.card.digest))
    np.testing.assert_allclose(embed(grandchild), np.maximum(embed(child)[:, :3] + BIAS[:3], 0), atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parent": ""}, "fitted on rows or vectors, without a backbone"),
        ({"parent": "0" * 64}, "'intents:3' was fitted on is not there"),
        ({"tap": "blocks"}, "without an embedding 'blocks'"),
        ({"parts": [[0, 10]]}, "takes 64 numbers and its backbone gives 10"),
        ({"path": "/none/trunk.onnx"}, "not there any more"),
    ],
)
def test_what_cannot_be_promoted_is_refused(folder, trunk, fields, message):
    with pytest.raises(SourceRefused, match=message):
        promoted(folder, replace(trunk(), **fields))


def test_another_modality_is_refused(folder, trunk):
    entry = Entry("mine", "image", "", "", trunk())
    with pytest.raises(SourceRefused, match="takes items of modality 'text', and 'image' was said"):
        host(entry, folder, no_progress, pointer=False)


def test_another_function_is_refused(folder, trunk, monkeypatch):
    monkeypatch.setattr("models.promoted.largest_difference", lambda *_: 0.1)
    with pytest.raises(SourceRefused, match=r"differs from backbone and trunk one after the other by 1\.0e-01"):
        promoted(folder, trunk())


def test_a_value_is_renamed_inside_of_nodes_too():
    graph = onnx.parser.parse_graph(
        "outer (float[n] x, bool c) => (float[n] z) {y = Relu (x) z = If (c) "
        "<then_branch = t () => (float[n] a) {a = Neg (y)}, else_branch = e () => (float[n] b) {b = Abs (y)}>}"
    )
    _rename(graph, "y", "w")
    assert "y" not in [name for node in graph.node for name in (*node.input, *node.output)]
    inner = [attribute.g.node[0].input[0] for attribute in graph.node[1].attribute]
    assert inner == ["w", "w"]
