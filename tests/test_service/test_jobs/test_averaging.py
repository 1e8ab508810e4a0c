"""From published versions and the items of a dataset to a task whose members stand side by side."""

from types import SimpleNamespace

import numpy as np
import pytest

from adapters.errors import RequirementMissing
from service.jobs.averaging import bring_members, known_classes
from service.jobs.embedding import Embedded
from service.jobs.order import Order
from service.jobs.tapping import Means
from service.registry.items import Packed
from service.store.blobs import Blobs

TEXTS = ["money back", "where is my parcel", "money back"]
WIDTHS = {"small": 2, "large": 3}


class Embedder:
    """Embeds by length, as wide as the digest says."""

    def __init__(self):
        self.embedded = []

    def backbone(self, digest, tap):
        return SimpleNamespace(digest=digest, tap=tap)

    def embed(self, backbone, items, **options):
        self.embedded.append((backbone.digest, options["long"]))
        z = np.array([[len(item)] * WIDTHS[backbone.digest] for item in items], np.float32)
        return Embedded(z.reshape(len(items), WIDTHS[backbone.digest]), np.zeros(len(items), bool), 0, None)


@pytest.fixture
def means(tmp_path, monkeypatch):
    monkeypatch.setattr("service.jobs.averaging.embedded_names", lambda order, backbone, classes, means: None)
    return Means(Blobs(tmp_path), Embedder(), lambda *_: None, lambda: None, lambda: 9.0, lambda _: None)


@pytest.fixture
def member(means):
    def make(ref, backbone="small", classes=("a", "b"), **more):
        blob = means.blobs.put(ref.encode()).digest
        given = {"ref": ref, "blob": blob, "classes": list(classes), "method": {"method": "ridge"}, "labels": {}}
        space = {"backbone": backbone, "backbone_digest": backbone, "tap": "pooled", "parts": [], "long": "truncate"}
        return given | space | {"dataset": "ds_0"} | more

    return make


def _brought(means, *members, items=None, facts=None, **more):
    facts = facts or {"modality": "text", "task": "classification"}
    order = Order("job_1", "ds_1", "s" * 64, "", facts, "small", "truncate", {"method": "ensemble"}, 3, 60.0)
    items = items or Packed(texts=TEXTS, labels=["b", "a", "b"])
    return bring_members(SimpleNamespace(**vars(order) | {"members": list(members)} | more), items, means)


def test_each_space_is_embedded_once_and_stands_beside_the_others(means, member):
    tapped = _brought(means, member("one:1"), member("two:1", "large"), member("three:1"))
    assert means.embedder.embedded == [("small", "truncate"), ("large", "truncate")]
    assert tapped.task.z.shape == (3, 5)
    assert [(m.first, m.behind) for m in tapped.task.members] == [(0, 2), (2, 5), (0, 2)]
    assert [space["backbone"] for space in tapped.backbones] == ["small", "large"]
    assert (tapped.backbone, tapped.digest, tapped.name) == ("small", "small", "pooled")
    assert tapped.task.groups.tolist() == [0, 1, 0]


def test_what_is_embedded_otherwise_is_another_space(means, member):
    tapped = _brought(means, member("one:1"), member("two:1", long="chunk"))
    assert means.embedder.embedded == [("small", "truncate"), ("small", "chunk")]
    assert [space["long"] for space in tapped.backbones] == ["truncate", "chunk"]


def test_one_space_needs_no_list(means, member):
    tapped = _brought(means, member("one:1", parts=[[0, 1]]), member("two:1", parts=[[0, 1]]))
    assert (tapped.backbones, tapped.parts, tapped.task.z.shape) == ([], ((0, 1),), (3, 1))


def test_who_saw_the_dataset_is_marked(means, member):
    tapped = _brought(means, member("one:1", dataset="ds_1"), member("two:1"))
    assert [m.saw for m in tapped.task.members] == [True, False]
    assert [m.onnx for m in tapped.task.members] == [b"one:1", b"two:1"]


def test_classes_are_what_the_members_answer_as_they_are_called_here(means, member):
    members = [member("one:1"), member("two:1", classes=("A", "c", "x"), labels={"A": "a", "x": None})]
    assert known_classes(members) == ("a", "b", "c")
    tapped = _brought(means, *members)
    assert (tapped.task.classes, tapped.task.y.tolist()) == (("a", "b", "c"), [1, 0, 1])


def test_a_label_that_no_member_knows_is_named(means, member):
    with pytest.raises(RequirementMissing, match=r"1 label\(s\) of the dataset .* 'z'"):
        _brought(means, member("one:1"), items=Packed(texts=TEXTS, labels=["b", "z", "b"]))


def test_vectors_are_as_they_are(means, member):
    items = Packed(vectors=np.eye(3, dtype=np.float32), labels=["a", "b", "a"])
    vector = {"backbone": "", "backbone_digest": "", "tap": "vector"}
    tapped = _brought(means, member("one:1", **vector), member("two:1", **vector), items=items)
    assert (tapped.name, tapped.backbone, tapped.backbones) == ("vector", "", [])
    assert tapped.task.z.tolist() == np.eye(3).tolist()


def test_no_rows_are_enough(means, member):
    tapped = _brought(means, member("one:1"), member("two:1", "large"), items=Packed(), dataset="")
    assert (tapped.task.z.shape, len(tapped.task.y), tapped.task.classes) == ((0, 5), 0, ("a", "b"))
    assert [m.saw for m in tapped.task.members] == [False, False]
