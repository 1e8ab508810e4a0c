import numpy as np
import onnxruntime
import pytest

from adapters.signatures import Signatures
from adapters.zero_shot.fronts import FRONTS
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead

S, D, A = 8, 5, 6


def random(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def described(values, name="class", space=""):
    names = tuple(f"{name} {row}" for row in range(len(values)))
    return Signatures(names, tuple(f"attribute {a}" for a in range(values.shape[1])), values, space)


def make(top=3, space="", weight=None, bias=None):
    sources = described(random(S, A, seed=7), "source", space)
    weight = random(S, D) if weight is None else weight
    bias = random(S, seed=1) if bias is None else bias
    return ConvexFront(weight, bias, top, Scale.standard(sources), sources)


def head_of(front, classes=9):
    values = random(classes, A, seed=8)
    values[1, 2] = np.nan
    return SignatureHead((front,), (1.0,), described(values), np.zeros(classes, dtype=np.bool_))


def shares_of(logits, top):
    """Renormalised probabilities of the likeliest, row by row."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    for row in p:
        row[np.argsort(-row, kind="stable")[top:]] = 0
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("top", [1, 3, S, S + 5])
def test_shares_are_the_likeliest_probabilities(top):
    front, z = make(top), random(20, D, seed=5)
    names, shares = front.shares(z)
    assert names == tuple(f"source {row}" for row in range(S))
    np.testing.assert_allclose(shares, shares_of(z @ front.weight.T + front.bias, top), atol=1e-6)
    assert ((shares > 0).sum(axis=1) == min(top, S)).all()


def test_scores_are_cosines_to_the_mean_of_the_sources():
    front, z = make(), random(20, D, seed=5)
    head = head_of(front)
    mean, deviation = front.sources.values.mean(axis=0), front.sources.values.std(axis=0)

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    mixed = front.shares(z)[1] @ unit((front.sources.values - mean) / deviation)
    classes = unit(np.nan_to_num((head.signatures.values - mean) / deviation))
    np.testing.assert_allclose(head.scores(z), unit(mixed) @ classes.T, atol=1e-5)


def test_an_item_of_one_source_is_that_source():
    weight = 100 * np.eye(S, D, dtype=np.float32)
    front = make(weight=weight, bias=np.zeros(S, np.float32))
    head = SignatureHead((front,), (1.0,), front.sources, np.ones(S, dtype=np.bool_))
    scores = head.scores(np.eye(D, dtype=np.float32))
    np.testing.assert_array_equal(scores.argmax(axis=1), np.arange(D))
    np.testing.assert_allclose(scores.max(axis=1), 1, atol=1e-5)


def test_predicted_are_the_sources_attributes_by_their_shares():
    front, z = make(), random(20, D, seed=5)
    np.testing.assert_allclose(front.predicted(z), front.shares(z)[1] @ front.sources.values, atol=1e-6)
    assert make(space="digest").predicted(z) is None


def test_attributes_that_no_source_varies_in_are_left_out():
    values = random(S, A, seed=7)
    values[:, 2] = 3.0
    sources = described(values, "source")
    front = ConvexFront(random(S, D), random(S), 3, Scale.standard(sources), sources)
    others = random(9, A, seed=8)
    expected = front.encode(described(others))[0]
    others[:, 2] = np.nan
    np.testing.assert_array_equal(front.encode(described(others))[0], expected)
    np.testing.assert_array_equal(expected[:, 2], 0)


def test_similarity_is_that_of_centred_signatures():
    front = make()
    assert front.similarity.shape == (S, S)
    np.testing.assert_allclose(np.diag(front.similarity), 1, atol=1e-6)
    standard = (front.sources.values - front.sources.values.mean(axis=0)) / front.sources.values.std(axis=0)
    cosine = standard[0] @ standard[1] / np.linalg.norm(standard[0]) / np.linalg.norm(standard[1])
    np.testing.assert_allclose(front.similarity[0, 1], cosine, atol=1e-6)


def run(onnx, z):
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return session.run(["scores"], {"embedding": z})[0]


@pytest.mark.parametrize("top", [1, 3, S, S + 5])
@pytest.mark.parametrize("size", [0.0, 1.0, 10.0, 1e4])
def test_the_onnx_file_computes_the_same(top, size):
    head, z = head_of(make(top)), random(300, D, seed=6, scale=size)
    assert np.isfinite(head.scores(z)).all()
    np.testing.assert_allclose(run(head.onnx(0.1), z), head.scores(z), atol=1e-4)


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_of_equal_sources_the_first_count_on_both_sides(top):
    weight = np.repeat(random(2, D), S // 2, axis=0)
    front = make(top, weight=weight, bias=np.zeros(S, np.float32))
    z = np.concatenate([random(100, D, seed=6), np.zeros((1, D), np.float32)])
    kept = front.shares(z)[1] > 0
    first_of_each = np.arange(S) % (S // 2)
    assert (kept[:, first_of_each == 0].any(axis=1)).all()
    assert (kept[-1] == (np.arange(S) < top)).all()
    np.testing.assert_allclose(run(head_of(front).onnx(0.1), z), head_of(front).scores(z), atol=1e-4)


def test_a_mixture_without_direction_is_near_nothing():
    """Sources that cancel out: neither side blows up what is left of the sum by rounding."""
    values = np.array([[1, 1], [-1, -1], [2, -2], [-2, 2]], dtype=np.float32)
    sources = described(values, "source")
    front = ConvexFront(np.zeros((4, D), np.float32), np.zeros(4, np.float32), 4, Scale.standard(sources), sources)
    head = SignatureHead((front,), (1.0,), sources, np.ones(4, dtype=np.bool_))
    z = random(5, D)
    np.testing.assert_allclose(head.scores(z), 0, atol=1e-3)
    np.testing.assert_allclose(run(head.onnx(1.0), z), head.scores(z), atol=1e-4)


def test_it_is_read_back_as_it_was():
    front, z = make(), random(5, D, seed=5)
    again = FRONTS["convex"].of_arrays(*front.arrays())
    np.testing.assert_array_equal(again.features(z), front.features(z))
    np.testing.assert_array_equal(again.predicted(z), front.predicted(z))
    assert again.shares(z)[0] == front.shares(z)[0]


def test_a_head_of_it_survives_its_file():
    head, z = head_of(make()), random(5, D, seed=5)
    np.testing.assert_array_equal(SignatureHead.from_bytes(head.to_bytes()).scores(z), head.scores(z))
