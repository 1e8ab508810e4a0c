import numpy as np
import pytest

from adapters.base import Task


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
