from dataclasses import replace

import numpy as np
import pytest

from adapters.methods import parse_method
from adapters.zero_shot.compare import Mix, Wish, crossed, settle, stacked
from adapters.zero_shot.splits import pseudo_unseen
from adapters.zero_shot.trials import Trial, Trials


def made(task, seed, *signals):
    """Trials of made-up candidates: how much each one's scores say of the true class, in the order of complexity."""
    methods = ("names", "eszsl", "sae", "conse")
    splits, rng = pseudo_unseen(task), np.random.default_rng(seed)
    found = []
    for signal in signals:
        trials = []
        for split in splits:
            scores = rng.standard_normal((len(split.y), len(split.columns))) + 1.0 * ~split.apart
            scores[np.arange(len(split.y)), split.y] += signal
            trials.append(Trial(scores.astype(np.float32)))
        found.append(tuple(trials))
    chosen = tuple(parse_method(name) for name in methods[: len(signals)])
    return Trials(chosen, splits, tuple(found))


def everything(trials):
    return range(len(trials.splits))


def test_the_one_that_tells_most_of_classes_set_apart_wins(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 0.5, 0.5, 2.0)
    settled = settle(trials, everything(trials), Wish())
    assert settled.mix == Mix(((2, 1.0),))
    assert settled.loss.argmin() == 2
    assert settled.stderr[2] == 0


def test_of_those_that_do_as_well_the_simplest_wins(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 1.5, 1.5)
    # Better in some classes and worse in about as many.
    other = []
    for split, trial in zip(trials.splits, trials.found[0], strict=True):
        scores = trial.scores.copy()
        scores[np.arange(len(split.y)), split.y] += np.where(split.columns[split.y] % 2, 0.6, -0.4)
        other.append(Trial(scores.astype(np.float32)))
    alike = replace(trials, found=(trials.found[0], tuple(other)))
    settled = settle(alike, everything(alike), Wish())
    assert settled.loss[1] < settled.loss[0] < settled.loss[1] + 0.5 * settled.stderr[0]
    assert settled.mix == Mix(((0, 1.0),))


def test_a_blend_of_two_that_each_know_something_beats_both(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=30), 0, 1.0, 1.0)
    settled = settle(trials, everything(trials), Wish(blend=True))
    assert settled.blend_loss < settled.loss.min() - 0.05
    assert len(settled.mix.parts) == 2
    assert sum(part.share for part in settled.shares) == pytest.approx(1, abs=1e-3)
    alone = settle(trials, everything(trials), Wish(blend=True, alone=frozenset({"names"})))
    assert len(alone.mix.parts) == 1


def test_given_shares_and_offsets_are_kept(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 1.0, 1.0)
    wish = Wish(
        single=False,
        blend=True,
        shares={"names": 3.0, "eszsl": 1.0},
        spreads={"names": 2.0, "eszsl": 4.0},
        stacking=0.25,
    )
    settled = settle(trials, everything(trials), wish)
    assert settled.mix.parts == ((0, 0.375), (1, 0.0625))
    assert settled.stacking == 0.25


def test_what_was_given_of_a_member_is_its_own_whoever_else_is_left(make_described):
    """The second of three could not be compared."""
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 1.0, 1.0)
    given = {"names": 3.0, "sae": 5.0, "eszsl": 1.0}
    settled = settle(trials, everything(trials), Wish(single=False, blend=True, shares=given, spreads=given))
    assert [(part.share, part.spread) for part in settled.shares] == [(0.75, 3.0), (0.25, 1.0)]
    lost = {"names": 0.0, "sae": 5.0, "eszsl": 0.0}
    settled = settle(trials, everything(trials), Wish(single=False, blend=True, shares=lost))
    assert [part.share for part in settled.shares] == [0.5, 0.5]


def test_given_spreads_do_not_keep_a_blend_from_being_made_of_the_best(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 0.5, 1.0, 1.0, 1.0)
    fifth = tuple(Trial(one.scores * 2) for one in trials.found[3])
    trials = replace(trials, methods=(*trials.methods, parse_method("dap")), found=(*trials.found, fifth))
    spreads = dict(zip(("names", "eszsl", "sae", "conse", "dap"), (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    settled = settle(trials, everything(trials), Wish(single=False, blend=True, spreads=spreads))
    assert settled.shares
    assert all(part.spread == part.index + 1 for part in settled.shares)


def test_a_class_set_apart_of_which_no_row_is_judged_says_nothing(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 0.5, 2.0)
    splits, found = [], []
    for number, split in enumerate(trials.splits):
        kept = split.y != np.flatnonzero(split.apart)[0]
        splits.append(replace(split, judged=split.judged[kept], y=split.y[kept], weights=split.weights[kept]))
        found.append([Trial(of[number].scores[kept]) for of in trials.found])
    fewer = replace(trials, splits=tuple(splits), found=tuple(zip(*found, strict=True)))
    settled = settle(fewer, everything(fewer), Wish())
    assert np.isfinite(settled.loss).all()
    assert settled.mix == Mix(((1, 1.0),))


def test_what_a_split_is_judged_by_does_not_look_at_it(make_described):
    trials = made(make_described(seen=20, unseen=5, rows=20), 0, 1.0, 1.2)
    wish = Wish(single=False, blend=True)
    before = dict(crossed(trials, wish))
    spoiled = tuple((Trial(-10 * one[0].scores), *one[1:]) for one in trials.found)
    after = dict(crossed(replace(trials, found=spoiled), wish))
    assert (after[0].mix, after[0].stacking, after[0].temperature) == (
        before[0].mix,
        before[0].stacking,
        before[0].temperature,
    )
    assert after[1].temperature > 1.5 * before[1].temperature


def test_the_temperature_is_that_of_all_classes_behind_the_offset(make_described):
    """Scores made of what is true at a temperature of three."""
    task = make_described(seen=20, unseen=5, rows=100)
    rng, splits, trials = np.random.default_rng(0), pseudo_unseen(task), []
    for split in splits:
        odds = 2.0 * rng.standard_normal((len(split.y), 20))
        p = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        drawn = np.array([rng.choice(20, p=row) for row in p])
        # Their own class where it was drawn: the columns change places.
        rows = np.arange(len(drawn))
        odds[rows, drawn], odds[rows, split.y] = odds[rows, split.y].copy(), odds[rows, drawn].copy()
        trials.append(Trial((3.0 * odds).astype(np.float32)))
    found = settle(Trials((parse_method("eszsl"),), splits, (tuple(trials),)), range(5), Wish(stacking=0.0))
    assert found.temperature == pytest.approx(3.0, rel=0.1)
    split, scores = splits[0], trials[0].scores
    taken = stacked(split, scores, replace(found, stacking=6.0)) - stacked(split, scores, found)
    np.testing.assert_allclose(
        taken, np.tile(np.where(split.apart, 0, -6 / found.temperature), (len(scores), 1)), atol=1e-4
    )


def test_one_class_set_apart_at_a_time_is_judged_among_all(make_described):
    trials = made(make_described(seen=4, unseen=1, rows=20), 0, 0.0, 3.0)
    assert settle(trials, everything(trials), Wish()).mix == Mix(((1, 1.0),))
