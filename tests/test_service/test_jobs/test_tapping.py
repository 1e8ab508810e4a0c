"""From the items of a dataset to the task that is learned from."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from adapters.base import Part
from adapters.heads import AffineHead, tables_bytes
from models.catalog import Options, entry
from models.hosted import host, hosted
from models.sources import Package
from service.jobs.embedding import Embedded, Embedder
from service.jobs.order import Order
from service.jobs.tapping import Chosen, Means, _parts, bring, choose, taken
from service.registry.items import Packed

TEXTS = ["money back", "where is my parcel", "money back", "forgot it"]
WIDTH = 64
"""Of the fake backbone."""


@pytest.fixture
def means(blobs, backbones_dir):
    said = []
    return Means(blobs, Embedder(backbones_dir, 1, float), lambda *_: None, lambda: None, lambda: 9.0, said.append)


def _order(**more):
    order = Order("job_1", "ds_1", "s" * 64, "", {"modality": "text"}, "fake", "truncate", {"method": "ridge"}, 3, 60.0)
    return replace(order, tenant="acme", **more)


@pytest.fixture
def parent(blobs):
    """What an order says of a version with classes z and a, in this order."""

    def make(width=WIDTH, parts=()):
        head = AffineHead(np.ones((2, width), np.float32), np.zeros(2, np.float32), ("z", "a"))
        blob = blobs.put(tables_bytes(head, 2.0)).digest
        return {"ref": "intents:1", "blob": blob, "classes": ["z", "a"], "parts": [list(part) for part in parts]}

    return make


def _texts(**more):
    return Packed(**({"texts": TEXTS, "labels": ["a", "b", "a", "z"]} | more))


def _brought(items, means, **order):
    return bring(_order(**order), Chosen("fake", ""), items, means)


class TestTask:
    def test_texts_bring_embeddings_of_themselves_and_of_the_names(self, means):
        tapped = _brought(_texts(), means)
        assert (tapped.name, tapped.backbone, len(tapped.digest)) == ("pooled", "fake", 64)
        assert tapped.task.z.shape == (4, WIDTH)
        assert tapped.task.names.shape == (3, WIDTH)
        assert (tapped.task.classes, tapped.task.seed) == (("a", "b", "z"), 3)
        assert tapped.task.left_s() == 9.0
        assert tapped.facts["backbone"] == {"id": "fake", "digest": tapped.digest, "tap": "pooled"}

    def test_copies_stay_together_and_so_do_named_groups(self, means):
        alone = _brought(_texts(), means).task.groups
        assert alone.tolist() == [0, 1, 0, 2]
        joined = _brought(_texts(groups=["p", "p", "q", "r"]), means).task.groups
        assert joined.tolist() == [0, 0, 0, 1]

    def test_vectors_have_groups_and_weights_as_well(self, means):
        vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
        items = Packed(
            vectors=vectors,
            labels=["a", "b", "a", "b"],
            groups=["p", "q", "p", "q"],
            weights=np.array([1.0, 2.0, 0.0, 1.0]),
        )
        tapped = _brought(items, means)
        assert (tapped.name, tapped.backbone) == ("vector", "")
        assert tapped.task.groups.tolist() == [0, 1, 0, 1]
        assert tapped.task.weights.tolist() == [1.0, 2.0, 0.0, 1.0]
        assert tapped.task.names is None

    def test_several_labels_are_marks_and_numbers_are_targets(self, means):
        marked = _brought(_texts(labels=[], label_sets=[("b", "a"), (), ("a",), ("c",)]), means).task
        assert marked.classes == ("a", "b", "c")
        assert marked.y.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]
        numbers = _brought(_texts(labels=[], targets=np.array([1.0, 2.0, 3.0, 4.0])), means).task
        assert (numbers.classes, numbers.names) == ((), None)
        assert numbers.y.tolist() == [1.0, 2.0, 3.0, 4.0]


class TestParent:
    def test_its_classes_come_first_in_its_order(self, means, parent):
        task = _brought(_texts(labels=["a", "c", "a", "b"]), means, parents=[parent()]).task
        assert task.classes == ("z", "a", "b", "c")
        assert task.y.tolist() == [1, 3, 1, 2]
        assert task.absent.tolist() == [True, False, False, False]
        assert (task.parent.name, task.parent.temperature, task.parent.weight.shape) == ("intents:1", 2.0, (2, WIDTH))

    def test_so_do_those_of_several_labels(self, means, parent):
        task = _brought(_texts(labels=[], label_sets=[("a", "b"), (), ("a",), ()]), means, parents=[parent()]).task
        assert task.classes == ("z", "a", "b")
        assert task.marks[:, 0].tolist() == [False] * 4

    def test_one_on_some_blocks_is_grown_on_the_same_columns(self, means, parent, monkeypatch):
        fixed = ((0, 2), (5, 6))
        whole = _brought(_texts(), means).task
        monkeypatch.setattr(Embedder, "add_tap", lambda *_: None)
        pooled = Embedder.backbone
        monkeypatch.setattr(Embedder, "backbone", lambda self, digest, _tap: pooled(self, digest))
        monkeypatch.setattr(Embedder, "embed", lambda *_, **__: Embedded(whole.z, np.zeros(4, np.bool_), 0, None))
        tapped = _brought(_texts(), means, parents=[parent(3, fixed)])
        assert (tapped.name, tapped.parts, tapped.task.parts) == ("blocks", fixed, ())
        np.testing.assert_array_equal(tapped.task.z, whole.z[:, [0, 1, 5]])
        assert tapped.task.names.shape == (3, 3)


class TestWayIn:
    def test_there_is_none_into_what_has_no_weights(self, means):
        assert _brought(_texts(), means, entries={"fake": entry("fake").to_dict()}).task.tuning is None

    @pytest.fixture
    def weighty(self):
        """The fake backbone, said to be made of weights."""
        made = entry("fake").to_dict() | {"id": "mine"}
        return {"fake": made | {"source": entry("minilm-l6").to_dict()["source"]}}

    def test_there_is_one_into_weights_for_items_that_are_cut(self, means, weighty):
        task = _brought(_texts(), means, entries=weighty).task
        assert len(task.tuning) == 4
        assert task.tuning.card.id == "mine"
        assert isinstance(task.tuning.entry.source, Package)
        assert task.at.tolist() == [0, 1, 2, 3]
        assert _brought(_texts(), means, entries=weighty, long="chunk").task.tuning is None

    def test_files_in_pefts_format_go_along(self, means, blobs):
        peft = {"adapter_config.json": blobs.put(b"{}").digest}
        assert _brought(_texts(), means, peft=peft).task.peft == {"adapter_config.json": b"{}"}
        assert _brought(_texts(), means).task.peft is None


def test_pieces_of_columns_stand_one_after_the_other():
    z = np.arange(10, dtype=np.float32).reshape(2, 5)
    assert taken(z, [(3, 5), (0, 1)]).tolist() == [[3, 4, 0], [8, 9, 5]]


def test_parts_follow_one_another():
    assert _parts({"block1": 3, "pooled": 2}) == (Part("block1", 0, 3), Part("pooled", 3, 5))


class TestChoice:
    def test_a_name_is_taken_with_the_digest_that_was_ordered(self, means):
        assert choose(_order(backbone_digest="d" * 64), _texts(), means) == Chosen("fake", "d" * 64)

    def test_one_candidate_needs_no_ranking(self, means):
        order = _order(backbone="auto", candidates=[["mine", "e" * 64]])
        assert choose(order, _texts(), means) == Chosen("mine", "e" * 64)

    def test_of_several_the_best_is_taken_with_the_table(self, means, tmp_path):
        texts = [f"please {word} my thing {i}" for i in range(8) for word in ("refund", "parcel", "password")]
        host(replace(entry("fake"), id="blind", options=Options(max_tokens=3)), tmp_path, lambda *_: None)
        host(replace(entry("fake"), id="whole", options=Options(max_tokens=64)), tmp_path, lambda *_: None)
        candidates = [[name, card.digest] for name, card in sorted(hosted(tmp_path).items())]
        means = replace(means, embedder=Embedder(tmp_path, 1, float))
        items = Packed(texts=texts, labels=["refund", "parcel", "password"] * 8)
        chosen = choose(_order(backbone="auto", candidates=candidates, facts={"modality": "text"}), items, means)
        assert (chosen.name, chosen.digest) == ("whole", dict(candidates)["whole"])
        assert [row["id"] for row in chosen.table] == ["whole", "blind"]


def test_an_order_is_plain_values():
    assert Order(**asdict(_order())) == _order()
