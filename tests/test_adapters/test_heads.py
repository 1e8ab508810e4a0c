import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import save

from adapters.columns import infer, type_rows
from adapters.encoding import Encoding
from adapters.heads import AffineHead, RowHead, read_tables, tables_bytes
from models.errors import WeightsCorrupt


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


@pytest.mark.parametrize("classes", [("a", "b"), ()])
def test_a_row_head_scores_what_its_graph_answers(classes):
    cells = {"x": [1.5, 2.5, None, 80.0], "c": ["u", "v", "u", ""]}
    schema, _ = infer(cells)
    rows, _ = type_rows(schema, cells, 4)
    encoding = Encoding.fit(schema, rows)
    rng = np.random.default_rng(0)
    k = len(classes) or 1
    affine = AffineHead(rng.random((k, encoding.width), np.float32), rng.random(k, np.float32), classes)
    head = RowHead(schema, encoding, affine)
    scores = head.scores(rows)
    assert head.classes == classes
    assert scores.shape == (4, k)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, encoding.encode(rows) @ affine.weight.T + affine.bias, rtol=1e-6)
    session = onnxruntime.InferenceSession(head.onnx(1.0))
    (answer,) = session.run(
        ["scores" if classes else "value"], {"numbers": rows.numbers, "categories": rows.categories}
    )
    np.testing.assert_allclose(answer, scores, atol=1e-5)
