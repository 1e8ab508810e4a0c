"""What is told beside an answer."""

import json

import numpy as np
import pytest

from adapters.signatures import Signatures, write_described
from adapters.zero_shot.fronts import LinearFront
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead
from models.errors import WeightsCorrupt
from service.serving import explanations
from service.serving.explanations import Items, ZeroShotHead, attributes, mixtures, neighbours, sources

SIGNATURES = Signatures(
    ("tiger", "lion", "zebra"),
    ("stripes", "mane", "weight", "alive"),
    np.array([[1, 0, 200, 1], [0, 1, 180, 1], [1, np.nan, 320, 1]], np.float32),
)

FULL = Signatures(SIGNATURES.classes, SIGNATURES.attributes, np.nan_to_num(SIGNATURES.values))


class Predicting(LinearFront):
    """Takes an item's attributes to be the item itself."""

    def predicted(self, z):
        return z


class Averaging(Predicting):
    """Averages three sources by the item's first three numbers."""

    def shares(self, z):
        return ("tiger", "lion", "zebra"), z[:, :3]


def head(front=Predicting, signatures=SIGNATURES):
    ones = np.ones(4, np.float32)
    made = front(np.eye(4, dtype=np.float32), 0 * ones, 0 * ones, 0 * ones)
    return SignatureHead((made,), (1.0,), signatures, np.ones(3, np.bool_))


def rows(*z):
    return np.array(z, np.float32)


class TestAttributes:
    def test_those_that_set_an_input_apart_come_first_in_their_own_unit(self):
        first, second = attributes(head(), rows([0.9, 0.1, 232, 1], [1, 0.5, 1000, 1]))
        assert [name for name, _ in first["attributes"]][:2] == ["mane", "stripes"]
        assert second["attributes"][0] == ["weight", 1000.0]
        # What no class differs in sets nothing apart.
        assert second["attributes"][-1][0] == "alive"

    def test_at_most_a_few(self, monkeypatch):
        monkeypatch.setattr(explanations, "ATTRIBUTES", 2)
        (only,) = attributes(head(), rows([1, 0, 200, 1]))
        assert len(only["attributes"]) == 2

    def test_none_of_words_and_none_where_none_are_predicted(self):
        numbered = Signatures(SIGNATURES.classes, ("0", "1", "2", "3"), np.zeros((3, 4), np.float32))
        assert attributes(head(signatures=numbered), rows([1, 0, 0, 0])) is None
        assert attributes(head(LinearFront), rows([1, 0, 0, 0])) is None


class TestSources:
    def test_the_largest_first_and_none_without_weight(self):
        (only,) = sources(head(Averaging), rows([0.25, 0.75, 0, 9]))
        assert only["sources"] == [["lion", 0.75], ["tiger", 0.25]]

    def test_none_where_none_are_averaged(self):
        assert sources(head(), rows([1, 0, 0, 0])) is None
        assert mixtures(ZeroShotHead(head(), None), rows([1, 0, 0, 0])) is None


class TestMixtures:
    def test_parts_entropy_and_the_second_mode(self):
        held = ZeroShotHead(head(Averaging), np.eye(3))
        both, one = mixtures(held, rows([0.5, 0.5, 0, 0], [0.97, 0.02, 0.01, 0]))
        assert both["mixture"] == [["tiger", 0.5], ["lion", 0.5]]
        assert both["entropy"] == pytest.approx(np.log(2), abs=1e-6)
        assert both["second"] == ["lion", 0.5]
        assert (one["mixture"], one["second"]) == ([["tiger", pytest.approx(0.97)]], None)

    def test_a_head_knows_its_sources_by_its_file(self):
        known = FULL.of(("tiger", "lion"))
        front = ConvexFront(np.eye(2, 4, dtype=np.float32), np.zeros(2, np.float32), 2, Scale.standard(known), known)
        data = SignatureHead((front,), (1.0,), SIGNATURES, np.ones(3, np.bool_)).to_bytes()
        held = ZeroShotHead.from_bytes(data)
        np.testing.assert_allclose(held.similarity, front.similarity, atol=1e-6)
        (only,) = mixtures(held, rows([1, 1, 0, 0]))
        assert sorted(only["mixture"]) == [["lion", 0.5], ["tiger", 0.5]]


class TestNeighbours:
    ITEMS = Items(
        np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float16),
        np.array([0, 1, 1, -1], np.int32),
        ("a", "b", "c", "d"),
    )

    def test_the_nearest_by_cosine_with_label_and_id(self):
        first, second = neighbours(self.ITEMS, ("yes", "no"), rows([0, 7], [-2, 0.1]))
        assert [one["id"] for one in first["neighbours"]][:2] == ["b", "c"]
        assert first["neighbours"][0] == {"id": "b", "label": "no", "similarity": 1.0}
        assert first["neighbours"][1]["similarity"] == pytest.approx(0.8, abs=1e-3)
        assert (second["neighbours"][0]["id"], second["neighbours"][0]["label"]) == ("d", None)

    def test_at_most_five_and_the_same_in_parts(self, monkeypatch):
        rng = np.random.default_rng(0)
        many = Items(rng.normal(size=(50, 8)).astype(np.float16), np.zeros(50, np.int32), None)
        z = rng.normal(size=(3, 8)).astype(np.float32)
        whole = neighbours(many, ("a",), z)
        monkeypatch.setattr(explanations, "_CHUNK_ROWS", 7)
        assert neighbours(many, ("a",), z) == whole
        assert [len(one["neighbours"]) for one in whole] == [5, 5, 5]
        best = np.argmax((z @ many.embedding.astype(np.float32).T), axis=1)
        assert [one["neighbours"][0]["id"] for one in whole] == [str(at) for at in best]

    def test_fewer_items_than_five(self):
        few = Items(self.ITEMS.embedding[:1], self.ITEMS.label[:1], None)
        assert len(neighbours(few, ("a",), rows([1, 0]))[0]["neighbours"]) == 1

    def test_an_input_without_direction_is_near_to_nothing(self):
        (only,) = neighbours(self.ITEMS, ("a", "b"), rows([0, 0]))
        assert {one["similarity"] for one in only["neighbours"]} == {0.0}


class TestFile:
    def test_round_trip(self):
        items = TestNeighbours.ITEMS
        data = write_described({"embedding": items.embedding, "label": items.label}, {"ids": list(items.ids)})
        read = Items.from_bytes(data)
        np.testing.assert_array_equal(read.embedding, items.embedding)
        assert (read.label.tolist(), read.ids) == (items.label.tolist(), items.ids)

    @pytest.mark.parametrize("data", [b"", json.dumps({}).encode(), write_described({}, {"ids": None})])
    def test_another_file(self, data):
        with pytest.raises(WeightsCorrupt):
            Items.from_bytes(data)
