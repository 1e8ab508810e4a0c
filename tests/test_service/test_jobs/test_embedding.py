import numpy as np
import pytest

from models.base import BatchLimits
from models.batching import PREPARED_AT_ONCE
from models.hosted import hosted
from service.jobs.embedding import Embedder
from service.store.embeddings import EmbeddingCache

TEXTS = [f"{word} number {i}" for i in range(6) for word in ("refund", "parcel", "a much longer text about " * 4)]


class Counting:
    """The fake backbone, with a count of what it embeds, and a clock that its work moves on."""

    def __init__(self, backbone):
        self._backbone = backbone
        self.card, self.limits, self.provider = backbone.card, BatchLimits(640, 4), backbone.provider
        self.prepared, self.run_items, self.now_s = [], 0, 0.0

    def prepare(self, items):
        self.prepared += items
        return self._backbone.prepare(items)

    def run(self, batch):
        self.run_items += len(batch)
        self.now_s += 0.003 * len(batch)
        return self._backbone.run(batch)

    def clock(self):
        return self.now_s


@pytest.fixture
def cache(tmp_path):
    made = EmbeddingCache(tmp_path / "cache", 2**30)
    yield made
    made.close()


@pytest.fixture
def fake_digest(backbones_dir):
    return hosted(backbones_dir)["fake"].digest


@pytest.fixture
def counting(backbones_dir, fake_digest):
    return Counting(Embedder(backbones_dir, 1, float).backbone(fake_digest))


def _embed(embedder, backbone, items, tenant="acme", long="truncate", **more):
    options = {"on_progress": lambda share: None, "check": lambda: None} | more
    return embedder.embed(backbone, items, tenant=tenant, long=long, **options)


def test_what_is_known_is_not_embedded_again(backbones_dir, counting, cache):
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)
    first = _embed(embedder, counting, TEXTS)
    assert (first.fresh, counting.run_items) == (18, 18)
    again = _embed(Embedder(backbones_dir, 1, counting.clock, cache), counting, [*TEXTS[::-1], "new"])
    assert (again.fresh, counting.run_items, counting.prepared[18:]) == (1, 19, ["new"])
    np.testing.assert_array_equal(again.z[:-1], first.z[::-1])
    np.testing.assert_array_equal(again.cut[:-1], first.cut[::-1])
    assert first.cut.any()
    assert not first.cut.all()
    alone = np.concatenate([counting.run(counting.prepare([text])) for text in [*TEXTS[::-1], "new"]])
    np.testing.assert_allclose(again.z, alone, atol=1e-6)


def test_equal_items_are_embedded_once_also_without_a_cache(backbones_dir, counting):
    embedded = _embed(Embedder(backbones_dir, 1, counting.clock), counting, ["a", "b" * 300, "a", "c", "b" * 300, "a"])
    assert (embedded.fresh, counting.run_items) == (3, 3)
    assert embedded.cut.tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(embedded.z[[2, 5, 4]], embedded.z[[0, 0, 1]])
    assert np.abs(embedded.z[0] - embedded.z[3]).max() > 0.01


def test_what_is_another_tenants_is_embedded_again(backbones_dir, counting, cache):
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)
    _embed(embedder, counting, TEXTS)
    assert _embed(embedder, counting, TEXTS, tenant="globex").fresh == 18
    assert _embed(embedder, counting, TEXTS, long="chunk").fresh == 18


def test_what_is_ready_is_kept_when_a_job_ends_before_its_time(backbones_dir, counting, cache, monkeypatch):
    monkeypatch.setitem(PREPARED_AT_ONCE, "text", 5)
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)

    def stop():
        if counting.run_items >= 12:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        _embed(embedder, counting, TEXTS, check=stop)
    assert _embed(embedder, counting, TEXTS).fresh == 8


def test_the_time_of_an_item_is_that_of_one_embedded_now(backbones_dir, counting, cache):
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)
    assert _embed(embedder, counting, TEXTS, at_once=4).ms_per_item == pytest.approx(3)
    assert _embed(embedder, counting, TEXTS, at_once=4).ms_per_item is None
    assert embedder.ms_per_item(counting, TEXTS, long="truncate", check=lambda: None) == pytest.approx(3)


def test_progress_ends_at_one_also_where_all_is_known(backbones_dir, counting, cache):
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)
    for _ in range(2):
        seen = []
        _embed(embedder, counting, TEXTS, on_progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1


def test_no_items_are_no_rows(backbones_dir, counting, cache):
    embedded = _embed(Embedder(backbones_dir, 1, counting.clock, cache), counting, [])
    assert (embedded.z.shape, embedded.cut.shape, embedded.fresh) == ((0, 64), (0,), 0)


def test_few_backbones_are_kept_open(backbones_dir, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "service.jobs.embedding.open_backbone", lambda _folder, digest, **_: opened.append(digest) or digest
    )
    embedder = Embedder(backbones_dir, 1, float)
    for digest in ("a", "b", "c", "d", "a", "e", "a", "b"):
        assert embedder.backbone(digest) == digest
    assert opened == ["a", "b", "c", "d", "e", "b"]


def test_an_item_is_not_changed_by_its_neighbours(backbones_dir, counting, cache):
    """Whatever is cached beside what: a row is that of the item alone."""
    rng = np.random.default_rng(0)
    embedder = Embedder(backbones_dir, 1, counting.clock, cache)
    alone = {text: counting.run(counting.prepare([text]))[0] for text in TEXTS}
    for _ in range(5):
        some = [TEXTS[i] for i in rng.integers(0, len(TEXTS), 11)]
        embedded = _embed(embedder, counting, some, at_once=3)
        np.testing.assert_allclose(embedded.z, [alone[text] for text in some], atol=1e-6)
