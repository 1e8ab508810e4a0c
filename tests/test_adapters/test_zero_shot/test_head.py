from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from adapters.errors import RequirementMissing
from adapters.signatures import Signatures
from adapters.zero_shot.fronts import CosineFront, LinearFront
from adapters.zero_shot.head import FILE_NAME, SignatureHead
from models.errors import WeightsCorrupt

CLASSES = ("lion", "tiger", "zebra", "liger")
ATTRIBUTES = ("furry", "legs", "stripes")
SEEN = np.array([True, True, True, False])


@pytest.fixture
def signatures():
    values = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    return Signatures(CLASSES, ATTRIBUTES, values, groups=(("body", (0, 1)),))


@pytest.fixture
def make_head(signatures):
    """A function that makes a head of one linear front, or of several with shares."""

    def make(shares=(1.0,), stacking=0.0, signatures=signatures, seen=SEEN, **fields):
        rng = np.random.default_rng(1)

        def front():
            numbers = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 5), 3, 3, 3)]
            return LinearFront(*numbers, **fields)

        return SignatureHead(tuple(front() for _ in shares), shares, signatures, seen, stacking)

    return make


@pytest.fixture
def z():
    return np.random.default_rng(2).standard_normal((6, 5)).astype(np.float32)


def by_hand(head, z):
    """The definition, front by front."""
    total = sum(
        share * (front.features(z) @ front.encode(head.signatures)[0].T + front.encode(head.signatures)[1])
        for front, share in zip(head.fronts, head.shares, strict=True)
    )
    return total - head.stacking * head.seen


@pytest.mark.parametrize("shares", [(1.0,), (0.7, 0.3), (2.0, 0.0, 5.0)])
def test_scores_are_shares_of_the_fronts_less_what_is_taken_from_seen_classes(make_head, z, shares):
    head = make_head(shares, stacking=0.4)
    expected = by_hand(head, z)
    np.testing.assert_allclose(head.scores(z), expected, atol=1e-5)
    np.testing.assert_allclose(head.affine.scores(z), expected, atol=1e-5)


def test_a_front_that_is_not_affine_beside_one_that_is(signatures, make_head, z):
    linear = make_head()
    values = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
    embedded = replace(signatures, attributes=tuple("abcde"), values=values)
    cosine = CosineFront(5, unit=False)

    class Both(LinearFront):
        """Whatever is asked, of these signatures."""

        def encode(self, _):
            return linear.fronts[0].encode(signatures)

    first = linear.fronts[0]
    head = SignatureHead(
        (Both(first.weight, first.bias, first.fill, first.centre), cosine), (0.5, 0.5), embedded, SEEN, 0.2
    )
    assert head.affine is None
    session = onnxruntime.InferenceSession(head.onnx(1.0), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["scores"], {"embedding": z})[0], by_hand(head, z), atol=1e-5)
    np.testing.assert_allclose(head.scores(z), by_hand(head, z), atol=1e-5)


def test_what_is_computed_from_it_is_computed_once(make_head):
    head = make_head()
    assert head.table is head.table
    assert head.affine is head.affine
    assert replace(head, stacking=3.0).affine is not head.affine
    assert not np.array_equal(replace(head, stacking=3.0).affine.bias, head.affine.bias)


def test_other_classes_are_encoded_as_the_first_ones_were(make_head, signatures, z):
    head = make_head(stacking=0.4)
    chosen = signatures.of(("liger", "lion"))
    some = head.with_signatures(chosen)
    np.testing.assert_allclose(some.scores(z), head.scores(z)[:, [3, 0]], atol=1e-6)
    assert some.seen.tolist() == [False, True]


def test_a_new_class_was_not_seen(make_head, signatures, z):
    values = np.concatenate([signatures.values, signatures.values[:1]])
    more = replace(signatures, classes=(*CLASSES, "leopard"), values=values)
    scores = make_head(stacking=0.4).with_signatures(more).scores(z)
    np.testing.assert_allclose(scores[:, 4], scores[:, 0] + 0.4, atol=1e-6)


def test_attributes_may_stand_in_another_order(make_head, signatures, z):
    head = make_head()
    turned = signatures.reordered(("stripes", "furry", "legs"))
    again = head.with_signatures(turned)
    np.testing.assert_array_equal(again.scores(z), head.scores(z))
    assert again.signatures.attributes == ATTRIBUTES
    assert again.signatures.groups == signatures.groups


def test_other_attributes_are_refused_by_name(make_head, signatures):
    other = replace(signatures, attributes=("furry", "legs", "wings"))
    with pytest.raises(RequirementMissing, match="lack 'stripes' and it does not know 'wings'"):
        make_head().with_signatures(other)


def test_embeddings_of_another_backbone_are_refused(make_head, signatures):
    ours, theirs = replace(signatures, space="a"), replace(signatures, space="b")
    head = make_head(signatures=ours)
    for wrong in (theirs, signatures):
        with pytest.raises(RequirementMissing, match="another backbone"):
            head.with_signatures(wrong)
    assert head.with_signatures(ours).signatures.space == "a"
    assert make_head(signatures=signatures).with_signatures(theirs).signatures.space == "b"


def test_it_comes_back_from_its_file(make_head, z):
    head = make_head((0.7, 0.3), stacking=0.4, scale=np.ones(3, np.float32), readout=np.eye(3, dtype=np.float32))
    data = head.files()[FILE_NAME]
    again = SignatureHead.from_bytes(data)
    np.testing.assert_array_equal(again.scores(z), head.scores(z))
    np.testing.assert_array_equal(again.predicted(z), head.predicted(z))
    assert (again.classes, again.stacking, again.seen.tolist()) == (CLASSES, 0.4, SEEN.tolist())
    assert again.to_bytes() == data


@pytest.mark.parametrize(
    "spoil", [lambda d: d[:50], lambda d: b"", lambda d: d.replace(b'\\"linear\\"', b'\\"cinear\\"')]
)
def test_a_damaged_file_is_told(make_head, spoil):
    data = make_head().to_bytes()
    assert spoil(data) != data
    with pytest.raises(WeightsCorrupt):
        SignatureHead.from_bytes(spoil(data))


def test_the_first_front_that_predicts_attributes_is_asked(make_head, z):
    silent, telling = make_head(), make_head(readout=np.eye(3, dtype=np.float32))
    assert silent.predicted(z) is None
    both = replace(silent, fronts=silent.fronts + telling.fronts, shares=(0.5, 0.5))
    np.testing.assert_array_equal(both.predicted(z), telling.predicted(z))


def test_one_class_all_rows_equal_and_nothing_known_stay_finite(make_head, signatures, z):
    head = make_head()
    for values in (signatures.values[:1], np.ones((4, 3), np.float32), np.full((4, 3), np.nan, np.float32)):
        odd = head.with_signatures(replace(signatures, classes=CLASSES[: len(values)], values=values))
        assert odd.scores(z).shape == (6, len(values))
        assert np.isfinite(odd.scores(z)).all()
