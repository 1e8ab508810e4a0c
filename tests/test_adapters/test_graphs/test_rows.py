import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from adapters.columns import Column, Kind, Rows
from adapters.encoding import Encoding
from adapters.graphs import row_graph


def shapes(values):
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


N = 60
NUMBERS = [("x", Kind.NUMBER), ("income", Kind.NUMBER), ("same", Kind.NUMBER), ("ok", Kind.BOOLEAN)]
DATES = [("day", Kind.DATE), ("moment", Kind.DATE)]
TEXTS = [("colour", Kind.CATEGORY), ("größe", Kind.CATEGORY)]
TABLES = {
    "all": NUMBERS + TEXTS + DATES,
    "numbers": NUMBERS,
    "dates": DATES,
    "categories": TEXTS,
    "one number": NUMBERS[:1],
    "one category": TEXTS[:1],
}
ODD = [1e300, -1e300, 1e-300, -1e308, 1e308, np.nan, np.inf, -np.inf, 0.0, -0.0]
WORDS = ["rot", "grün", "", "unknown", "ROT", " ", "x" * 1000]


def drawn(kind, rng):
    if kind is Kind.CATEGORY:
        return rng.choice(np.array(["rot", "grün", "blau", ""], object), N)
    values = {"x": 1e9 + rng.standard_normal(N), "income": rng.lognormal(8, 3, N), "same": np.full(N, 0.1)}
    values |= {"ok": rng.integers(0, 2, N).astype(float), "day": rng.integers(0, 20_000, N).astype(float)}
    return values | {"moment": rng.random(N) * 20_000}


def table(fields, rng):
    """A schema, rows to learn from with some gaps, and an encoding learned of them."""
    schema = tuple(
        Column(name, kind, categories=("rot", "grün", "blau") if kind is Kind.CATEGORY else ()) for name, kind in fields
    )
    numeric = [drawn(kind, rng)[name] for name, kind in fields if kind is not Kind.CATEGORY]
    numbers = np.array(numeric).reshape(-1, N).T.copy()
    numbers[rng.random(numbers.shape) < 0.2] = np.nan
    texts = [drawn(kind, rng) for _, kind in fields if kind is Kind.CATEGORY]
    rows = Rows(numbers, np.array(texts, object).reshape(-1, N).T.copy())
    return schema, rows, Encoding.fit(schema, rows)


def spoiled(rows, rng):
    numbers, categories = rows.numbers.copy(), rows.categories.copy()
    for matrix, odd in ((numbers, ODD), (categories, WORDS)):
        where = rng.random(matrix.shape) < 0.5
        matrix[where] = rng.choice(np.array(odd, matrix.dtype), int(where.sum()))
    return replace(rows, numbers=numbers, categories=categories)


def run(data, rows):
    session = onnxruntime.InferenceSession(data)
    feed = {"numbers": rows.numbers, "categories": rows.categories}
    names = [output.name for output in session.get_outputs()]
    inputs = {given.name: feed[given.name] for given in session.get_inputs()}
    return dict(zip(names, session.run(names, inputs), strict=True))


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("fields", TABLES.values(), ids=TABLES)
def test_a_row_graph_computes_the_encoding_and_the_affine_formula(fields, k):
    rng = np.random.default_rng(k)
    schema, rows, encoding = table(fields, rng)
    weight = rng.standard_normal((k, encoding.width)).astype(np.float32)
    bias = rng.standard_normal(k).astype(np.float32)
    classes = tuple(f"class {c}" for c in range(k)) if k > 1 else ()
    data = row_graph(schema, encoding, weight, bias, classes, 2.0)
    probe = spoiled(rows, rng)
    outputs = run(data, probe)
    finite = replace(probe, numbers=np.clip(probe.numbers, -1e308, 1e308))
    expected = encoding.encode(finite) @ weight.T + bias
    if classes:
        np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-5, atol=1e-5)
        odds = np.exp((expected - expected.max(axis=1, keepdims=True)) / 2)
        np.testing.assert_allclose(outputs["probabilities"], odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    else:
        np.testing.assert_allclose(outputs["value"], expected, rtol=1e-5, atol=1e-5)
    alone = [run(data, probe.take(np.array([i]))) for i in range(5)]
    for name, values in outputs.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(np.concatenate([one[name] for one in alone]), values[:5], rtol=1e-5, atol=1e-5)


def row_graph_of(fields, classes=("a", "größe"), temperature=1.0):
    schema, _, encoding = table(fields, np.random.default_rng(0))
    weight = np.ones((len(classes) or 1, encoding.width), np.float32)
    return schema, row_graph(schema, encoding, weight, np.zeros(len(weight), np.float32), classes, temperature)


@pytest.mark.parametrize(
    ("fields", "inputs"),
    [
        (TABLES["all"], {"numbers": ["n", 6], "categories": ["n", 2]}),
        (NUMBERS, {"numbers": ["n", 4]}),
        (TEXTS, {"categories": ["n", 2]}),
    ],
)
def test_a_row_graph_has_the_promised_face(fields, inputs):
    schema, data = row_graph_of(fields)
    model = onnx.load_from_string(data)
    assert shapes(model.graph.input) == inputs
    types = {"numbers": onnx.TensorProto.DOUBLE, "categories": onnx.TensorProto.STRING}
    assert all(given.type.tensor_type.elem_type == types[given.name] for given in model.graph.input)
    assert shapes(model.graph.output) == {"scores": ["n", 2], "probabilities": ["n", 2]}
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert metadata["classes"] == ["a", "größe"]
    assert tuple(Column.from_dict(column) for column in metadata["columns"]) == schema


def test_a_row_graph_of_a_regression_has_one_output():
    assert shapes(onnx.load_from_string(row_graph_of(NUMBERS, classes=())[1]).graph.output) == {"value": ["n", 1]}


def test_the_same_row_head_gives_the_same_bytes():
    first = row_graph_of(TABLES["all"])[1]
    assert first == row_graph_of(TABLES["all"])[1]
    assert len({first, row_graph_of(TABLES["all"], temperature=2.0)[1], row_graph_of(NUMBERS)[1]}) == 3


def test_numbers_are_scaled_in_double():
    """Of 1e9 + 1 and 1e9 + 2 float32 sees the same."""
    schema, _, encoding = table(NUMBERS[:1], np.random.default_rng(0))
    weight = np.zeros((1, encoding.width), np.float32)
    weight[0, 0] = 1
    data = row_graph(schema, encoding, weight, np.zeros(1, np.float32), (), 1.0)
    near = Rows(np.array([[1e9 + 1], [1e9 + 2]]), np.empty((2, 0), object))
    low, high = run(data, near)["value"][:, 0]
    assert high - low == pytest.approx(1 / encoding.scale[0], rel=1e-4)
