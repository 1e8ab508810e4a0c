import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save

from adapters.base import Head, Task
from adapters.columns import infer, type_rows
from adapters.encoding import Encoding
from adapters.errors import RequirementMissing
from adapters.heads import (
    MAP_NAME,
    TRUNK_NAME,
    AffineHead,
    MappedHead,
    NetworkHead,
    RowHead,
    activate,
    affine_part,
    publishable,
    read_tables,
    tables_bytes,
)
from adapters.maps import FourierMap
from models.errors import ExportFailed, WeightsCorrupt


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    return AffineHead(rng.random((3, 5), np.float32), rng.random(3, np.float32), ("a", "ß", "c"))


def arrays(**changes):
    given = {"weight": np.ones((3, 5)), "bias": np.ones(3), "temperature": np.ones(1)} | changes
    return {name: np.asarray(value, np.float32) for name, value in given.items()}


def test_scores_are_affine(head):
    z = np.random.default_rng(1).random((4, 5), np.float32)
    np.testing.assert_allclose(head.scores(z), z @ head.weight.T + head.bias, rtol=1e-6)
    assert head.scores(z).dtype == np.float32


def test_the_same_head_gives_the_same_bytes(head):
    assert head.onnx(0.5) == head.onnx(0.5) != head.onnx(0.6)
    assert tables_bytes(head, 0.5) == tables_bytes(head, 0.5) != tables_bytes(head, 0.6)


def test_tables_come_back(head):
    table = read_tables(tables_bytes(head, 0.25))
    np.testing.assert_array_equal(table.weight, head.weight)
    np.testing.assert_array_equal(table.bias, head.bias)
    assert table.temperature == 0.25


@pytest.mark.parametrize(
    "changes",
    [
        {"weight": np.ones(3)},
        {"bias": np.ones(4)},
        {"temperature": np.ones(2)},
        {"temperature": [0.0]},
        {"temperature": [np.nan]},
        {"weight": np.full((3, 5), np.inf)},
        {"more": np.ones(1)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes):
    with pytest.raises(WeightsCorrupt):
        read_tables(save(arrays(**changes)))


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_another_precision_is_refused(dtype):
    with pytest.raises(WeightsCorrupt, match="float"):
        read_tables(save(arrays() | {"bias": np.ones(3, dtype)}))


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: b"", lambda d: b"no", lambda d: b"\xff" * 64])
def test_other_bytes_are_refused(head, spoil):
    with pytest.raises(WeightsCorrupt):
        read_tables(spoil(tables_bytes(head, 1.0)))


def test_the_graph_of_a_head_answers_for_its_classes(head):
    def outputs(given):
        return [output.name for output in onnxruntime.InferenceSession(given.onnx(1.0)).get_outputs()]

    metadata = onnxruntime.InferenceSession(head.onnx(1.0)).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["a", "ß", "c"]
    assert outputs(head) == ["scores", "probabilities"]
    assert outputs(replace(head, weight=head.weight[:1], bias=head.bias[:1], classes=())) == ["value"]


def test_the_table_of_a_regression_comes_back():
    regression = AffineHead(np.ones((1, 5), np.float32), np.ones(1, np.float32), ())
    table = read_tables(tables_bytes(regression, 1.0))
    assert table.weight.shape == (1, 5)
    assert table.bias.shape == (1,)


RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def affine(width, classes=("a", "b", "c"), multilabel=False):
    k = len(classes) or 1
    return AffineHead(drawn(k, width), drawn(k), classes, multilabel)


def mapped(width, **fields):
    return MappedHead(FourierMap.draw(width, 16, 0.25), affine(16, **fields))


def network(width, activation="relu", **fields):
    return NetworkHead(drawn(7, width), drawn(7), activation, affine(7, **fields))


def bent(width, **fields):
    return network(width, "gelu", **fields)


KINDS = pytest.mark.parametrize("make", [affine, mapped, network, bent])
ANSWERS = pytest.mark.parametrize("fields", [{}, {"multilabel": True}, {"classes": ()}], ids=["one", "any", "number"])


