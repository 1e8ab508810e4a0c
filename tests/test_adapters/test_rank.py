from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.neighbors import KNeighborsClassifier

from adapters.base import Task
from adapters.errors import Cancelled, DatasetTooSmall, TaskUnsupported
from adapters.folds import NEVER, deal_folds
from adapters.rank import Candidate, Ranking, knn_accuracy, logme, rank_task, recommend, sort_candidates


def blobs(n, d, k, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % k
    z = apart * rng.standard_normal((k, d))[y] + rng.standard_normal((n, d))
    return Task(z.astype(np.float32), y, tuple(map(str, range(k))), np.arange(n))


def numerical_evidence(z, t):
    """Maximum over α and β of the log evidence as the paper writes it, by a general minimiser from many starts."""
    z = z.astype(np.float64)
    n, d = z.shape

    def negative(point):
        alpha, beta = np.exp(point)
        a = alpha * np.eye(d) + beta * z.T @ z
        m = beta * np.linalg.solve(a, z.T @ t)
        return -(
            n / 2 * np.log(beta)
            + d / 2 * np.log(alpha)
            - n / 2 * np.log(2 * np.pi)
            - beta / 2 * ((z @ m - t) ** 2).sum()
            - alpha / 2 * m @ m
            - np.linalg.slogdet(a)[1] / 2
        )

    starts = [(a, b) for a in (-4.0, 0.0, 4.0) for b in (-1.0, 2.0, 5.0)]
    return (
        -min(minimize(negative, s, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).fun for s in starts)
        / n
    )


@pytest.mark.parametrize(
    ("n", "d", "k", "apart"), [(40, 5, 2, 1.0), (40, 5, 3, 0.2), (12, 12, 2, 1.0), (25, 40, 3, 1.0)]
)
def test_logme_is_the_highest_evidence(n, d, k, apart):
    task = blobs(n, d, k, apart, seed=n + d)
    expected = np.mean([numerical_evidence(task.z, (task.y == c).astype(float)) for c in range(k)])
    assert logme(task.z, task.y, k) == pytest.approx(expected, abs=2e-5)


def test_logme_does_not_depend_on_the_unit_and_prefers_what_tells_classes_apart():
    good, bad = blobs(60, 8, 3, 2.0), blobs(60, 8, 3, 0.0)
    assert logme(good.z * 1000, good.y, 3) == pytest.approx(logme(good.z, good.y, 3), abs=1e-6)
    assert logme(good.z, good.y, 3) > logme(bad.z, bad.y, 3) + 0.1


def test_logme_of_embeddings_without_anything_in_them_is_that_of_a_constant():
    y = np.arange(10) % 2
    zero = logme(np.zeros((10, 3), np.float32), y, 2)
    # Variance 1/2 about zero.
    assert zero == pytest.approx(-(np.log(2 * np.pi * 0.5) + 1) / 2)


@pytest.mark.parametrize(("n", "k", "neighbours"), [(60, 3, 4), (40, 10, 2), (700, 2, 15), (9, 3, 1)])
def test_neighbours_are_those_of_scikit_learn(n, k, neighbours):
    task = blobs(n, 6, k, 0.7)
    right = 0
    for i in range(n):
        others = np.arange(n) != i
        oracle = KNeighborsClassifier(neighbours, metric="cosine", weights=lambda distance: 2 - distance)
        oracle.fit(task.z[others].astype(float), task.y[others])
        right += oracle.predict(task.z[i : i + 1].astype(float))[0] == task.y[i]
    assert knn_accuracy(task.z, task.y, task.groups) == pytest.approx(right / n)


def test_copies_do_not_answer_for_each_other():
    rng = np.random.default_rng(3)
    z, y = np.repeat(rng.standard_normal((60, 20)), 2, axis=0).astype(np.float32), rng.integers(0, 30, 60).repeat(2)
    assert knn_accuracy(z, y, np.arange(120)) == 1
    assert knn_accuracy(z, y, np.arange(60).repeat(2)) < 0.3


def test_a_class_of_one_group_is_not_judged():
    z = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, -1]], np.float32)
    assert knn_accuracy(z, np.array([0, 0, 1, 1, 2]), np.arange(5)) == 1
    assert knn_accuracy(z[1:3], np.array([0, 1]), np.arange(2)) is None


def test_the_probe_is_judged_on_the_folds_of_the_task():
    task = blobs(50, 10, 3, 0.7)
    ranking = rank_task(task)
    assert len(ranking.losses) == (deal_folds(task) != NEVER).sum() == 50
    assert ranking.probe_log_loss == pytest.approx(ranking.losses.mean())
    noise = rank_task(replace(task, z=np.random.default_rng(1).standard_normal((50, 10)).astype(np.float32)))
    assert noise.probe_log_loss > 1 > ranking.probe_log_loss
    assert noise.probe_accuracy < 0.6 < ranking.probe_accuracy
    assert noise.logme < ranking.logme
    assert noise.knn_accuracy < ranking.knn_accuracy


