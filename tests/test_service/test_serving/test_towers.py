"""Which backbone embeds the words for another's items."""

from dataclasses import replace

import pytest

from models.base import Card
from models.catalog import Entry, Options
from models.sources import Hub
from service.errors import BodyInvalid
from service.serving.standing import Standing
from service.serving.towers import partner, same_space


def standing(id_, modality="text", *, repo="o/clip", tower="", pooling="projection", width=2, state="ready", own=False):
    entry = Entry(id_, modality, "", f"about {id_}", Hub(repo), Options(tower=tower, pooling=pooling))
    card = Card(id_, modality, f"digest-{id_}", {"pooled": (width,)}, "", "", 77, {}, {}) if state == "ready" else None
    return Standing(id_, card, state, entry, own=own)


TEXT = standing("sentences", repo="o/sentences")
EYES = standing("clip-eyes", "image", tower="vision")
WORDS = standing("clip-words", tower="text")
RESNET = standing("resnet", "image", repo="o/resnet")


class TestPartner:
    def test_texts_are_their_own(self):
        assert partner([TEXT, WORDS], TEXT) is TEXT

    def test_images_have_the_text_tower_of_the_same_source(self):
        assert partner([TEXT, EYES, standing("other", repo="o/else", tower="text"), WORDS], EYES) is WORDS

    def test_one_that_is_ready_comes_first(self):
        preparing = standing("a-words", tower="text", state="preparing")
        assert partner([preparing, WORDS], EYES) is WORDS

    @pytest.mark.parametrize(
        "other",
        [
            standing("w", tower="text", repo="o/else"),
            standing("w", tower="text", pooling=""),
            standing("w", tower="text", width=3),
            standing("w", tower=""),
        ],
        ids=["other source", "other pooling", "other width", "no tower"],
    )
    def test_another_space_is_no_partner(self, other):
        with pytest.raises(BodyInvalid, match=r"image tower of about clip-eyes, .* is not hosted\. Host it"):
            partner([EYES, other], EYES)

    def test_images_without_words_say_so(self):
        with pytest.raises(BodyInvalid, match="words have no place among its embeddings") as refused:
            partner([RESNET, WORDS], RESNET)
        assert refused.value.problems[0].pointer == "/backbone"


@pytest.mark.parametrize(
    ("signatures", "backbone", "same"),
    [
        ("digest-sentences", "digest-sentences", True),
        ("digest-clip-words", "digest-clip-eyes", True),
        ("digest-clip-eyes", "digest-clip-words", False),
        ("digest-sentences", "digest-clip-words", False),
        ("", "", False),
        ("gone", "gone", True),
    ],
)
def test_same_space(signatures, backbone, same):
    preparing = replace(RESNET, card=None)
    assert same_space([TEXT, EYES, WORDS, preparing], signatures, backbone) is same
