from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from models.errors import WeightsCorrupt, WrongInput
from models.text import TextBackbone

LIMIT = 64
ROOM = LIMIT - 3
"""Bytes that fit beside [CLS], the space before the first word and [SEP]."""


@pytest.mark.parametrize(("length", "cut"), [(ROOM - 1, False), (ROOM, False), (ROOM + 1, True), (500, True)])
def test_cut_means_that_there_is_more(fake, length, cut):
    [encoded] = fake.prepare(["x" * length])
    assert encoded.cut is cut
    assert encoded.size == min(length + 3, LIMIT)


def test_the_pieces_of_a_long_text_hold_all_of_it_once(fake):
    text = "".join(chr(ord("a") + i % 26) for i in range(500))
    [encoded] = fake.prepare([text])
    whole = [int(i) for ids in (encoded.values, *encoded.rest) for i in ids[1:-1]]
    [short] = fake.prepare([text[:ROOM]])
    assert whole[: ROOM + 1] == short.values[1:-1].tolist()
    assert len(whole) == 501
    assert all(len(ids) == LIMIT for ids in (encoded.values, *encoded.rest[:-1]))


def test_ids_are_int64(fake):
    assert fake.prepare(["card"])[0].values.dtype == np.int64


def test_nothing_in_nothing_out(fake):
    assert fake.prepare([]) == []
    assert fake.run([]).shape == (0, 64)


@pytest.mark.parametrize("item", [3, None, b"card", ["card", "lost"], ("card", "lost"), {"image": ""}])
def test_what_is_not_text_is_refused_with_its_place(fake, item):
    with pytest.raises(WrongInput, match=f"Item 1 is a {type(item).__name__}"):
        fake.prepare(["card", item])


def test_half_a_surrogate_pair_is_refused(fake):
    with pytest.raises(WrongInput, match=r"Item 1 .*U\+D83D.* character 3"):
        fake.prepare(["card 😀", "bad\ud83d"])


@pytest.mark.parametrize(
    "text", ["\x00", "\ufffe", "\u202e", "e\u0301" * 200, "卡在哪里", "[CLS] [PAD] [SEP]", " \n\t"]
)
def test_odd_text_gives_a_unit_vector(fake, text):
    z = fake.run(fake.prepare([text]))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-6)


def test_threads_share_one_backbone(fake):
    texts = [f"text number {i}" * (i % 5) for i in range(64)]
    alone = [fake.run(fake.prepare([text])) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: fake.run(fake.prepare([text])), texts))
    np.testing.assert_array_equal(together, alone)


def test_a_card_that_disagrees_with_its_tokenizer_is_not_opened(hosted_folder, fake_card):
    card = replace(fake_card, max_tokens=128)
    with pytest.raises(WeightsCorrupt, match="64 tokens"):
        TextBackbone.open(card, hosted_folder / fake_card.digest, threads=1)