def run(onnx, feed):
    session = onnxruntime.InferenceSession(onnx)
    names = [output.name for output in session.get_outputs()]
    inputs = {given.name: feed[given.name] for given in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


def check_outputs(outputs, scores, fields, temperature):
    if fields.get("classes") == ():
        assert list(outputs) == ["value"]
        np.testing.assert_allclose(outputs["value"], scores, rtol=1e-5, atol=1e-5)
        return
    np.testing.assert_allclose(outputs["scores"], scores, rtol=1e-5, atol=1e-5)
    scaled = scores.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    expected = 1 / (1 + np.exp(-scaled)) if fields else powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


@ANSWERS
@KINDS
def test_the_graph_of_a_head_computes_its_scores(make, fields):
    head, z = make(5, **fields), drawn(9, 5)
    assert head.scores(z).dtype == np.float32
    assert head.classes == fields.get("classes", ("a", "b", "c"))
    outputs = run(head.onnx(0.5), {"embedding": z})
    check_outputs(outputs, head.scores(z), fields, 0.5)


@ANSWERS
@KINDS
def test_the_graph_of_a_head_on_rows_computes_its_scores(make, fields):
    cells = {"x": [1.5, 2.5, None, 80.0], "c": ["u", "v", "u", ""], "d": ["one", "two", "two", "three"]}
    schema, _ = infer(cells)
    rows, _ = type_rows(schema, cells, 4)
    encoding = Encoding.fit(schema, rows)
    head = RowHead(schema, encoding, make(encoding.width, **fields))
    odd, _ = type_rows(schema, cells | {"c": ["u", "never seen", "", "v"], "x": [None, 1e9, -1e9, 0.0]}, 4)
    for given in (rows, odd):
        scores = head.scores(given)
        np.testing.assert_array_equal(scores, head.head.scores(encoding.encode(given)))
        outputs = run(head.onnx(0.5), {"numbers": given.numbers, "categories": given.categories})
        check_outputs(outputs, scores, fields, 0.5)
    metadata = onnxruntime.InferenceSession(head.onnx(0.5)).get_modelmeta().custom_metadata_map
    assert [column["name"] for column in json.loads(metadata["columns"])] == ["x", "c", "d"]


@KINDS
def test_any_head_gives_the_same_bytes_again(make):
    first, other = make(5), make(5)
    assert first.onnx(0.5) == first.onnx(0.5) != first.onnx(0.6)
    assert first.onnx(0.5) != other.onnx(0.5)
    assert first.files() == first.files()


def test_a_mapped_head_is_affine_on_the_map_that_it_publishes():
    head, z = mapped(5), drawn(9, 5)
    assert set(head.files()) == {MAP_NAME}
    table = read_tables(tables_bytes(affine_part(head), 0.5))
    features = FourierMap.from_bytes(head.files()[MAP_NAME]).apply(z)
    np.testing.assert_array_equal(features @ table.weight.T + table.bias, head.scores(z))


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_network_publishes_its_hidden_layer(activation):
    head, z = network(5, activation), drawn(9, 5)
    assert set(head.files()) == {TRUNK_NAME}
    units = run(head.files()[TRUNK_NAME], {"embedding": z})
    assert list(units) == ["item_embedding"]
    np.testing.assert_allclose(units["item_embedding"], activate(z @ head.weight.T + head.bias, activation), atol=1e-6)
    np.testing.assert_allclose(head.head.scores(units["item_embedding"]), head.scores(z), atol=1e-5)


def test_many_rows_are_scored_as_few():
    head, z = network(3), drawn(5000, 3)
    np.testing.assert_allclose(head.scores(z)[4090:4100], head.scores(z[4090:4100]), atol=1e-6)
    assert head.scores(z[:0]).shape == (0, 3)


def test_what_serving_keeps_in_its_table():
    head, behind = affine(5), mapped(5)
    assert affine_part(head) is head
    assert affine_part(behind) is behind.head
    assert affine_part(network(5)) is None


class Odd(Head):
    """A head that begins with no affine layer."""

    def scores(self, z):
        return z

    def onnx(self, temperature):
        return b""


@KINDS
def test_of_a_table_a_head_is_published_with_its_encoding(make_table_task, make_task, make):
    task = make_table_task()
    head = make(task.z.shape[1])
    published = publishable(head, task)
    assert isinstance(published, RowHead)
    assert (published.head, published.encoding, published.schema) == (head, task.encoding, task.schema)
    assert affine_part(published) is None
    np.testing.assert_array_equal(published.scores_of(replace(task, z=task.z * 0)), head.scores(task.z))
    assert publishable(head, make_task()) is head


def test_what_cannot_begin_with_an_encoding_is_not_published_on_tables(make_table_task, make_task):
    assert isinstance(publishable(Odd(), make_task()), Odd)
    with pytest.raises(ExportFailed, match="Odd on the rows of a table"):
        publishable(Odd(), make_table_task())


def test_a_head_on_rows_scores_rows_alone(make_table_task):
    task = make_table_task()
    head = publishable(affine(task.z.shape[1]), task)
    assert set(head.feed(task)) == {"numbers", "categories"}
    bare = Task(task.z, task.y, task.classes, task.groups)
    for ask in (head.scores_of, head.feed):
        with pytest.raises(RequirementMissing, match="typed rows"):
            ask(bare)
