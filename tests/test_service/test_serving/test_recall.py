import asyncio
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from models.base import BatchLimits, Encoded
from models.errors import WrongInput
from service.serving import encoder as encoder_module
from service.serving import recall as recall_module
from service.serving.recall import Recall
from service.store.embeddings import EmbeddingCache, Space

WIDTH = 8
BACKBONE = SimpleNamespace(card=SimpleNamespace(digest="d" * 64, taps={"pooled": (WIDTH,)}), provider="cpu")
SPACE = Space("acme", "d" * 64, "pooled", "cpu", "truncate")


def _row(item):
    data = item.encode() if isinstance(item, str) else item
    return np.random.default_rng(list(data)).standard_normal(WIDTH).astype(np.float32)


class Encoder:
    """Says what it was asked to embed. The end of `long` items is left out; an item `bad` is refused by its place."""

    def __init__(self):
        self.asked = []

    async def embed(self, items, long):
        self.asked.append(list(items))
        for at, item in enumerate(items):
            if item in {b"bad", "bad"}:
                raise WrongInput(f"Input {at} is bad")
        return np.stack([_row(item) for item in items]), np.array([len(item) > 20 for item in items])


@pytest.fixture
def encoder():
    return Encoder()


@pytest.fixture
def recall(tmp_path):
    made = Recall(tmp_path / "cache", 2**30)
    yield made
    made.close()


@pytest.fixture
def shelf(tmp_path):
    """The same cache, as a fit sees it."""
    cache = EmbeddingCache(tmp_path / "cache", 2**30)
    yield cache
    cache.close()


def _ask(recall, encoder, *items, tenant="acme", long="truncate"):
    rows, cut = asyncio.run(recall.embed(BACKBONE, tenant, list(items), long, encoder.embed))
    if items:
        np.testing.assert_array_equal(rows, np.stack([_row(item) for item in items]))
    assert cut.tolist() == [len(item) > 20 for item in items]


def _settled(shelf, *items):
    """Wait until these are written."""
    keys, deadline = [SPACE.key(item) for item in items], time.monotonic() + 10
    while not shelf.get_many(keys, WIDTH).hit.all():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _put(shelf, *items):
    rows = np.stack([_row(item) for item in items])
    shelf.put_many([SPACE.key(item) for item in items], rows, np.array([len(item) > 20 for item in items]))


def test_what_a_fit_has_embedded_is_not_embedded_again(recall, encoder, shelf):
    _put(shelf, "known", "known too, and with an end that is left out")
    _ask(recall, encoder, "known", "new", "known too, and with an end that is left out", "newer")
    assert encoder.asked == [["new", "newer"]]
    _ask(recall, encoder, "known")
    assert encoder.asked == [["new", "newer"]]


def test_each_tap_has_embeddings_of_its_own(recall, shelf):
    """Of one width, so that nothing but the tap tells them apart; asked as an encoder asks that was opened for it."""
    _put(shelf, "known")
    card = SimpleNamespace(id="it", digest="d" * 64, taps={"pooled": (WIDTH,), "blocks": (WIDTH,)}, recipe={})
    backbone = SimpleNamespace(
        card=card,
        provider="cpu",
        limits=BatchLimits(100, 10),
        prepare=lambda items: [Encoded(np.zeros(1, np.int64)) for _ in items],
        run=lambda batch: np.ones((len(batch), WIDTH), np.float32),
    )
    for tap, expected in (("pooled", _row("known")), ("blocks", np.ones(WIDTH))):
        encoder = encoder_module.Encoder(backbone, max_waiting=9, recall=recall, tap=tap)
        z, _ = asyncio.run(encoder.embed(["known"], "truncate", "acme"))
        np.testing.assert_array_equal(z[0], expected)
        encoder.close()


def test_files_are_written_when_they_are_first_seen(recall, encoder, shelf):
    _ask(recall, encoder, b"image", b"an image whose end was left out")
    _settled(shelf, b"image", b"an image whose end was left out")
    _ask(recall, encoder, b"an image whose end was left out", b"image")
    assert len(encoder.asked) == 1


def test_texts_are_written_when_they_are_seen_again(recall, encoder, shelf):
    _ask(recall, encoder, "often", "once")
    _ask(recall, encoder, "often")
    _settled(shelf, "often")
    _ask(recall, encoder, "often", "now and then")
    assert encoder.asked == [["often", "once"], ["often"], ["now and then"]]
    assert not shelf.get_many([SPACE.key("once")], WIDTH).hit.any()


def test_few_texts_are_remembered_as_seen(recall, encoder, shelf, monkeypatch):
    monkeypatch.setattr(recall_module, "SEEN", 3)
    for number in range(10):
        _ask(recall, encoder, f"text {number}")
    assert len(recall._seen) + len(recall._seen_before) <= 6
    _ask(recall, encoder, "text 8")
    _settled(shelf, "text 8")
    _ask(recall, encoder, "text 0")
    assert encoder.asked[-1] == ["text 0"]


