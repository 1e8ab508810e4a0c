import time
from dataclasses import replace

import numpy as np
import pytest

from adapters.adapt import adapt
from adapters.ensembles.members import Member
from adapters.heads import AffineHead
from adapters.methods import parse_method


def silent(_stage, _share):
    pass


@pytest.fixture
def published():
    """A function that fits a method to a task as the service does, and gives it as a member of that dataset."""

    def make(task, method, name="one:1", first=0, **fields):
        fitted = adapt(task, parse_method(method), on_stage=silent, clock=time.monotonic)
        chosen = fitted.method.model_dump(mode="json")
        behind = first + task.z.shape[1]
        given = {"saw": True, "names": task.names} | fields
        return Member(name, fitted.onnx, task.classes, chosen, first, behind, **given)

    return make


@pytest.fixture
def stranger():
    """A function that makes a member that has seen no row: an affine head of given classes."""

    def make(classes, d=12, name="other:1", seed=7, weight=None, temperature=0.5, first=0, **fields):
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal((max(1, len(classes)), d)) if weight is None else weight
        bias = np.zeros(len(drawn), dtype=np.float32)
        head = AffineHead(np.asarray(drawn, np.float32), bias, tuple(classes), fields.pop("multilabel", False))
        onnx = head.onnx(temperature)
        return Member(name, onnx, tuple(classes), {"method": "names"}, first, first + d, **fields)

    return make


@pytest.fixture
def without_rows():
    """A function that takes the rows off a task."""

    def take(task):
        return replace(task, z=task.z[:0], y=task.y[:0], groups=task.groups[:0], weights=None)

    return take


@pytest.fixture
def make_marks():
    """A function that draws rows with any of three classes: the sum of the classes' directions."""
    from adapters.base import Task

    def make(n=60, d=12, spread=0.6, seed=0, **fields):
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((3, d))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        marks = (np.arange(n)[:, None] >> np.arange(3)) % 2 == 1
        z = (marks @ centres + spread * rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
        return Task(z, marks, ("one", "two", "four"), np.arange(n), seed=1, **fields)

    return make
