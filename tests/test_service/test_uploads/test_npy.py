import io
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads import npy
from service.uploads.limits import Limits
from service.uploads.npy import open_arrays


def saved(*arrays: np.ndarray, compress: bool = False) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **{f"a{at}": array for at, array in enumerate(arrays)})
    return buffer.getvalue()


def single(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array([True, False]),
    np.zeros((0, 4), np.float16),
    np.array(3.5),
    np.zeros((2, 0)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_reads_what_numpy_writes(tmp_path: Path, array: np.ndarray):
    (tmp_path / "one").write_bytes(single(array))
    (found,) = open_arrays(tmp_path / "one", "npy", Limits())
    assert (found.name, found.shape, found.dtype) == ("", array.shape, array.dtype)
    assert np.array_equal(found.load(), array)
    (tmp_path / "two").write_bytes(saved(array, np.arange(2), compress=True))
    first, second = open_arrays(tmp_path / "two", "npz", Limits())
    assert (first.name, second.name) == ("a0", "a1")
    assert np.array_equal(first.load(), array)


def test_a_structured_array_is_its_fields(tmp_path: Path):
    kind = np.dtype({"names": ["b", "a"], "formats": ["U3", ("<f4", (2,))], "offsets": [0, 16], "itemsize": 40})
    array = np.zeros(4, kind)
    array["a"] = np.arange(8).reshape(4, 2)
    (tmp_path / "one").write_bytes(single(array))
    fields = open_arrays(tmp_path / "one", "npy", Limits())
    assert [(field.name, field.shape) for field in fields] == [("b", (4,)), ("a", (4, 2))]
    assert np.array_equal(fields[1].load(), array["a"])


def test_nothing_is_read_but_headers_until_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "one").write_bytes(saved(np.zeros((5, 5))))
    monkeypatch.setattr(npy, "_array", lambda *_: pytest.fail("read"))
    assert open_arrays(tmp_path / "one", "npz", Limits())[0].shape == (5, 5)


@pytest.mark.parametrize("where", ["end", "comment"])
def test_the_table_of_contents_is_measured_as_the_zip_reader_finds_it(tmp_path: Path, where: str):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for at in range(300):
            archive.writestr(f"{at:0240}.npy", b"")
        # A second end record within the first one's place, or behind it, that promises a short table.
        archive.comment = b"" if where == "end" else b"x" * 30
    data = buffer.getvalue()
    if where == "end":
        data = data[:-6] + b"PK\x05\x06" + data[-2:]
    (tmp_path / "one").write_bytes(data)
    with pytest.raises(UploadTooLarge, match="table of contents"):
        open_arrays(tmp_path / "one", "npz", Limits())


def test_a_zip64_table_of_contents_is_not_followed(tmp_path: Path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for at in range(300):
            archive.writestr(f"{at:0240}.npy", b"")
    data = buffer.getvalue()
    size, start = struct.unpack("<II", data[-10:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 300, 300, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    short = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 50, 0xFFFFFFFF, 0)
    (tmp_path / "one").write_bytes(data[:-22] + record + locator + short)
    with zipfile.ZipFile(tmp_path / "one") as followed:
        assert len(followed.infolist()) == 300
    with pytest.raises(UploadUnreadable, match="ValueError"):
        open_arrays(tmp_path / "one", "npz", Limits())


GOOD = {
    "npy": single(np.arange(40.0).reshape(10, 4)),
    "npz": saved(np.arange(40.0), np.array(["a", "b"]), compress=True),
}


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_but_input_errors(kind: str, tmp_path_factory: pytest.TempPathFactory, data):
    damaged = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{kind}"
    path.write_bytes(bytes(damaged))
    with suppress(InputError):
        for array in open_arrays(path, kind, Limits()):
            assert array.load().shape == array.shape


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("{}()[],:'\"\\ \n0123456789-*<>fiuUVO|descrshapefortran_orderTrueFalse"), max_size=60)
)
def test_any_header_raises_nothing_but_input_errors(tmp_path_factory: pytest.TempPathFactory, text: str):
    path = tmp_path_factory.getbasetemp() / "header.npy"
    whole = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (2,), {text}"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(whole).to_bytes(2, "little") + whole.encode() + bytes(8))
    with suppress(InputError):
        open_arrays(path, "npy", Limits())
