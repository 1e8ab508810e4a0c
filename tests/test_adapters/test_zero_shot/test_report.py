import numpy as np
import pytest

from adapters.calibrate import fit_temperature
from adapters.heads import AffineHead
from adapters.methods import parse_method
from adapters.zero_shot.compare import Mix, Settled, Wish
from adapters.zero_shot.judged import Judged, judge_all, judge_crossed, recall
from adapters.zero_shot.report import report_unseen
from adapters.zero_shot.splits import pseudo_unseen
from adapters.zero_shot.trials import Trial, Trials


def certain(task, seen_right=True, unseen_right=True, lead=0.0):
    """Trials whose scores are right or wrong on each side, with seen classes too high by `lead`."""
    trials = []
    for split in pseudo_unseen(task):
        right = np.where(split.foreign, unseen_right, seen_right)
        place = np.where(right, split.y, (split.y + 1) % len(split.columns))
        scores = 3.0 * np.eye(len(split.columns))[place] + lead * ~split.apart
        trials.append(Trial(scores.astype(np.float32)))
    return Trials((parse_method("eszsl"),), pseudo_unseen(task), (tuple(trials),))


def reported(task, trials, settled, wish):
    judged = judge_crossed(trials, wish) if settled else []
    return report_unseen(
        task,
        parse_method("eszsl"),
        trials=trials,
        settled=settled,
        judged=judged,
        seen=~task.absent,
        classes=task.classes,
        temperature=0.5,
        stacking=0.25,
        whole=task,
    )


def settled(offset=0.0):
    return Settled(Mix(((0, 1.0),)), offset, 1.0, np.zeros(1), np.zeros(1))


def test_all_right_is_one_everywhere(make_described):
    task = make_described()
    report = reported(task, certain(task), settled(), Wish(stacking=0.0))
    zero_shot = report["zero_shot"]
    sides = ("seen_accuracy", "unseen_accuracy", "harmonic_mean")
    assert [zero_shot[name] for name in (*sides, "unseen_among_themselves")] == [1, 1, 1, 1]
    assert [zero_shot["raw"][name] for name in sides] == [1, 1, 1]
    assert report["accuracy"] == 1
    assert (zero_shot["stacking"], report["temperature"]) == (0.25, 0.5)


def test_seen_classes_that_are_too_high_hide_the_others_but_for_stacking(make_described):
    task = make_described()
    trials = certain(task, lead=10.0)
    raw = reported(task, trials, settled(), Wish(stacking=0.0))["zero_shot"]
    assert (raw["seen_accuracy"], raw["unseen_accuracy"], raw["harmonic_mean"]) == (1, 0, 0)
    assert raw["unseen_among_themselves"] == 1
    chosen = reported(task, trials, settled(), Wish())["zero_shot"]
    assert (chosen["seen_accuracy"], chosen["unseen_accuracy"]) == (1, 1)
    assert chosen["raw"]["unseen_accuracy"] == 0


def test_each_class_has_its_recall_on_both_sides(make_described):
    task = make_described()
    report = reported(task, certain(task, unseen_right=False), settled(), Wish(stacking=0.0))
    rows = report["per_class"]
    assert {row["recall"] for row in rows[:10]} == {1.0}
    assert {row["recall_apart"] for row in rows[:10]} == {0.0}
    assert [(row["recall"], row["recall_apart"], row["evaluated"]) for row in rows[10:]] == [(None, None, 0)] * 3
    assert report["zero_shot"]["harmonic_mean"] == 0


def test_means_are_over_classes_and_not_over_rows(make_described):
    task = make_described()
    split = pseudo_unseen(task)[0]
    scores = np.zeros((len(split.y), 10), np.float32)
    first = split.y == split.y[0]
    scores[first, split.y[0]] = 1
    scores[~first, split.y[0]] = 1
    found = recall(split, scores)
    assert found[split.y[0]] == 1
    assert np.nansum(found) == 1
    judged = Judged.of(split, scores, settled())
    assert np.isnan(judged.among[~split.apart]).all()


def test_without_a_choice_nothing_is_known(make_described):
    task = make_described()
    report = reported(task, Trials((), (), ()), None, Wish())
    assert report["accuracy"] is None
    assert report["zero_shot"]["harmonic_mean"] is None
    assert not report["calibrated"]
    assert "nothing was measured" in report["notes"][0]


def test_a_head_that_learned_nothing_is_judged_by_all_rows(make_described):
    task = make_described()
    rng = np.random.default_rng(0)
    bias = rng.standard_normal(13).astype(np.float32)
    head = AffineHead(rng.standard_normal((13, 12)).astype(np.float32), bias, task.classes)
    judged, temperature = judge_all(head, ~task.absent, 0.5, task)
    assert temperature == pytest.approx(fit_temperature(head.scores(task.z), task.labels), rel=1e-3)
    right = head.scores(task.z).argmax(axis=1) == task.y
    assert np.nanmean(judged[0].recall) == pytest.approx(right.mean())
    lifted = head.scores(task.z) + np.where(task.absent, 0, 0.5)
    assert np.nanmean(judged[0].raw) == pytest.approx((lifted.argmax(axis=1) == task.y).mean())
