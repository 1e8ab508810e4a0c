from dataclasses import replace

import numpy as np
import pytest

from adapters.errors import DeadlineExceeded, TaskUnsupported
from models.catalog import Options, entry
from models.hosted import host
from service.jobs.embedding import Embedder
from service.jobs.fit import Fitting
from service.jobs.rank import RankOrder, rank_backbones, stratified_sample
from service.registry.items import Packed, pack_items
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache

WORDS = ("refund", "parcel", "password")
FACTS = {"modality": "text", "task": "classification"}


def texts_of(n):
    rng = np.random.default_rng(1)
    fill = ["please", "my", "the", "order", "now", "help", "account"]
    return [" ".join(["I", *rng.choice(fill, 3), WORDS[i % 3], str(i)]) for i in range(n)]


def packed(n=60):
    return Packed([WORDS[i % 3] for i in range(n)], texts=texts_of(n))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three backbones: one that sees everything, one that sees half of a text, and one that sees a single byte."""
    made = tmp_path_factory.mktemp("three")
    cards = {
        name: host(replace(entry("fake"), id=name, options=Options(max_tokens=tokens)), made, lambda *_: None)
        for name, tokens in (("blind", 3), ("short", 20), ("whole", 64))
    }
    return made, [[name, card.digest] for name, card in cards.items()]


class Ticks:
    """A clock on which everything takes a little longer."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 0.001
        return self.now_s


def order(candidates, **more):
    return RankOrder("job_1", "ds_1", "b" * 64, FACTS, "acme", candidates, **more)


def rank(folder, items, cache=None, **more):
    where, candidates = folder
    options = {"on_progress": lambda share: None, "check": lambda: None}
    return rank_backbones(order(candidates, **more), items, Embedder(where, 1, Ticks(), cache), *options.values())


def test_the_table_is_sorted_and_says_why(folder):
    ranked = rank(folder, packed())
    assert (ranked["dataset"], ranked["items"], ranked["of"]) == ("ds_1", 60, 60)
    assert [row["rank"] for row in ranked["backbones"]] == [1, 2, 3]
    assert [row["id"] for row in ranked["backbones"]][2] == "blind"
    losses = [row["probe_log_loss"] for row in ranked["backbones"]]
    assert losses == sorted(losses)
    assert ranked["backbones"][0].keys() == {
        *("id", "probe_accuracy", "probe_log_loss", "logme", "knn_accuracy", "ms_per_item", "width", "rank")
    }
    assert ranked["recommended"] in ranked["why"]
    assert ranked["recommended"] != "blind"
    for row in ranked["backbones"]:
        for figure in ("probe_accuracy", "probe_log_loss", "logme", "knn_accuracy"):
            assert len(str(row[figure]).partition(".")[2]) <= 6
        assert row["width"] == 64
        assert row["ms_per_item"] > 0


def test_a_large_dataset_is_sampled_and_the_table_says_so(folder):
    ranked = rank(folder, packed(300), sample=45)
    assert (ranked["items"], ranked["of"]) == (45, 300)


def test_the_seed_decides_what_is_looked_at(folder):
    first, again, other = (
        [row["logme"] for row in rank(folder, packed(300), sample=45, seed=seed)["backbones"]] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_what_is_known_does_not_pass_for_fast(folder, tmp_path):
    cache = EmbeddingCache(tmp_path, 2**30)
    first, again = rank(folder, packed(), cache), rank(folder, packed(), cache)
    for rows in zip(first["backbones"], again["backbones"], strict=True):
        for row in rows:
            assert row["ms_per_item"] > 0
        assert rows[0]["logme"] == rows[1]["logme"]
    cache.close()


def test_progress_rises_over_all_candidates(folder):
    seen = []
    rank_backbones(order(folder[1]), packed(), Embedder(folder[0], 1, Ticks()), seen.append, lambda: None)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert any(share < 0.3 for share in seen)


def test_tables_and_numbers_are_refused_with_a_sentence(folder):
    with pytest.raises(TaskUnsupported, match="leave the backbone out"):
        rank(folder, Packed(["a", "b"], vectors=np.eye(2, dtype=np.float32)))
    with pytest.raises(TaskUnsupported, match="numbers to predict; name the backbone"):
        rank(folder, Packed(targets=np.arange(3.0), texts=["a", "b", "c"]))


def test_a_class_all_of_whose_items_are_anothers_is_left_out(folder):
    items = packed(30)
    twice = Packed([*items.labels, "copy"], texts=[*items.texts, items.texts[0]])
    assert rank(folder, twice)["items"] == 30


def test_a_ranking_has_a_deadline_and_works_from_the_blob(folder, tmp_path):
    blobs = Blobs(tmp_path)
    items = packed(30)
    blob = blobs.put(pack_items(items.texts, items.labels, range(30)))
    fitting = Fitting(blobs, folder[0], 1, Ticks())
    stages = []
    ranked = fitting.rank(replace(order(folder[1]), blob=blob.digest), lambda *seen: stages.append(seen))
    assert ranked["items"] == 30
    assert {stage for stage, _ in stages} == {"rank"}
    with pytest.raises(DeadlineExceeded, match=r"The ranking was given 0.001 s .* name fewer backbones"):
        fitting.rank(replace(order(folder[1], max_seconds=0.001), blob=blob.digest), lambda *_: None)


def test_a_sample_has_every_class_in_its_share_and_no_copies():
    y = np.array([0] * 500 + [1] * 100 + [2] * 3 + [3])
    groups = np.arange(604)
    groups[:200] = 0
    rows = stratified_sample(y, groups, 100, seed=0)
    counts = np.bincount(y[rows])
    assert len(rows) == 100
    assert counts[3] == 1
    assert counts[2] >= 2
    assert 2 < counts[0] / counts[1] < 4.5
    assert len(set(groups[rows])) == 100
    assert (np.diff(rows) > 0).all()


def test_two_of_each_class_are_drawn_however_many_classes_there_are():
    y = np.arange(400) % 100
    rows = stratified_sample(y, np.arange(400), 50, seed=0)
    assert np.bincount(y[rows]).tolist() == [2] * 100


def test_few_rows_are_all_drawn():
    assert stratified_sample(np.array([0, 1, 0]), np.arange(3), 200, 0).tolist() == [0, 1, 2]