def test_the_same_task_has_the_same_figures():
    task = blobs(40, 100, 4)
    first, again = rank_task(task), rank_task(task)
    assert first == again
    assert first.losses.tobytes() == again.losses.tobytes()


def test_wide_embeddings_are_rotated_and_nothing_changes():
    task = blobs(40, 30, 4, 0.5)
    wide = replace(task, z=np.concatenate([task.z, np.zeros((40, 30), np.float32)], axis=1))
    one, other = rank_task(task), rank_task(wide)
    assert other.probe_log_loss == pytest.approx(one.probe_log_loss, rel=1e-3)
    assert (other.probe_accuracy, other.knn_accuracy) == (one.probe_accuracy, one.knn_accuracy)
    assert other.logme == pytest.approx(one.logme, abs=1e-6)


@pytest.mark.parametrize("width", [1, 50])
def test_embeddings_that_are_all_zero_have_figures(width):
    task = blobs(20, width, 2)
    ranking = rank_task(replace(task, z=np.zeros_like(task.z)))
    assert ranking.probe_log_loss == pytest.approx(np.log(2), abs=0.02)
    assert np.isfinite(ranking.logme)


def test_too_few_rows_to_hold_out_leave_the_evidence():
    task = blobs(3, 4, 3)
    ranking = rank_task(task)
    assert (ranking.probe_accuracy, ranking.probe_log_loss, ranking.knn_accuracy) == (None, None, None)
    assert np.isfinite(ranking.logme)


def test_numbers_to_predict_and_a_single_class_are_refused():
    with pytest.raises(TaskUnsupported, match="name the backbone instead"):
        rank_task(Task(np.zeros((9, 2), np.float32), np.arange(9.0), (), np.arange(9)))
    with pytest.raises(DatasetTooSmall):
        rank_task(Task(np.zeros((9, 2), np.float32), np.zeros(9, np.int64), ("a",), np.arange(9)))


def test_it_can_be_stopped():
    def stop():
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        rank_task(replace(blobs(40, 5, 2), check=stop))


def candidate(name, loss, ms, spread=0.0, seed=0, accuracy=0.8, n=100):
    noise = np.random.default_rng(seed).standard_normal(n)
    losses = loss + spread * (noise - noise.mean())
    return Candidate(name, Ranking(accuracy, float(losses.mean()), 0.1, 0.7, losses), ms, 8)


def test_the_lowest_loss_is_recommended():
    chosen, why = recommend([candidate("slow", 0.5, 20.0, 0.1, 1), candidate("fast", 0.6, 2.0, 0.1, 2)])
    assert chosen == "slow"
    assert why == (
        "Of 2 backbones slow has the lowest log loss on held-out rows, 0.500 (accuracy 0.800), at 20 ms an item; none "
        "that is much faster comes within one standard error of it."
    )


def test_of_those_that_do_as_well_the_fastest_is_recommended():
    rows = [candidate("slow", 0.5, 20.0, 1, 1), candidate("fast", 0.52, 2.0, 1, 2), candidate("bad", 2.0, 1.0, 1, 3)]
    chosen, why = recommend(rows)
    assert chosen == "fast"
    assert why.startswith(
        "fast has a log loss of 0.520 (accuracy 0.800) on held-out rows, within one standard error (0.1"
    )
    assert why.endswith("of the lowest, 0.500 of slow, and takes 2 ms an item instead of 20.")


def test_what_is_about_as_fast_does_not_win_by_its_speed():
    assert recommend([candidate("a", 0.5, 5.0, 1, 1), candidate("b", 0.52, 4.5, 1, 2)])[0] == "a"


def test_the_standard_error_is_that_of_the_difference():
    """Both are noisy, and in the same way: one of them is surely the better."""
    assert recommend([candidate("slow", 0.5, 20.0, 1, 1), candidate("fast", 0.52, 2.0, 1, 1)])[0] == "slow"


def test_without_held_out_rows_the_evidence_decides_and_the_sentence_says_so():
    none = Ranking(None, None, -0.3, None, np.empty(0))
    rows = [Candidate("a", none, 1.0, 4), Candidate("b", replace(none, logme=0.2), 9.0, 4)]
    chosen, why = recommend(rows)
    assert chosen == "b"
    assert why.startswith("Of 2 backbones b has the highest LogME, 0.200; there are too few rows")
    assert [row.id for row in sort_candidates(rows)] == ["b", "a"]


def test_one_candidate_is_recommended_whatever_it_is():
    only = ("only", "only is the only backbone that was compared.")
    assert recommend([candidate("only", 3.0, 1.0)]) == only
    assert recommend([Candidate("only", Ranking(None, None, -0.3, None, np.empty(0)), 1.0, 4)]) == only
