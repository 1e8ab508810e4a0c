import numpy as np
import onnxruntime
import pytest

from adapters.signatures import Signatures
from adapters.zero_shot.fronts import FRONTS
from adapters.zero_shot.fronts.attributes import SUREST, DirectAttributeFront, IndirectAttributeFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead

A, D, S = 7, 5, 6
NAMES = tuple(f"attribute {index}" for index in range(A))


def random(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def described(values):
    return Signatures(tuple(f"class {row}" for row in range(len(values))), NAMES, np.asarray(values, dtype=np.float32))


def scale_of(varies=None):
    varies = np.ones(A, dtype=np.bool_) if varies is None else varies
    return Scale(np.zeros(A, np.float32), np.ones(A, np.float32), varies)


def make_direct(varies=None):
    return DirectAttributeFront(random(A, D), random(A, seed=1), scale_of(varies), random(A, seed=2))


def make_indirect(varies=None):
    marks = np.random.default_rng(3).random((S, A)).astype(np.float32).round(1)
    return IndirectAttributeFront(random(S, D), random(S, seed=1), scale_of(varies), random(A, seed=2), marks)


@pytest.fixture(params=[make_direct, make_indirect])
def make(request):
    return request.param


def head_of(front, values):
    return SignatureHead((front,), (1.0,), described(values), np.zeros(len(values), dtype=np.bool_))


MARKS = np.random.default_rng(4).integers(0, 2, (9, A)).astype(np.float32)


def some_missing(marks):
    marks = marks.copy()
    marks[0, :] = np.nan
    marks[1, ::2] = np.nan
    marks[2, 1] = 0.25
    return marks


def papers_scores(front, values, z):
    """Σ over what is known of s·log p + (1-s)·log(1-p), less the same of the prior; written out."""
    p = 1 / (1 + np.exp(-front.log_odds(z).astype(np.float64)))
    prior = 1 / (1 + np.exp(-front.prior.astype(np.float64)))
    found = np.zeros((len(z), len(values)))
    for item, row in enumerate(p):
        for c, marks in enumerate(values):
            for s, own, before in zip(marks, row, prior, strict=True):
                if not np.isnan(s):
                    found[item, c] += s * np.log(own / before) + (1 - s) * np.log((1 - own) / (1 - before))
    return found


@pytest.mark.parametrize("values", [MARKS, some_missing(MARKS)])
def test_scores_are_the_papers_up_to_a_constant_of_the_row(make, values):
    front, z = make(), random(20, D, seed=5)
    seen, expected = head_of(front, values).scores(z), papers_scores(front, values, z)
    np.testing.assert_allclose(
        seen - seen.mean(axis=1, keepdims=True), expected - expected.mean(axis=1, keepdims=True), atol=1e-4
    )


def test_a_class_of_which_nothing_is_known_is_as_likely_as_the_prior(make):
    """Its score is that of no evidence: between those of the classes that the item fits and does not fit."""
    front, z = make(), random(1, D, seed=5)
    fits = (front.log_odds(z)[0] > front.prior).astype(np.float32)
    scores = head_of(front, [fits, np.full(A, np.nan), 1 - fits]).scores(z)[0]
    assert scores[0] > scores[1] > scores[2]


def test_what_never_varied_has_no_say(make):
    varies = np.arange(A) != 2
    front, z, marks = make(varies), random(8, D, seed=5), MARKS.copy()
    expected = head_of(front, marks).scores(z)
    for other in (1 - marks[:, 2], np.full(len(marks), np.nan)):
        marks[:, 2] = other
        np.testing.assert_array_equal(head_of(front, marks).scores(z), expected)
    np.testing.assert_array_equal(front.predicted(z)[:, 2], 0)


def test_of_exclusive_attributes_it_is_the_softmax_of_their_log_odds():
    front, z = make_direct(), random(8, D, seed=5)
    scores = head_of(front, np.eye(A)).scores(z) + front.prior
    softmax = np.exp(front.log_odds(z)) / np.exp(front.log_odds(z)).sum(axis=1, keepdims=True)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, softmax, atol=1e-5)


def test_indirect_attributes_are_those_of_the_classes_by_their_probabilities():
    front, z = make_indirect(), random(8, D, seed=5)
    logits = (z @ front.weight.T + front.bias).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) @ front.marks
    least = 1 / (1 + np.exp(SUREST))
    np.testing.assert_allclose(front.predicted(z), np.clip(p, least, 1 - least), atol=1e-6)


def test_predictions_are_in_the_signatures_unit():
    front = make_direct()
    stretched = DirectAttributeFront(
        front.weight,
        front.bias,
        Scale(np.full(A, 10, np.float32), np.full(A, 20, np.float32), np.ones(A, dtype=np.bool_)),
        front.prior,
    )
    z = random(8, D, seed=5)
    np.testing.assert_allclose(stretched.predicted(z), 10 + 20 * front.predicted(z), rtol=1e-5)


def run(onnx, z):
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return session.run(["scores", "probabilities"], {"embedding": z})


@pytest.mark.parametrize("size", [0.0, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("values", [MARKS, some_missing(MARKS)])
def test_the_onnx_file_computes_the_same(make, values, size):
    head, z = head_of(make(), values), random(300, D, seed=6, scale=size)
    scores, probabilities = run(head.onnx(0.8), z)
    expected = head.scores(z)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_two_fronts_in_one_file_compute_the_same():
    z = random(50, D, seed=6)
    head = SignatureHead((make_direct(), make_indirect()), (0.5, 2.0), described(MARKS), np.zeros(9, dtype=np.bool_))
    np.testing.assert_allclose(run(head.onnx(1.0), z)[0], head.scores(z), atol=1e-4)


def test_it_is_read_back_as_it_was(make):
    front, z = make(np.arange(A) != 2), random(5, D, seed=5)
    again = FRONTS[front.kind].of_arrays(*front.arrays())
    np.testing.assert_array_equal(again.features(z), front.features(z))
    np.testing.assert_array_equal(again.predicted(z), front.predicted(z))
    for mine, theirs in zip(again.encode(described(MARKS)), front.encode(described(MARKS)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_head_of_it_survives_its_file(make):
    head, z = head_of(make(), some_missing(MARKS)), random(5, D, seed=5)
    np.testing.assert_array_equal(SignatureHead.from_bytes(head.to_bytes()).scores(z), head.scores(z))
