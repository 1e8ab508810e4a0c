import numpy as np
import pytest

from adapters.guard import Fallback, instead, notes, weigh


@pytest.fixture
def losses():
    return np.random.default_rng(0).random(200)


def weighed(losses, *fallbacks, groups=None, weights=None):
    groups = np.arange(len(losses)) if groups is None else groups
    return weigh(losses, fallbacks, groups, weights, 1)


def test_what_is_clearly_better_is_surely_better(losses):
    worse, better = weighed(losses, Fallback("majority", losses + 0.5), Fallback("names", losses - 0.5))
    assert (worse["p_better"], better["p_better"]) == (1.0, 0.0)
    assert worse["difference"] == pytest.approx(-0.5)
    assert worse["loss"] == pytest.approx(losses.mean() + 0.5)
    assert worse["evaluated"] == 200


def test_what_is_the_same_is_as_likely_better_as_worse(losses):
    assert weighed(losses, Fallback("plain", losses))[0]["p_better"] == 0.5


def test_repeated_rows_do_not_make_it_surer():
    rng = np.random.default_rng(0)
    difference = rng.standard_normal(40) - 0.2
    once = weighed(difference, Fallback("plain", np.zeros(40)))[0]["p_better"]
    many = np.repeat(difference, 20)
    grouped = weighed(many, Fallback("plain", np.zeros(800)), groups=np.repeat(np.arange(40), 20))[0]["p_better"]
    torn = weighed(many, Fallback("plain", np.zeros(800)))[0]["p_better"]
    assert grouped == once
    assert 0.5 < once < 0.99 < torn


def test_rows_that_only_one_has_do_not_count(losses):
    other = losses + np.where(np.arange(200) < 100, 1.0, np.nan)
    entry = weighed(losses, Fallback("parent", other))[0]
    assert entry["evaluated"] == 100
    assert entry["loss"] == pytest.approx(losses[:100].mean() + 1)
    nothing = weighed(losses, Fallback("parent", np.full(200, np.nan)))[0]
    assert (nothing["evaluated"], nothing["loss"], nothing["p_better"]) == (0, None, None)
    assert notes([nothing]) == []


def test_rows_count_by_their_weights(losses):
    other = losses + np.where(np.arange(200) < 100, 1.0, -2.0)
    assert weighed(losses, Fallback("plain", other))[0]["p_better"] < 0.01
    weights = np.where(np.arange(200) < 100, 1.0, 0.01)
    assert weighed(losses, Fallback("plain", other), weights=weights)[0]["p_better"] > 0.99


def test_the_best_that_can_be_published_and_is_likelier_better_is_taken_instead(losses):
    fallbacks = [
        Fallback("nearest_mean", losses - 0.1, 3),
        Fallback("plain", losses - 0.2, 5),
        Fallback("names", losses - 0.3),
        Fallback("majority", losses + 0.1, 7),
    ]
    entries = weighed(losses, *fallbacks)
    assert instead(entries, fallbacks) is fallbacks[1]
    assert instead(entries[3:], fallbacks[3:]) is None
    assert [("names" in note, "trained backbone" in note) for note in notes(entries)] == [(True, True), (True, False)]


def test_the_same_seed_says_the_same(losses):
    other = losses[::-1].copy()
    assert weighed(losses, Fallback("plain", other)) == weighed(losses, Fallback("plain", other))
