"""The benchmark of fitting heads: what it draws, what it aims at, and its plots."""

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import heads, heads_runs
from benchmarks.heads_plot import plot
from benchmarks.heads_runs import MANY, MIDDLE, PEER, PEER_SHAPES, Cost

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_a_plot_draws_every_line_on_logarithmic_axes():
    root = ET.fromstring(
        plot("Cost & more", "rows", "seconds", {"a": [(1, 1), (10, 10), (100, 100)], "b": [(1, 5)], "c": []})
    )
    first, second = root.iter(f"{SVG}polyline")
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points(first))]
    assert steps[0] == pytest.approx(steps[1], abs=0.2)
    assert steps[0][0] > 0 > steps[0][1]
    assert points(second)[0][0] == points(first)[0][0]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"Cost & more", "rows", "seconds", "a", "b", "1", "10", "100"} <= set(texts)
    assert "c" not in texts


def test_everything_that_is_drawn_lies_within_the_plot_and_names_lie_apart():
    lines = {f"line {i}": [(1, 1 + i / 100), (1000, 1 + i / 100)] for i in range(6)}
    root = ET.fromstring(plot("t", "x", "y", lines))
    width, height = map(float, root.get("viewBox").split()[2:])
    assert all(0 <= x <= width and 0 <= y <= height for line in root.iter(f"{SVG}polyline") for x, y in points(line))
    places = sorted(float(t.get("y")) for t in root.iter(f"{SVG}text") if t.text.startswith("line"))
    assert min(b - a for a, b in pairwise(places)) >= 12


def test_one_point_alone_is_drawn():
    assert len(list(ET.fromstring(plot("t", "x", "y", {"a": [(3, 7)]})).iter(f"{SVG}circle"))) == 1


def test_rows_are_unit_vectors_that_show_every_class():
    z, y, held_z, held_y = heads_runs.draw(60, 32, 12)
    assert (z.shape, held_z.shape) == ((60, 32), (heads_runs.HELD_OUT, 32))
    assert z.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    assert (np.bincount(y) == 5).all()
    assert len(np.unique(held_y)) == 12
    np.testing.assert_array_equal(z, heads_runs.draw(60, 32, 12)[0])


def test_heads_are_what_needs_embeddings_and_labels_only():
    names = [method.method for method in heads_runs.heads()]
    assert names[:3] == ["prototype", "ridge", "lda"]
    assert not {"last_k", "lora"} & set(names)


def test_a_method_that_takes_too_long_is_not_tried_on_what_is_larger(monkeypatch):
    monkeypatch.setattr(heads_runs, "timed", lambda _method, task: (None, float(len(task.y))))
    costs = list(heads_runs.sweep({"n": (100, 300, 500), "k": (2, 5)}, 200.0, "cpu", lambda _: None))
    assert [(c.n, c.k) for c in costs if c.method == "lda"] == [(100, 20), (300, 20), (1000, 2)]


def test_targets_compare_with_the_peer_on_the_same_rows():
    def costs(shape, **seconds):
        return [Cost(name, **shape, seconds=s, accuracy=a) for name, (s, a) in seconds.items()]

    small, large = PEER_SHAPES
    peer = costs(small, **{PEER: (4.0, 0.8), "logistic": (1.0, 0.81), "auto": (5.0, 0.7)})
    peer += costs(large, **{PEER: (4.0, 0.8), "logistic": (8.0, 0.8), "auto": (1.0, 0.8)})
    many = [Cost("ridge", **MANY, seconds=70.0, accuracy=0.9, memory=2.0)]
    aims = heads.targets(peer, many)
    assert [aim.reached for aim in aims] == [False, True, True, False, True, False, True, True, False, True]
    assert [aim.reached for aim in heads.targets([], many)] == [False, True]


def test_plots_hold_the_costs_along_one_axis(tmp_path):
    costs = [Cost("lda", **(MIDDLE | {axis: v}), seconds=v / 10) for axis in ("n", "d", "k") for v in (10, 30)]
    heads.draw_plots(costs, tmp_path, "a machine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heads_d.svg", "heads_k.svg", "heads_n.svg"]
    root = ET.parse(tmp_path / "heads_d.svg").getroot()
    assert len(points(next(root.iter(f"{SVG}polyline")))) == 2
    assert "a machine" in [text.text for text in root.iter(f"{SVG}text")]


def test_what_was_not_measured_is_not_kept():
    kept = Cost("lda", 1, 2, 3, 4.0, accuracy=0.5).as_json()
    assert "memory" not in kept
    assert kept["accuracy"] == 0.5
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert math.isnan(Cost("lda", 1, 2, 3, 4.0).memory)


MANY_ROWS = """
from benchmarks import heads_runs

heads_runs.MANY = {"n": 4000, "d": 64, "k": 5}
heads_runs.MANY_METHODS = ("prototype",)
(cost,) = heads_runs.on_many_rows("cpu", lambda _: None)
print(cost.memory, cost.accuracy)
"""


def test_memory_is_told_in_embeddings():
    """In a process of its own: one that has let go of memory has room for the rows without growing."""
    run = [sys.executable, "-c", MANY_ROWS]
    told = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    memory, accuracy = map(float, told.split())
    # With the 6,000 rows that were drawn, and what is imported for the fit.
    assert 0.5 < memory < 200
    assert accuracy > 0.9


def test_quick_leaves_out_many_rows():
    assert heads._parse(["--quick"]).parts == ["sweep", "peer"]
    assert heads._parse([]).parts == ["sweep", "peer", "many"]
    assert heads._parse(["--quick", "--parts", "many"]).parts == ["many"]
