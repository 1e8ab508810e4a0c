"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bench_data() -> Path:
    """The folder of public data; a test that needs it skips where there is none."""
    folder = os.environ.get("BENCH_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BENCH_DATA names no folder of public data; benchmarks/README.md says where each set comes from")
    return Path(folder)
