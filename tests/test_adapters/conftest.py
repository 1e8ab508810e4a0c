import numpy as np
import pytest

from adapters.base import Task
from adapters.columns import Column, Kind, Rows


@pytest.fixture
def make_task():
    """A function that draws classes around random unit directions, with names that embed near them."""

    def make(counts=(10, 10, 10), d=12, spread=0.6, seed=0, **fields):
        rng = np.random.default_rng(seed)
        k = len(counts)
        centres = rng.standard_normal((k, d))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        y = np.repeat(np.arange(k), counts)
        z = (centres[y] + spread * rng.standard_normal((len(y), d)) / np.sqrt(d)).astype(np.float32)
        names = (centres + rng.standard_normal((k, d)) / np.sqrt(d)).astype(np.float32)
        given = {"groups": np.arange(len(y)), "names": names, "seed": 1} | fields
        return Task(z, y, tuple(f"class {c}" for c in range(k)), **given)

    return make


@pytest.fixture
def make_regression():
    """A function that draws numbers that embeddings tell but for some noise; of another origin and unit if asked."""

    def make(n=60, d=8, noise=0.3, seed=0, offset=0.0, scale=1.0, **fields):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((n, d)).astype(np.float32)
        y = z @ rng.standard_normal(d) + noise * rng.standard_normal(n)
        given = {"groups": np.arange(n), "seed": 1} | fields
        return Task(z, offset + scale * y, (), **given)

    return make


@pytest.fixture
def make_table_task():
    """A function that draws rows with two numbers, one of them missing at times, and a colour that may be unknown.

    The target follows from all three: three classes, or a number.
    """
    schema = (
        Column("length", Kind.NUMBER, -3.0, 3.0),
        Column("weight", Kind.NUMBER, 20.0, 80.0),
        Column("colour", Kind.CATEGORY, categories=("red", "blue", "green")),
    )

    def make(n=90, seed=0, regression=False, **fields):
        rng = np.random.default_rng(seed)
        numbers = rng.standard_normal((n, 2)) * [1, 10] + [0, 50]
        colour = rng.integers(0, 3, n)
        signal = numbers[:, 0] + (numbers[:, 1] - 50) / 10 + 2 * colour + 0.3 * rng.standard_normal(n)
        numbers[rng.random(n) < 0.1, 0] = np.nan
        names = np.array(["red", "blue", "green"], object)[colour]
        names[rng.random(n) < 0.05] = ""
        y = signal if regression else np.digitize(signal, np.quantile(signal, [1 / 3, 2 / 3]))
        classes = () if regression else ("high", "low", "middle")
        given = {"groups": np.arange(n), "seed": 1} | fields
        return Task.of_rows(schema, Rows(numbers, names[:, None]), y, classes, **given)

    return make
