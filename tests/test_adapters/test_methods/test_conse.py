from dataclasses import replace

import numpy as np
import pytest

from adapters.base import Parent, Task
from adapters.errors import Cancelled, DatasetTooSmall, RequirementMissing, TaskUnsupported
from adapters.methods.conse import Conse
from adapters.signatures import Signatures
from adapters.verify import verify
from adapters.zero_shot.mixtures import mixture_of

SEEN, A, D = 12, 8, 16


def make_task(rows=15, noise=0.3, space="", **fields):
    """Two classes without rows: the first half the one and half the other of two that have, the last like the third."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((SEEN, A)).astype(np.float32)
    values = np.concatenate([values, [(values[0] + values[1]) / 2, values[2] + 0.3 * rng.standard_normal(A)]])
    centres = rng.standard_normal((SEEN, D)) / np.sqrt(D)
    centres = np.concatenate([centres, [(centres[0] + centres[1]) / 2, centres[2]]])
    y = np.repeat(np.arange(SEEN), rows)
    z = centres[y] + noise * rng.standard_normal((len(y), D)) / np.sqrt(D)
    classes = tuple(f"class {c}" for c in range(SEEN + 2))
    described = Signatures(classes, tuple(f"attribute {a}" for a in range(A)), values.astype(np.float32), space)
    given = {"groups": np.arange(len(y)), "signatures": described, "seed": 1} | fields
    return Task(z.astype(np.float32), y, classes, **given), centres.astype(np.float32)


def make_parent(centres):
    """A published head that knows where the first classes are."""
    known = centres[:SEEN]
    classes = tuple(f"class {c}" for c in range(SEEN))
    return Parent("animals:3", 40 * known, -20 * (known**2).sum(axis=1), 2.0, classes)


def test_a_class_between_two_is_told_by_both():
    task, centres = make_task()
    head = Conse().fit(task)
    names, shares = head.fronts[0].shares(centres[SEEN : SEEN + 1])
    assert sorted(np.array(names)[np.argsort(-shares[0])[:2]]) == ["class 0", "class 1"]
    among = head.scores(centres)[SEEN:, SEEN:].argmax(axis=1)
    np.testing.assert_array_equal(among, [0, 1])


def test_its_mixture_has_two_modes():
    task, centres = make_task()
    front = Conse(c=100.0, sharpness=1.0).fit(task).fronts[0]
    between, clear = mixture_of(*front.shares(centres[[SEEN, 3]]), front.similarity)
    assert {between.parts[0][0], between.second[0]} == {"class 0", "class 1"}
    assert clear.parts[0][0] == "class 3"
    assert clear.second is None


def test_it_still_tells_seen_classes():
    task, _ = make_task()
    scores = Conse(sharpness=2.0).fit(task).scores(task.z)
    assert (scores[:, :SEEN].argmax(axis=1) == task.y).mean() > 0.9
    assert np.abs(scores).max() <= 1 + 1e-5


def test_a_parent_stands_for_the_rows():
    task, centres = make_task()
    parent = make_parent(centres)
    none = replace(task, z=task.z[:0], y=task.y[:0], groups=task.groups[:0], parent=parent)
    head = Conse(sharpness=1.0).fit(none)
    np.testing.assert_allclose(head.fronts[0].weight, parent.weight / 2, rtol=1e-6)
    np.testing.assert_array_equal(head.seen, np.arange(SEEN + 2) < SEEN)
    np.testing.assert_array_equal(head.scores(centres)[SEEN:, SEEN:].argmax(axis=1), [0, 1])


def test_a_parent_of_classes_that_are_not_described_is_refused():
    task, centres = make_task()
    few = task.signatures.of(task.classes[1:])
    with pytest.raises(RequirementMissing, match="'class 0'"):
        Conse().fit(replace(task, parent=make_parent(centres), signatures=few))


def test_the_unit_of_attributes_does_not_matter_but_that_of_embeddings_does():
    task, _ = make_task()
    values = task.signatures.values.copy()
    values[:, 0] = 1000 * values[:, 0] + 7
    stretched = replace(task, signatures=replace(task.signatures, values=values))
    np.testing.assert_allclose(Conse().fit(stretched).scores(task.z), Conse().fit(task).scores(task.z), atol=1e-4)
    embedded = replace(stretched, signatures=replace(stretched.signatures, space="digest"))
    assert not np.allclose(Conse().fit(embedded).scores(task.z), Conse().fit(task).scores(task.z), atol=0.1)


def test_signatures_of_unseen_classes_have_no_say_in_the_fit():
    task, _ = make_task()
    values = task.signatures.values.copy()
    values[SEEN:] = np.nan
    other = replace(task, signatures=replace(task.signatures, values=values))
    own, theirs = Conse().fit(task).fronts[0].arrays()[0], Conse().fit(other).fronts[0].arrays()[0]
    for name, array in own.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_missing_values_of_sources_are_the_mean():
    task, _ = make_task()
    values = task.signatures.values.copy()
    values[0, 1] = np.nan
    front = Conse().fit(replace(task, signatures=replace(task.signatures, values=values))).fronts[0]
    assert front.sources.values[0, 1] == pytest.approx(values[1:SEEN, 1].mean(), rel=1e-5)


def test_variants_share_one_fit():
    task, _ = make_task()
    variants = Conse(stacking=0.1).variants(task)
    assert {(variant.top, variant.sharpness) for variant in variants} == {(1, 1.0)} | {
        (top, sharpness) for top in (3, 5, 10) for sharpness in (0.25, 0.5, 1.0)
    }
    for method, head in zip(variants, Conse.fit_each(variants, task), strict=True):
        assert head.stacking == 0.1
        assert head.fronts[0].top == method.top
        np.testing.assert_array_equal(head.scores(task.z), method.fit(task).scores(task.z))


def test_what_is_open_is_as_the_fallback_has_it():
    task, _ = make_task()
    fallback = Conse().fallback(task)
    assert (fallback.top, fallback.sharpness) == (10, 0.5)
    np.testing.assert_array_equal(Conse().fit(task).scores(task.z), fallback.fit(task).scores(task.z))


def test_what_is_left_out_is_said():
    said = []
    task, _ = make_task(say=said.append)
    values = task.signatures.values.copy()
    values[:SEEN, 3] = 5
    Conse().fit(replace(task, signatures=replace(task.signatures, values=values)))
    assert "'attribute 3'" in said[0]


def test_signatures_that_tell_nothing_are_refused():
    task, _ = make_task()
    alike = replace(task.signatures, values=np.ones_like(task.signatures.values))
    with pytest.raises(RequirementMissing, match="alike in all 8"):
        Conse().fit(replace(task, signatures=alike))


def test_one_seen_class_is_refused():
    task, _ = make_task()
    with pytest.raises(DatasetTooSmall, match="1 of the 14"):
        Conse().fit(task.rows(task.y == 0))


def test_regression_is_refused():
    task, _ = make_task()
    with pytest.raises(TaskUnsupported):
        Conse().fit(replace(task, y=np.zeros(len(task.y)), classes=()))


def test_cancel_is_respected():
    def stop():
        raise Cancelled("Somebody asked for it.")

    with pytest.raises(Cancelled):
        Conse().fit(make_task(check=stop)[0])


@pytest.mark.parametrize("top", [1, 3, 10, 100])
def test_it_is_published_as_it_is(top):
    task, _ = make_task()
    head = Conse(top=top).fit(task)
    assert verify(head, 0.1, onnx=head.onnx(0.1), task=task) < 1e-4
    assert head.to_bytes() == Conse(top=top).fit(task).to_bytes()