def test_tenants_do_not_see_what_others_have_asked(recall, encoder, shelf):
    _ask(recall, encoder, b"image")
    _settled(shelf, b"image")
    _ask(recall, encoder, b"image", tenant="globex")
    _ask(recall, encoder, b"image", long="chunk")
    assert encoder.asked == [[b"image"]] * 3


def test_large_calls_are_looked_up_in_a_thread(recall, encoder, shelf, monkeypatch):
    texts = [f"text {i}" for i in range(recall_module.INLINE_ITEMS + 1)]
    _put(shelf, *texts[3:])
    threads = []
    real = recall._known.get_many
    monkeypatch.setattr(
        recall._known, "get_many", lambda *asked: threads.append(threading.current_thread().name) or real(*asked)
    )
    _ask(recall, encoder, *texts)
    _ask(recall, encoder, texts[5])
    _ask(recall, encoder, b"file")
    assert [name.split("_")[0] for name in threads] == ["recall", "MainThread", "recall"]
    assert encoder.asked == [texts[:3], [b"file"]]


@pytest.mark.parametrize("known", [True, False])
def test_a_refusal_names_the_place_in_the_call(recall, encoder, shelf, known):
    if known:
        _put(shelf, b"good")
    with pytest.raises(WrongInput, match="Input 1 is bad"):
        _ask(recall, encoder, b"good", b"bad", b"other")


def test_nothing_is_asked_where_it_is_off(tmp_path, encoder):
    recall = Recall(tmp_path / "cache", 0)
    for _ in range(3):
        _ask(recall, encoder, b"image")
    assert len(encoder.asked) == 3
    assert not (tmp_path / "cache").exists()
    recall.close()


def test_no_items_ask_nothing_of_the_cache(recall):
    async def embed(items, long):
        return np.empty((0, WIDTH), np.float32), np.zeros(0, bool)

    rows, cut = asyncio.run(recall.embed(BACKBONE, "acme", [], "truncate", embed))
    assert (rows.shape, cut.shape) == ((0, WIDTH), (0,))


def test_what_the_caller_does_with_its_rows_is_not_written(recall, encoder, shelf, monkeypatch):
    held = threading.Event()
    cache = recall._writer._cache
    real = cache.put_many
    monkeypatch.setattr(cache, "put_many", lambda *rows: held.wait(10) and real(*rows))

    async def spoil():
        rows, _ = await recall.embed(BACKBONE, "acme", [b"image"], "truncate", encoder.embed)
        rows[:] = 7

    asyncio.run(spoil())
    held.set()
    _settled(shelf, b"image")
    _ask(recall, encoder, b"image")


def test_what_comes_too_fast_is_dropped(recall, encoder, shelf, monkeypatch):
    monkeypatch.setattr(recall_module, "BEHIND_BYTES", 5 * 4 * WIDTH)
    held, writing = threading.Event(), threading.Event()
    cache = recall._writer._cache
    real = cache.put_many

    def slow(*rows):
        writing.set()
        held.wait(10)
        real(*rows)

    monkeypatch.setattr(cache, "put_many", slow)
    _ask(recall, encoder, b"first")
    assert writing.wait(10)
    for number in range(20):
        _ask(recall, encoder, b"image %d" % number)
    held.set()
    _settled(shelf, b"first", *(b"image %d" % number for number in range(5)))
    assert not shelf.get_many([SPACE.key(b"image %d" % number) for number in range(5, 20)], WIDTH).hit.any()


def test_backbones_of_unlike_width_are_written_together(recall, encoder, shelf, monkeypatch):
    wide = SimpleNamespace(card=SimpleNamespace(digest="e" * 64, taps={"pooled": (3,)}), provider="cpu")

    async def threes(items, long):
        return np.full((len(items), 3), 3, np.float32), np.zeros(len(items), bool)

    held = threading.Event()
    cache = recall._writer._cache
    real = cache.put_many
    monkeypatch.setattr(cache, "put_many", lambda *rows: held.wait(10) and real(*rows))
    _ask(recall, encoder, b"first")
    for _ in range(2):
        asyncio.run(recall.embed(wide, "acme", [b"image"], "truncate", threes))
        _ask(recall, encoder, b"image")
    held.set()
    _settled(shelf, b"image")
    found = shelf.get_many([Space("acme", "e" * 64, "pooled", "cpu", "truncate").key(b"image")], 3)
    deadline = time.monotonic() + 10
    while not found.hit.all():
        assert time.monotonic() < deadline
        found = shelf.get_many([Space("acme", "e" * 64, "pooled", "cpu", "truncate").key(b"image")], 3)
    assert found.rows.tolist() == [[3, 3, 3]]


def test_closing_ends_the_threads(tmp_path, encoder):
    recall = Recall(tmp_path / "cache", 2**30)
    _ask(recall, encoder, b"image")
    recall.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("recall", "remember"))]
    recall._writer.put([b"k"], np.zeros((1, WIDTH), np.float32), np.zeros(1, bool))
    assert not [thread for thread in threading.enumerate() if thread.name == "remember"]
