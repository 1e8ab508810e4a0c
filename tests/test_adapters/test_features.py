"""Synthetic blocks of which one, or two together, hold the answer."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge as Oracle

from adapters import features
from adapters.base import Part, Task
from adapters.errors import Cancelled
from adapters.features import MOST_ROWS, _Judge, _sample, choose_features
from adapters.folds import NEVER, deal_folds
from adapters.heads import AffineHead, MappedHead, NetworkHead
from adapters.maps import FourierMap
from adapters.methods.ridge import Ridge

D = 6
NAMES = ("block1", "block2", "block3", "pooled")


def draw(telling, n=120, kind="classes", seed=0, noise=0.5, **fields):
    """Four parts of unlike length; each of `telling` says one half of the answer, all others are noise."""
    rng = np.random.default_rng(seed)
    halves = rng.standard_normal((n, 2))
    z = {name: rng.standard_normal((n, D)) for name in NAMES}
    for at, name in enumerate(telling):
        z[name][:, 0] = halves[:, at % 2] + noise * rng.standard_normal(n)
        if len(telling) == 1:
            z[name][:, 1] = halves[:, 1] + noise * rng.standard_normal(n)
    whole = np.concatenate([z[name] * 10.0**at for at, name in enumerate(NAMES)], axis=1).astype(np.float32)
    parts = tuple(Part(name, D * at, D * (at + 1)) for at, name in enumerate(NAMES))
    targets = {
        "classes": (2 * (halves[:, 0] > 0) + (halves[:, 1] > 0), ("a", "b", "c", "d")),
        "marks": (halves > 0, ("a", "b")),
        "numbers": (50 + 7 * halves.sum(axis=1), ()),
    }
    y, classes = targets[kind]
    return Task(whole, y, classes, np.arange(n), parts=parts, **fields)


def names_of(chosen):
    return [part.name for part in chosen.parts]


@pytest.mark.parametrize("kind", ["classes", "marks", "numbers"])
def test_a_middle_block_that_holds_the_answer_is_picked(kind):
    task = draw(["block2"], kind=kind)
    chosen = choose_features(task)
    assert names_of(chosen) == ["block2"]
    np.testing.assert_array_equal(chosen.task.z, task.z[:, D : 2 * D])
    assert chosen.served is chosen.task
    assert chosen.task.parts == ()


@pytest.mark.parametrize("kind", ["classes", "marks", "numbers"])
def test_two_blocks_with_half_of_the_answer_each_are_joined(kind):
    task = draw(["block3", "block1"], kind=kind)
    chosen = choose_features(task)
    assert names_of(chosen) == ["block1", "block3"]
    columns = np.r_[0:D, 2 * D : 3 * D]
    np.testing.assert_array_equal(chosen.served.z, task.z[:, columns])
    np.testing.assert_array_equal(chosen.task.z, task.z[:, columns] * chosen.scales)
    lengths = [np.sqrt((chosen.task.z[:, some] ** 2).sum(axis=1).mean()) for some in (slice(0, D), slice(D, 2 * D))]
    assert all(0.7 < length < 1.5 for length in lengths)


@pytest.mark.parametrize("telling", [["pooled"], [], ["pooled", "pooled"]])
def test_the_pooled_embedding_is_kept_unless_others_are_better_by_more_than_chance(telling):
    assert names_of(choose_features(draw(telling))) == ["pooled"]


def test_what_only_repeats_the_pooled_embedding_is_not_taken():
    task = draw(["pooled"])
    z = task.z.copy()
    z[:, D : 2 * D] = z[:, 3 * D :]
    assert names_of(choose_features(replace(task, z=z))) == ["pooled"]


def test_without_a_pooled_part_the_last_one_is_kept():
    task = draw([])
    parts = tuple(replace(part, name=f"part{at}") for at, part in enumerate(task.parts))
    assert names_of(choose_features(replace(task, parts=parts))) == ["part3"]


def test_the_table_tells_every_candidate_and_one_choice():
    chosen = choose_features(draw(["block3", "block1"]))
    tried = [tuple(row["parts"]) for row in chosen.table]
    assert tried[:4] == [("pooled",), ("block1",), ("block2",), ("block3",)]
    assert [len(parts) for parts in tried] == [1] * 4 + [2] * 3 + [3] * 2
    assert [row["parts"] for row in chosen.table if row["chosen"]] == [["block1", "block3"]]
    lowest = min(row["loss"] for row in chosen.table)
    assert all(row["loss"] > 0 and (row["stderr"] == 0) == (row["loss"] == lowest) for row in chosen.table)


def test_the_judge_is_ridge_regression_on_the_folds():
    task = draw(["block2"], n=60, kind="numbers", weights=np.arange(60) % 3 + 1.0)
    judge, folds = _Judge.of(task), deal_folds(task)
    z = task.z[:, D : 3 * D].astype(np.float64) * np.repeat([2.0**-5, 2.0**-8], D)
    weights, expected = task.weights / task.weights.mean(), []
    for penalty in features._PENALTIES:
        seen = np.empty(60)
        for fold in range(5):
            inside = folds == fold
            unit = np.average((z[~inside] ** 2).sum(axis=1), weights=weights[~inside])
            oracle = Oracle(alpha=penalty * unit).fit(z[~inside], task.y[~inside], sample_weight=weights[~inside])
            seen[inside] = oracle.predict(z[inside])
        expected.append((seen - task.y) ** 2 * weights)
    best = min(expected, key=np.mean)
    np.testing.assert_allclose(judge.loss((1, 2)), best, rtol=1e-6)


@pytest.mark.parametrize("telling", [["block2"], ["block3", "block1"]])
def test_an_unscaled_head_scores_what_comes_from_the_backbone_the_same(telling):
    chosen = choose_features(draw(telling))
    z, d = chosen.task.z, chosen.task.z.shape[1]
    rng = np.random.default_rng(0)
    affine = Ridge(l2=1.0).fit(chosen.task)
    layer = rng.standard_normal((8, d)).astype(np.float32)
    head = AffineHead(rng.standard_normal((4, 8)).astype(np.float32), np.zeros(4, np.float32), chosen.task.classes)
    for fitted in (
        affine,
        MappedHead(FourierMap(layer[:4]), head),
        NetworkHead(layer, np.zeros(8, np.float32), "relu", head),
    ):
        np.testing.assert_array_equal(chosen.unscaled(fitted).scores(chosen.served.z), fitted.scores(z))


def test_a_head_that_takes_no_embedding_is_left_as_it_is():
    head = object()
    chosen = choose_features(draw(["block3", "block1"]))
    assert chosen.unscaled(head) is head


def test_names_keep_the_columns_of_their_items():
    task = draw(["block3", "block1"])
    names = np.arange(4 * 4 * D, dtype=np.float32).reshape(4, -1)
    chosen = choose_features(replace(task, names=names))
    np.testing.assert_array_equal(chosen.served.names, names[:, np.r_[0:D, 2 * D : 3 * D]])
    np.testing.assert_array_equal(chosen.task.names, chosen.served.names * chosen.scales)


def test_where_no_row_can_be_held_out_the_pooled_embedding_is_taken():
    task = draw(["block2"]).rows(np.arange(4))
    task = replace(task, y=np.arange(4))
    chosen = choose_features(task)
    assert (names_of(chosen), chosen.table) == (["pooled"], [])


def test_the_same_task_gives_the_same_table():
    task = draw(["block3", "block1"], seed=4)
    tables = [choose_features(one).table for one in (task, task)]
    assert tables[0] == tables[1]


def test_cancel_is_heard_within_a_candidate():
    heard = []

    def stop():
        heard.append(1)
        if len(heard) > 30:
            raise Cancelled("Somebody asked for it.")

    progress = []
    with pytest.raises(Cancelled):
        choose_features(draw(["block2"], check=stop), progress.append)
    assert len(progress) == 1


def test_progress_ends_at_one_and_only_grows():
    progress = []
    choose_features(draw(["block3", "block1"]), progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1)


def test_half_of_the_budget_ends_it_with_the_best_so_far():
    said, asked = [], []

    def left_s():
        asked.append(1)
        return 10.0 - len(asked)

    chosen = choose_features(draw(["block1"], left_s=left_s, say=said.append))
    assert len(chosen.table) < 7
    assert names_of(chosen) == ["block1"]
    assert len(said) == 1


def test_many_rows_are_judged_by_a_sample_in_which_classes_can_be_learned():
    rng = np.random.default_rng(0)
    y = np.r_[np.repeat(np.arange(500), 20), np.zeros(5000, np.int64)]
    task = Task(rng.standard_normal((15000, 4)).astype(np.float32), y, tuple(map(str, range(500))), np.arange(15000))
    rows = _sample(task)
    assert len(np.unique(rows)) == MOST_ROWS
    assert (np.diff(rows) > 0).all()
    assert set(np.bincount(y[rows])) == {0, 10}
    np.testing.assert_array_equal(rows, _sample(task))


def test_rows_that_weigh_nothing_are_not_judged():
    task = draw(["block2"])
    weights = np.where(np.arange(120) < 90, 1.0, 0.0)
    spoiled = task.z.copy()
    spoiled[90:] = 1e3
    tables = [choose_features(replace(task, z=z, weights=weights)).table for z in (task.z, spoiled)]
    assert tables[0] == tables[1]
    assert [row["parts"] for row in tables[0] if row["chosen"]] == [["block2"]]
    judge = _Judge.of(replace(task, weights=weights))
    assert len(judge.folds) == 90
    assert (judge.folds != NEVER).any()


def test_copies_of_rows_do_not_make_a_choice_surer():
    """A block that seems better by a little, on the same forty rows nine times over."""
    task, rng = draw(["block2"]), np.random.default_rng(0)
    pooled, noise = rng.random(40), rng.standard_normal(40)
    copies = np.tile(np.arange(40), 9)
    judged = {(3,): pooled[copies], (1,): (pooled - 0.1 + 0.9 * (noise - noise.mean()))[copies]}
    grouped, torn = (features._by_one_standard_error(task, judged, g, 3) for g in (copies, np.arange(360)))
    assert grouped.table[0]["stderr"] == pytest.approx(3 * torn.table[0]["stderr"], rel=0.05)
    assert (names_of(grouped), names_of(torn)) == (["pooled"], ["block2"])
