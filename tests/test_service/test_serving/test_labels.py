"""Words for classes: embedded once, averaged, and by which backbone."""

from types import SimpleNamespace

import numpy as np
import pytest

from models.base import Card
from models.catalog import Entry, Options
from models.errors import BackboneUnknown
from models.sources import Hub
from service.errors import BodyInvalid, NotReady
from service.serving import labels as module
from service.serving.labels import Labels, check_templates, described
from service.serving.standing import Standing


def standing(id_, modality="text", *, repo="o/clip", tower="", pooling="projection", width=2, state="ready", own=False):
    entry = Entry(id_, modality, "", f"about {id_}", Hub(repo), Options(tower=tower, pooling=pooling))
    card = Card(id_, modality, f"digest-{id_}", {"pooled": (width,)}, "", "", 77, {}, {}) if state == "ready" else None
    return Standing(id_, card, state, entry, own=own)


TEXT = standing("sentences", repo="o/sentences")
EYES = standing("clip-eyes", "image", tower="vision")
WORDS = standing("clip-words", tower="text")
RESNET = standing("resnet", "image", repo="o/resnet")


class StubBackbones:
    """Embeds a text as (its length, its number of blanks), or what `rows` says; `asked` has what each call sent."""

    def __init__(self, *standings, rows=None):
        self.standings = {one.id: one for one in standings}
        self.hidden = {}
        self.rows = rows or {}
        self.asked = []

    def find(self, tenant, name):
        if name not in self.standings:
            raise BackboneUnknown(f"no {name}")
        return self.standings[name]

    def visible(self, tenant):
        return list(self.standings.values())

    def refresh(self):
        self.standings |= self.hidden

    async def encoder(self, name, digest):
        async def embed(texts):
            self.asked.append((name, digest, list(texts)))
            rows = [self.rows.get(text, (float(len(text)), float(text.count(" ")))) for text in texts]
            return np.array(rows, np.float32), np.array([text.endswith("!") for text in texts])

        return SimpleNamespace(embed=embed)


@pytest.fixture
def backbones():
    return StubBackbones(TEXT, EYES, WORDS, RESNET)


