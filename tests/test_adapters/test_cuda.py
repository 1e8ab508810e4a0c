"""The batch in torch, on the CPU: what it computes does not depend on where."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from adapters import cuda
from adapters.base import Parent
from adapters.errors import Cancelled
from adapters.methods.logistic import Logistic


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def on_torch(monkeypatch):
    """A function that makes the same task one for the GPU, which here is torch on the CPU."""
    monkeypatch.setattr(cuda, "solve", partial(cuda.solve, device="cpu"))
    return lambda task, **fields: replace(task, device="cuda", **fields)


def marked(task):
    marks = np.random.default_rng(0).random((len(task.y), len(task.classes))) < 0.3
    marks[np.arange(len(task.y)), task.y] = True
    return replace(task, y=marks)


def weighted(task):
    return replace(task, weights=np.random.default_rng(0).random(len(task.y)) * 3)


def grown(task):
    """Of its three classes the first two are a parent's, and the first has no rows."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((2, task.z.shape[1])).astype(np.float32)
    parent = Parent("old:1", weight, np.array([0.1, -0.2], dtype=np.float32), 0.5, task.classes[:2])
    return replace(task.rows(task.y > 0), parent=parent)


def assert_close(seen, expected):
    np.testing.assert_allclose(seen, expected, atol=1e-3 * np.abs(expected).max())


KINDS = {
    "classes": (lambda task: task, {}),
    "unbalanced": (lambda task: task, {"balanced": False}),
    "names": (lambda task: task, {"prior": "names"}),
    "weights": (weighted, {}),
    "marks": (marked, {}),
    "balanced marks with weights": (lambda task: weighted(marked(task)), {"balanced": True, "prior": "names"}),
    "a parent": (grown, {"prior": "parent"}),
    "marks and a parent": (lambda task: grown(task.rows(task.y > -1)), {"prior": "parent", "balanced": False}),
}


@pytest.mark.parametrize("c", [0.3, 10.0, 100.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [8, 70])
def test_it_fits_what_the_cpu_fits(make_task, on_torch, kind, c, d):
    change, fields = KINDS[kind]
    task = change(make_task((20, 12, 7), d=d, spread=1.5))
    method = Logistic(c=c, **fields)
    assert_close(method.fit(on_torch(task)).scores(task.z), method.fit(task).scores(task.z))


def test_all_parameters_are_one_batch(make_task, on_torch, monkeypatch):
    task = make_task((20, 12, 7), spread=1.5)
    solved = []

    def spy(*args, solve=cuda.solve, **kwargs):
        solved.append(len(args[3]))
        return solve(*args, **kwargs)

    monkeypatch.setattr(cuda, "solve", spy)
    methods = [Logistic(c=c, prior=prior) for prior in ("none", "names") for c in (0.3, 10.0, 100.0)]
    heads = list(Logistic.fit_each(methods, on_torch(task)))
    assert solved == [6]
    for method, head in zip(methods, heads, strict=True):
        expected = method.fit(task).scores(task.z)
        np.testing.assert_allclose(head.scores(task.z), expected, atol=0.03 * np.abs(expected).max())


def test_balanced_marks_and_others_are_one_batch_too(make_task, on_torch):
    task = marked(make_task((20, 12, 7), spread=1.5))
    methods = [Logistic(c=1.0, balanced=balanced) for balanced in (True, False)]
    for method, head in zip(methods, Logistic.fit_each(methods, on_torch(task)), strict=True):
        expected = method.fit(task).scores(task.z)
        np.testing.assert_allclose(head.scores(task.z), expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("change", [lambda task: task, marked])
def test_chunks_of_rows_add_up(make_task, on_torch, change, monkeypatch):
    task = change(make_task((20, 12, 7), spread=1.5))
    expected = Logistic(c=3.0).fit(on_torch(task)).scores(task.z)
    monkeypatch.setattr("adapters.cuda.batch._MOST_SCORES", 3 * 7)
    assert_close(Logistic(c=3.0).fit(on_torch(task)).scores(task.z), expected)


def test_out_of_memory_it_goes_on_on_the_cpu_and_says_so(make_task, on_torch, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("adapters.cuda.batch.Batch.at", full)
    task, said = make_task(), []
    head = Logistic(c=3.0).fit(on_torch(task, say=said.append))
    np.testing.assert_array_equal(head.weight, Logistic(c=3.0).fit(task).weight)
    assert len(said) == 1
    assert "memory" in said[0]
    methods = [Logistic(c=3.0), Logistic(c=10.0)]
    seen = [head.weight for head in Logistic.fit_each(methods, on_torch(task, say=said.append))]
    np.testing.assert_array_equal(seen, [head.weight for head in Logistic.fit_each(methods, task)])
    assert len(said) == 2


def test_cancel_passes_through(make_task, on_torch):
    left = iter([None] * 8)

    def check():
        if next(left, "over") == "over":
            raise Cancelled("over")

    with pytest.raises(Cancelled):
        Logistic(c=100.0).fit(on_torch(make_task(), check=check))


def test_when_the_time_is_over_it_says_so_and_is_still_of_use(make_task, on_torch):
    said = []
    task = make_task((10,) * 8, d=60)
    head = Logistic(c=1e5).fit(on_torch(task, left_s=lambda: 0.0, say=said.append))
    assert len(said) == 1
    assert (head.scores(task.z).argmax(axis=1) == task.y).mean() > 0.9


def test_it_computes_without_tf32_and_leaves_the_setting_as_it_was(make_task, on_torch, monkeypatch):
    settings, seen = torch.backends.cuda.matmul, []
    before = settings.allow_tf32

    def look(self, *args, at=cuda.Batch.at):
        seen.append(settings.allow_tf32)
        return at(self, *args)

    monkeypatch.setattr(cuda.Batch, "at", look)
    settings.allow_tf32 = True
    try:
        Logistic(c=3.0).fit(on_torch(make_task()))
        assert settings.allow_tf32
    finally:
        settings.allow_tf32 = before
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("value", [0.0, -3.5])
def test_constant_features_stay_finite(make_task, on_torch, value):
    task = make_task()
    flat = replace(task, z=np.full_like(task.z, value))
    assert np.isfinite(Logistic(c=10.0).fit(on_torch(flat)).scores(flat.z)).all()


def test_rows_that_cannot_be_written_to_are_read(make_task, on_torch):
    task = weighted(make_task())
    task.z.setflags(write=False)
    task.y.setflags(write=False)
    task.weights.setflags(write=False)
    assert np.isfinite(Logistic(c=10.0).fit(on_torch(task)).weight).all()


def test_on_a_gpu_it_fits_what_the_cpu_fits(make_task):
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    task = make_task((200, 120, 70), d=70, spread=1.5)
    expected = Logistic(c=10.0).fit(task).scores(task.z)
    assert_close(Logistic(c=10.0).fit(replace(task, device="cuda")).scores(task.z), expected)
