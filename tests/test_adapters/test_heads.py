import numpy as np
import pytest
from safetensors.numpy import save

from adapters.heads import AffineHead, read_tables, tables_bytes
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