class TestEmbed:
    async def test_a_name_stands_for_itself_in_words_and_a_description_as_it_is(self, backbones):
        made = await Labels(backbones).embed("acme", "sentences", {"card_arrival": (), "lost": ("the_card is gone",)})
        assert backbones.asked == [("sentences", "digest-sentences", ["card arrival", "the_card is gone"])]
        assert (made.backbone, made.digest, made.unit) == ("sentences", "digest-sentences", False)
        np.testing.assert_array_equal(made.z, [[12, 1], [16, 2]])
        assert made.z.dtype == np.float32

    async def test_templates_and_descriptions_are_averaged(self, backbones):
        made = await Labels(backbones).embed(None, "sentences", {"a": ("xx", "y y y")}, ("{}", "a {}"))
        assert backbones.asked[0][2] == ["xx", "y y y", "a xx", "a y y y"]
        np.testing.assert_allclose(made.z, [[(2 + 5 + 4 + 7) / 4, (0 + 2 + 1 + 3) / 4]])

    async def test_rows_have_length_1_where_those_of_the_backbone_have(self):
        backbones = StubBackbones(TEXT, rows={"x": (1, 0), "y": (0, 1), "": (0, 0)})
        made = await Labels(backbones).embed(None, "sentences", {"both": ("x", "y"), "nothing": ("",)})
        np.testing.assert_allclose(made.z, [[np.sqrt(0.5), np.sqrt(0.5)], [0, 0]], rtol=1e-6)
        assert made.unit

    async def test_what_was_embedded_is_remembered_for_its_tenant_and_backbone(self, backbones):
        labels = Labels(backbones)
        first = await labels.embed("acme", "sentences", {"b": (), "a": ()})
        again = await labels.embed("acme", "sentences", {"a": (), "c": (), "b": ()})
        assert [texts for _, _, texts in backbones.asked] == [["b", "a"], ["c"]]
        np.testing.assert_array_equal(again.z[[2, 0]], first.z)
        for tenant, backbone in (("globex", "sentences"), ("acme", "clip-words")):
            await labels.embed(tenant, backbone, {"a": ()})
        assert len(backbones.asked) == 4

    async def test_texts_are_told_apart_from_the_same_letters_in_other_texts(self, backbones):
        labels = Labels(backbones)
        for own in (("ab", "c"), ("a", "bc")):
            await labels.embed(None, "sentences", {"one": own})
        assert [texts for _, _, texts in backbones.asked] == [["ab", "c"], ["a", "bc"]]

    async def test_what_is_not_asked_for_again_leaves(self, backbones):
        labels = Labels(backbones, limit_bytes=2 * 250)
        for name in ("a", "b", "c", "a"):
            await labels.embed(None, "sentences", {name: ()})
        assert [texts for _, _, texts in backbones.asked] == [["a"], ["b"], ["c"], ["a"]]

    async def test_many_texts_do_not_fill_the_line(self, backbones, monkeypatch):
        monkeypatch.setattr(module, "_SLICE", 2)
        made = await Labels(backbones).embed(None, "sentences", {"a" * n: () for n in range(1, 6)})
        assert [len(texts) for _, _, texts in backbones.asked] == [2, 2, 1]
        np.testing.assert_array_equal(made.z[:, 0], [1, 2, 3, 4, 5])

    async def test_classes_whose_words_are_too_long_are_named(self, backbones):
        labels = Labels(backbones)
        for _ in range(2):  # the second time from memory
            made = await labels.embed(None, "sentences", {"a": ("fine", "too long!"), "b": ()})
            assert made.cut == ("a",)

    async def test_words_for_images_go_to_the_other_tower(self, backbones):
        made = await Labels(backbones).embed(None, "clip-eyes", {"cat": ()})
        assert (made.backbone, made.digest) == ("clip-words", "digest-clip-words")

    async def test_too_many_texts_are_refused_before_anything_is_embedded(self, backbones, monkeypatch):
        monkeypatch.setattr(module, "MAX_TEXTS", 5)
        with pytest.raises(BodyInvalid, match=r"2 classes .* 2 template\(s\) make 6 texts, the limit is 5"):
            await Labels(backbones).embed(None, "sentences", {"a": ("x", "y"), "b": ()}, ("{}", "a {}"))
        assert not backbones.asked


class TestStandings:
    async def test_what_another_process_was_asked_for_is_found(self, backbones):
        backbones.hidden = {"new": standing("new")}
        assert (await Labels(backbones).standing("acme", "new")).id == "new"
        with pytest.raises(BackboneUnknown):
            await Labels(backbones).standing("acme", "nope")

    @pytest.mark.parametrize(("state", "error"), [("preparing", NotReady), ("failed", BodyInvalid)])
    async def test_what_cannot_embed_says_why(self, state, error):
        with pytest.raises(error, match="'sentences'"):
            await Labels(StubBackbones(standing("sentences", state=state))).embed(None, "sentences", {"a": ()})

    async def test_a_text_tower_that_is_not_ready_is_waited_for(self):
        hosted = StubBackbones(EYES, standing("clip-words", tower="text", state="preparing"))
        with pytest.raises(NotReady, match="'clip-words' is being prepared"):
            await Labels(hosted).embed(None, "clip-eyes", {"a": ()})


def test_described():
    assert described(["a", "b_c"]) == {"a": (), "b_c": ()}
    assert described({"a": "one", "b": ["two", "three"], "c": []}) == {"a": ("one",), "b": ("two", "three"), "c": ()}


@pytest.mark.parametrize(
    ("templates", "pointer"),
    [
        (["{}", "a photo"], "/templates/1"),
        (["{} or {}"], "/templates/0"),
        ([], "/templates"),
        (["{}"] * 101, "/templates"),
    ],
)
def test_wrong_templates_are_pointed_at(templates, pointer):
    with pytest.raises(BodyInvalid) as refused:
        check_templates(templates)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_other_braces_of_a_template_are_left_alone():
    check_templates(["{x} {} {0}"])
