import numpy as np

from adapters.methods import parse_method
from adapters.zero_shot.trials import as_it_is, run_trials


def test_trials_are_scores_of_heads_that_saw_only_the_rest(make_described):
    task = make_described()
    method = parse_method({"method": "eszsl", "gamma": 1.0, "lam": 1.0, "stacking": 5.0})
    trials = run_trials([method], task, lambda _share: None)
    for split, trial in zip(trials.splits, trials.found[0], strict=True):
        head = as_it_is(method).fit(task.rows(split.learned))
        expected = head.scores(task.z[split.judged])[:, split.columns]
        np.testing.assert_allclose(trial.scores, expected, atol=1e-6)
        predicted = head.fronts[0].predicted(task.z[split.judged])
        column = int(np.flatnonzero(split.apart)[0])
        np.testing.assert_allclose(trial.predicted[column], predicted[split.y == column].mean(axis=0), atol=1e-5)


def test_who_cannot_learn_from_a_split_is_left_out_with_the_reason(make_described):
    task = make_described(seen=2, unseen=2)
    trials = run_trials([parse_method("eszsl")], task, lambda _share: None)
    assert not trials.possible
    assert "at least 2" in trials.left_out[0].why


def test_where_the_time_is_over_the_rest_is_left_out(make_described):
    left = iter([100.0] * 40 + [0.0] * 1000)
    task = make_described(left_s=lambda: next(left))
    methods = [parse_method({"method": "eszsl", "gamma": 1.0, "lam": 1.0}), *parse_method("sae").variants(task)]
    trials = run_trials(methods, task, lambda _share: None)
    assert trials.early
    assert [method.method for method in trials.methods] == ["eszsl"]
    assert {left_out.method.method for left_out in trials.left_out} == {"sae"}
