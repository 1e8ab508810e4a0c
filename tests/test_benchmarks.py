"""The pure parts of the benchmarks: figures against scikit-learn, targets, process trees, the data's folder."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import calibration, metrics

from benchmarks import processes, record, scores, server, start
from benchmarks.banking77 import Fit, probabilities
from benchmarks.banking77_tables import EMBED_FACTOR, overhead_s, targets
from benchmarks.data import bench_data, load_banking77
from graft import Prediction


@pytest.fixture
def predicted():
    """Probabilities (600, 7) with their classes, none of them certain."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(7, 0.4), size=600)
    p = 0.98 * p + 0.02 / 7
    return p, np.array([rng.choice(7, p=row) for row in p])


def test_log_loss_is_scikit_learns(predicted):
    p, y = predicted
    assert scores.log_loss(p, y) == pytest.approx(metrics.log_loss(y, p, labels=range(7)), abs=1e-12)


def test_a_probability_of_zero_costs_what_the_floor_costs():
    assert scores.log_loss(np.array([[0.0, 1.0]]), np.array([0])) == pytest.approx(-np.log(1e-12))


@pytest.mark.parametrize("bins", [5, 15])
def test_calibration_error_is_scikit_learns_curve_weighted_by_rows(predicted, bins):
    p, y = predicted
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    share_right, mean_confidence = calibration.calibration_curve(right, confidence, n_bins=bins)
    rows = np.histogram(confidence, bins=bins, range=(0, 1))[0]
    expected = np.abs(share_right - mean_confidence) @ rows[rows > 0] / len(y)
    assert scores.calibration_error(p, y, bins) == pytest.approx(expected, abs=1e-12)


def test_certain_answers_are_off_by_the_share_that_is_wrong():
    p, y = np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 0, 1])
    assert scores.calibration_error(p, y) == pytest.approx(0.25)
    assert scores.measure(p, y).accuracy == 0.75


def test_a_confidence_on_an_edge_falls_into_the_lower_bin():
    p = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]])
    y = np.array([0, 1, 1])  # Confidences 0.5 (right) and 0.4 (wrong) share a bin of two; 0.8 (wrong) is alone.
    assert scores.calibration_error(p, y, bins=2) == pytest.approx((0.1 + 0.8) / 3)


def test_spread_of_splits():
    assert str(scores.spread([0.1, 0.2, 0.3])) == "0.200 ± 0.100"
    assert str(scores.spread([0.1])) == "0.100"


def test_probabilities_come_in_the_order_of_the_classes():
    answers = [Prediction("b", 0.7, top=(("b", 0.7), ("a", 0.3))), Prediction("a", 1.0, top=(("a", 1.0), ("b", 0.0)))]
    np.testing.assert_array_equal(probabilities(answers, ["a", "b"]), [[0.3, 0.7], [1.0, 0.0]])


def fit(method, accuracy, log_loss, *, shots=5, servable_s=None):
    return Fit(shots, 0, method, scores.Scores(accuracy, log_loss, 0.1), embed_s=2.0, servable_s=servable_s)


def reached(fits):
    return {target.what: target.reached for target in targets(fits, "scikit-learn")}


def test_a_method_with_names_is_held_to_more():
    base = fit("scikit-learn", 0.800, 1.2)
    seen = reached([base, fit("logistic", 0.798, 0.7), fit("logistic-names", 0.814, 0.7), fit("auto", 0.816, 1.3)])
    assert seen["logistic 5-shot accuracy"]
    assert not seen["logistic-names 5-shot accuracy"]
    assert seen["auto 5-shot accuracy"]
    assert seen["logistic-names 5-shot log loss below scikit-learn"]
    assert not seen["auto 5-shot log loss below scikit-learn"]


def test_accuracy_has_no_target_where_none_was_set():
    assert "logistic 1-shot accuracy" not in reached(
        [fit("scikit-learn", 0.5, 3, shots=1), fit("logistic", 0.4, 2, shots=1)]
    )


@pytest.mark.parametrize(("seconds", "kept"), [(2.49, True), (2.51, False)])
def test_seconds_count_beyond_the_embedding(seconds, kept):
    one = fit("logistic", 0.8, 0.7, servable_s=2.0 * EMBED_FACTOR + seconds)
    assert overhead_s(one) == pytest.approx(seconds)
    what = "logistic 5-shot seconds beyond 1.3 x embedding, median"
    assert reached([fit("scikit-learn", 0.8, 1.2), one])[what] is kept


def test_a_target_says_on_which_side_it_lies():
    assert record.Target("accuracy", 0.8, 0.8, at_least=True).as_json()["limit"] == ">= 0.8"
    assert not record.Target("seconds", 4.1, 4.0).reached


def test_results_keep_what_made_them(tmp_path):
    path = record.write("one", {"figure": 1.5}, record.provenance({"shots": [5]}), tmp_path)
    kept = json.loads(path.read_text())
    assert kept["figure"] == 1.5
    assert kept["settings"] == {"shots": [5]}
    assert kept["device"]["cores"] == os.cpu_count()
    assert kept["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("python -m bentoml serve service.app:Graft", "parent"),
        ("python -m _bentoml_impl.worker.service service.app:Graft --fd 6", "http"),
        ("python -m service.jobs.child", "fit child"),
        ("sleep -m", "other"),
    ],
)
def test_a_process_is_known_by_its_module(command, role):
    assert processes.role_of(command.split()) == role


def test_a_family_is_a_process_with_everything_below_it():
    script = "import subprocess, sys; c = subprocess.Popen(['sleep', '30']); print(flush=True); c.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            parent.stdout.readline()
            found = processes.family(parent.pid)
        finally:
            server.stop(parent, wait_s=0)
    assert len(found) == 2
    assert all(0 < one.rss_bytes <= one.peak_rss_bytes for one in found)


def test_one_process_of_a_role_is_expected():
    http = processes.Usage("http", 1, 2, 0.1)
    assert processes.only([http], "http") is http
    with pytest.raises(ValueError, match="2 processes are 'http'"):
        processes.only([http, http], "http")


def test_a_fresh_home_keeps_the_backbones_and_nothing_else(tmp_path):
    with server.fresh_home(tmp_path) as home:
        (home / "backbones" / "kept").touch()
        (home / "registry.sqlite").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["backbones"]
    assert (tmp_path / "backbones" / "kept").exists()


def test_texts_are_different_and_of_many_lengths():
    texts = start.texts_of(start.EXAMPLES, start.TEXTS)
    assert len(set(texts)) == start.TEXTS
    assert len({len(text) for text in texts}) > 50


def test_percentiles_are_milliseconds():
    latency = start.Latency.of([0.001] * 99 + [1.0])
    assert latency.p50_ms == pytest.approx(1.0)
    assert latency.p99_ms > 10


def test_without_data_it_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(SystemExit, match="BENCH_DATA is not set"):
        bench_data()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="is no folder"):
        bench_data()
    with pytest.raises(SystemExit, match=r"train\.csv is missing"):
        load_banking77(tmp_path)


@pytest.mark.bench_data
def test_every_split_has_the_same_number_of_each_class(bench_data):
    data = load_banking77(bench_data)
    for shots, splits in data.shots.items():
        labels = [label for _, label in data.split(shots, len(splits) - 1)]
        assert {labels.count(label) for label in set(labels)} == {shots}
        assert set(labels) == {label for _, label in data.test}
