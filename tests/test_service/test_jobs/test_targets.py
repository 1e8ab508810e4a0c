"""Which classes a fit learns, in which order."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import RequirementMissing
from adapters.heads import AffineHead, tables_bytes
from adapters.signatures import Signatures
from service.jobs.order import Order
from service.jobs.targets import targets
from service.registry.items import Packed
from service.store.blobs import Blobs


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path)


@pytest.fixture
def order(blobs):
    """An order with the signatures of three animals."""

    def make(method="eszsl", classes=("owl", "cat", "dog"), attributes=("furry", "flies"), **more):
        table = Signatures(classes, attributes, np.arange(len(classes) * 2, dtype=np.float32).reshape(-1, 2))
        facts = {"modality": "text"}
        made = Order("job_1", "ds_1", "s" * 64, "", facts, "fake", "truncate", {"method": method}, 3, 60.0)
        return replace(made, signatures="sig_1", signatures_blob=blobs.put(table.to_bytes()).digest, **more)

    return make


def test_all_described_classes_are_answered_in_the_signatures_order(order, blobs):
    aim = targets(order(), Packed(labels=["dog", "cat", "dog"]), blobs)
    assert aim.classes == ("owl", "cat", "dog")
    assert aim.y.tolist() == [2, 1, 2]
    assert aim.signatures.classes == aim.classes


@pytest.mark.parametrize("method", ["logistic", "ridge"])
def test_who_knows_classes_by_examples_answers_those_alone(order, blobs, method):
    aim = targets(order(method), Packed(labels=["dog", "cat"]), blobs)
    assert aim.classes == ("cat", "dog")
    assert aim.signatures.values.tolist() == [[2, 3], [4, 5]]


@pytest.mark.parametrize("method", ["eszsl", "logistic"])
def test_a_class_that_is_not_described_is_named(order, blobs, method):
    with pytest.raises(RequirementMissing, match=r"no row for 1 class.*'bee'"):
        targets(order(method), Packed(labels=["dog", "bee", "cat"]), blobs)


def test_the_parents_classes_come_first_and_must_be_described(order, blobs):
    head = AffineHead(np.ones((1, 4), np.float32), np.zeros(1, np.float32), ("dog",))
    given = {"ref": "pets:1", "blob": blobs.put(tables_bytes(head, 2.0)).digest, "parts": []}
    aim = targets(order("conse", parents=[given | {"classes": ["dog"]}]), Packed(), blobs)
    assert aim.classes == ("dog", "owl", "cat")
    assert (aim.parent.classes, aim.signatures.values[0].tolist(), len(aim.y)) == (("dog",), [4, 5], 0)
    with pytest.raises(RequirementMissing, match="'wolf'"):
        targets(order("conse", parents=[given | {"classes": ["wolf"]}]), Packed(), blobs)


def test_several_labels_are_attributes(order, blobs):
    aim = targets(order("dap"), Packed(label_sets=[("flies",), ("furry", "flies"), ()]), blobs)
    assert aim.classes == ("furry", "flies")
    assert aim.y.tolist() == [[False, True], [True, True], [False, False]]
    assert aim.signatures.classes == ("owl", "cat", "dog")
    with pytest.raises(RequirementMissing, match=r"taken for attributes.*'swims'"):
        targets(order("dap"), Packed(label_sets=[("swims",)]), blobs)
