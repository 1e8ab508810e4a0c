"""The example of a held-out class as a mixture: its figures and its plot."""

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import mixture_cifar10
from benchmarks.mixture_plot import plot

BARS = [{"ship": 0.7, "others": 0.3}, {"ship": 0.1, "others": 0.9}, {"ship": 1.0, "others": 0.0}]
FIGURES = {"entropy": {"new": [0.1, 0.9], "known": [0.2]}, "second": {"new": [0.0, 0.4], "known": [0.1]}}


def test_a_plot_has_a_bar_for_each_share_and_a_line_for_each_group():
    drawn = plot("A <title>", BARS, FIGURES)
    root = ElementTree.fromstring(drawn)
    tags = [child.tag.rpartition("}")[2] for child in root]
    assert tags.count("polyline") == 4
    bars = [float(child.get("height")) for child in root if float(child.get("width", 0)) > 100]
    assert max(bars) == 520, "the ground"
    assert sum(bars[1:]) == pytest.approx(3 * 186, abs=0.5), "every bar is as high as all shares together"
    assert drawn == plot("A <title>", BARS, FIGURES)


def test_entropy_is_in_nats():
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3], dtype=np.float32)
    np.testing.assert_allclose(mixture_cifar10._entropy(shares), [0, np.log(2), np.log(3)], atol=1e-6)


def test_the_chance_of_being_above_is_scikit_learns():
    rng = np.random.default_rng(0)
    above, below = rng.integers(0, 5, 40).astype(np.float32), rng.integers(0, 4, 60).astype(np.float32)
    expected = roc_auc_score(np.repeat([1, 0], [40, 60]), np.concatenate([above, below]))
    assert mixture_cifar10._auroc(above, below) == pytest.approx(expected)


def test_imagenet_has_a_thousand_names(bench_data):
    names = mixture_cifar10._imagenet_names(bench_data / "weights")
    assert len(set(names)) == len(names) == 1000
    assert "crane, the machine" in names
