from dataclasses import replace

import numpy as np
import pytest

from adapters.heads import AffineHead, tables_bytes
from adapters.verify import verify
from models.errors import ExportMismatch

HEAD = AffineHead(np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32), ("a", "b", "c"))
Z = np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32)


def check(onnx_of=HEAD, tables_of=HEAD, onnx_temperature=0.5, tables_temperature=0.5):
    onnx, tables = onnx_of.onnx(onnx_temperature), tables_bytes(tables_of, tables_temperature)
    return verify(HEAD, 0.5, onnx=onnx, tables=tables, z=Z, seed=0)


def test_the_same_function_passes():
    assert check() < 1e-6


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_another_function_is_refused(change):
    other = replace(HEAD, bias=np.array([0, change, 0], np.float32))
    with pytest.raises(ExportMismatch, match="ONNX"):
        check(onnx_of=other)


def test_another_table_is_refused():
    with pytest.raises(ExportMismatch, match="table"):
        check(tables_of=replace(HEAD, weight=2 * HEAD.weight))


def test_another_temperature_is_refused():
    with pytest.raises(ExportMismatch, match="probabilities"):
        check(onnx_temperature=0.6)
    with pytest.raises(ExportMismatch, match="temperature"):
        check(tables_temperature=0.6)
