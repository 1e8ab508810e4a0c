"""Answers with more than labels, from versions with files of their own."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.signatures import Signatures, write_described
from adapters.zero_shot.fronts import CosineFront, LinearFront
from adapters.zero_shot.fronts.convex import ConvexFront
from adapters.zero_shot.fronts.scale import Scale
from adapters.zero_shot.head import SignatureHead
from service.errors import BodyInvalid
from service.serving.details import Details, Wishes
from service.serving.directory import Served
from service.serving.facts import Facts
from service.serving.heads import Slot
from service.serving.labels import LabelEmbeddings
from service.serving.one_off import OneOff
from service.serving.prediction import Predictor

ATTRIBUTES = Signatures(("tiger", "lion"), ("stripes", "mane"), np.eye(2, dtype=np.float32))
WORDS = Signatures(("tiger", "lion"), ("0", "1"), np.eye(2, dtype=np.float32), "digest-words")
OKAPI = OneOff("okapi", {"stripes": 1, "mane": 1})


def linear(signatures=ATTRIBUTES, stacking=0.0):
    zero = np.zeros(2, np.float32)
    front = LinearFront(np.eye(2, dtype=np.float32), zero, zero, zero, readout=np.eye(2, dtype=np.float32))
    return SignatureHead((front,), (1.0,), signatures, np.ones(2, np.bool_), stacking)


def averaging():
    front = ConvexFront(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), 2, Scale.standard(ATTRIBUTES), ATTRIBUTES)
    return SignatureHead((front,), (1.0,), ATTRIBUTES, np.ones(2, np.bool_))


class Version:
    """A version of vectors of width 2, and the service around it."""

    def __init__(self):
        self.files = {"h": b""}
        self.read = []
        facts = Facts(
            *("animals", 3, "affine", "vector", "classification", "", "", 2, ("tiger", "lion"), True, (), "truncate"),
            head="h",
            temperature=0.5,
        )
        self.served = Served(facts, Slot(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), 0.5), "acme")
        self.words = {}
        self.digest = "digest-words"

    def given(self, head=None, items=None, **facts):
        if head is not None:
            self.files["z"] = head.to_bytes()
        if items is not None:
            self.files["i"] = items
        names = {"zero_shot": "z" if head is not None else "", "items": "i" if items is not None else ""}
        self.served = replace(self.served, facts=replace(self.served.facts, **names, **facts))
        return self

    def get(self, digest):
        self.read.append(digest)
        return self.files[digest]

    async def embed(self, tenant, backbone, texts):
        self.words |= dict(texts)
        return LabelEmbeddings(np.full((len(texts), 2), 0.5, np.float32), backbone, self.digest, unit=False)

    @property
    def details(self):
        backbones = SimpleNamespace()
        return Details(Predictor(self, backbones), backbones, self, self)

    async def answer(self, *z, top_k=10, details=None, **wishes):
        inputs = [{"embedding": list(row)} for row in z]
        return await (details or self.details).answer(self.served, inputs, top_k, None, Wishes(**wishes))


@pytest.fixture
def version():
    return Version()


ITEMS = write_described(
    {"embedding": np.eye(2, dtype=np.float16), "label": np.array([0, 1], np.int32)}, {"ids": ["t1", "l1"]}
)


class TestExplain:
    async def test_attributes_of_a_version_made_with_signatures(self, version):
        (only,) = (await version.given(linear()).answer((0.9, 0.2), explain=True)).predictions
        assert dict(map(tuple, only["attributes"])) == {"stripes": pytest.approx(0.9), "mane": pytest.approx(0.2)}
        assert only["label"] == "tiger"
        assert "mixture" not in only

    async def test_items_that_are_near(self, version):
        answers = await version.given(items=ITEMS).answer((0, 3), (1, 0.1), explain=True)
        assert [one["neighbours"][0]["id"] for one in answers.predictions] == ["l1", "t1"]
        assert answers.predictions[0]["neighbours"][0] == {"id": "l1", "label": "lion", "similarity": 1.0}
        assert answers.warnings == []

    async def test_all_that_is_kept(self, version):
        (only,) = (await version.given(averaging(), ITEMS, mixes=True).answer((2, 1), explain=True)).predictions
        assert {"attributes", "sources", "neighbours", "mixture", "entropy", "second"} <= set(only)

    @pytest.mark.parametrize("facts", [{}, {"zero_shot": "w"}], ids=["nothing kept", "words alone"])
    async def test_nothing_to_explain_is_a_warning(self, version, facts):
        version.given(linear(WORDS) if facts else None)
        version.files["w"] = SignatureHead(
            (CosineFront(2, unit=False),), (1.0,), WORDS, np.ones(2, np.bool_)
        ).to_bytes()
        version.served = replace(version.served, facts=replace(version.served.facts, **facts))
        answers = await version.answer((1, 0), explain=True)
        assert answers.predictions[0]["label"] == "tiger"
        assert "nothing to explain: animals:3" in answers.warnings[0]["detail"]


class TestMixtures:
    async def test_come_with_every_answer_of_a_version_that_averages(self, version):
        version.given(averaging(), mixes=True)
        both, one = (await version.answer((3, 3), (9, 0))).predictions
        assert sorted(both["mixture"]) == [["lion", 0.5], ["tiger", 0.5]]
        assert both["entropy"] == pytest.approx(np.log(2), abs=1e-5)
        assert both["second"][1] == pytest.approx(0.5)
        assert [name for name, _ in one["mixture"]] == ["tiger"]
        assert (one["second"], "sources" in one) == (None, False)

    async def test_answers_are_the_heads_own(self, version):
        plain = await Predictor(version, None).answer(version.served, [{"embedding": [3, 2]}], 2, None)
        mixed = await version.given(averaging(), mixes=True).answer((3, 2))
        assert mixed.predictions[0]["top"] == plain.predictions[0]["top"]


class TestClasses:
    async def test_the_answer_is_among_the_classes_given(self, version):
        version.given(linear())
        answers = await version.answer((1, 1), (1, 0), classes=[OKAPI, OneOff("lion")])
        assert [one["label"] for one in answers.predictions] == ["okapi", "okapi"]
        assert {name for name, _ in answers.predictions[0]["top"]} == {"okapi", "lion"}
        assert answers.guessed
        assert not (await version.answer((1, 1))).guessed

    async def test_its_own_are_there_too_where_asked_for_as_if_they_were_its_own(self, version):
        version.given(linear(stacking=0.125))
        (only,) = (await version.answer((1, 0.25), classes=[OKAPI], with_own=True)).predictions
        logits = np.array([1 - 0.125, 0.25 - 0.125, 1.25 / np.sqrt(2)]) / 0.5
        expected = dict(zip(("tiger", "lion", "okapi"), np.exp(logits) / np.exp(logits).sum(), strict=True))
        assert dict(map(tuple, only["top"])) == pytest.approx(expected, abs=1e-6)

    async def test_top_k(self, version):
        version.given(linear())
        answers = await version.answer((1, 0), top_k=2, classes=[OKAPI], with_own=True)
        assert len(answers.predictions[0]["top"]) == 2

    async def test_what_is_unknown_of_them_is_said(self, version):
        version.given(linear())
        answers = await version.answer((1, 0), classes=[OneOff("x", {"mane": 1}), OneOff("lion")])
        assert "no value for 1 of 2 attributes ('stripes')" in answers.warnings[0]["detail"]

    async def test_descriptions_are_embedded_by_the_versions_backbone(self, version):
        version.given(linear(WORDS), backbone="sentences")
        given = [OneOff("okapi", description=["striped legs"]), OneOff("zebra"), OneOff("lion")]
        answers = await version.answer((1, 1), classes=given)
        assert version.words == {"okapi": ["striped legs"], "zebra": ()}
        assert {name for name, _ in answers.predictions[0]["top"]} == {"okapi", "zebra", "lion"}

    async def test_words_of_another_build_of_the_backbone_are_refused(self, version):
        version.given(linear(WORDS)).digest = "other"
        with pytest.raises(BodyInvalid, match="another build"):
            await version.answer((1, 1), classes=[OneOff("okapi"), OneOff("lion")])

    async def test_a_version_without_signatures_says_how(self, version):
        with pytest.raises(BodyInvalid, match="animals:3 was not made with signatures") as refused:
            await version.answer((1, 1), classes=[OKAPI, OneOff("lion")])
        assert refused.value.problems[0].pointer == "/classes"

    async def test_explained_too(self, version):
        version.given(averaging(), mixes=True)
        (only,) = (await version.answer((2, 1), classes=[OKAPI], with_own=True, explain=True)).predictions
        assert {"attributes", "sources", "mixture"} <= set(only)

    async def test_too_many_labels_in_all(self, version, monkeypatch):
        monkeypatch.setattr("service.serving.prediction.MAX_LISTED", 5)
        version.given(linear())
        with pytest.raises(BodyInvalid, match="would list 6"):
            await version.answer((1, 1), (0, 1), classes=[OKAPI], with_own=True)


async def test_files_are_read_once(version):
    details = version.given(linear(), ITEMS).details
    for _ in range(3):
        await version.answer((1, 0), details=details, explain=True)
    assert sorted(version.read) == ["i", "z"]
