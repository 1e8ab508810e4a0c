import numpy as np
import pytest

from adapters.base import Task
from adapters.signatures import Signatures


@pytest.fixture
def make_described():
    """A function that draws classes told by attributes, which embeddings show; the last ones have no rows."""

    def make(seen=10, unseen=3, rows=8, d=12, spread=0.6, seed=0, **fields):
        rng = np.random.default_rng(seed)
        k, a = seen + unseen, 8
        values = (rng.random((k, a)) < 0.5).astype(np.float32)
        centres = (values - 0.5) @ rng.standard_normal((a, d)) / np.sqrt(a)
        y = np.repeat(np.arange(seen), rows)
        z = (centres[y] + spread * rng.standard_normal((len(y), d)) / np.sqrt(d)).astype(np.float32)
        classes = tuple(f"class {c}" for c in range(k))
        signatures = Signatures(classes, tuple(f"attribute {i}" for i in range(a)), values)
        given = {"groups": np.arange(len(y)), "seed": 1, "signatures": signatures} | fields
        return Task(z, y, classes, **given)

    return make


@pytest.fixture
def make_named(make_described):
    """The same with signatures that are embeddings of names in the items' own space."""

    def make(**fields):
        task = make_described(**fields)
        rng = np.random.default_rng(7)
        names = (task.signatures.values - 0.5) @ rng.standard_normal((8, task.z.shape[1]))
        own = np.stack(
            [task.z[task.y == c].mean(axis=0) if (task.y == c).any() else names[c] for c in range(len(names))]
        )
        named = (own + 0.3 * rng.standard_normal(own.shape)).astype(np.float32)
        columns = tuple(str(i) for i in range(named.shape[1]))
        return Task(
            task.z,
            task.y,
            task.classes,
            task.groups,
            names=named,
            seed=1,
            signatures=Signatures(task.classes, columns, named, "digest"),
        )

    return make
