"""Vectors: good and odd files, each made here."""

import io
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InputError, Problem
from service.errors import UploadUnreadable
from service.uploads.limits import Limits

Z = np.arange(36, dtype=np.float32).reshape(12, 3) / 4
LABELS = np.array(["yes", "no", "no"] * 4)


def npy(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def compressed(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def lines(**columns: list[object]) -> str:
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return "\n".join(map(json.dumps, rows)) + "\n"


def structured(align: bool = False) -> bytes:
    kind = np.dtype([("flag", "u1"), ("embedding", "<f8", (3,)), ("label", "U3")], align=align)
    array = np.zeros(12, kind)
    array["embedding"], array["label"] = Z, LABELS
    return npy(array)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


LISTS, WORDS = Z.tolist(), LABELS.tolist()
EVERY: dict[str, tuple[bytes | str, str]] = {
    "npz": (npz(embedding=Z, label=LABELS), "a.npz"),
    "compressed": (compressed(embeddings=Z, labels=LABELS), "a.npz"),
    "misnamed": (npz(X=Z, y=LABELS), "a.csv"),
    "other-arrays": (npz(ids=np.arange(12), vectors=Z, y=LABELS, more=np.zeros(3)), "a.npz"),
    "unknown-names": (npz(v=Z, label=LABELS), "a.npz"),
    "float64": (npz(embedding=Z.astype(np.float64), label=LABELS), "a.npz"),
    "float16": (npz(embedding=Z.astype(np.float16), label=LABELS), "a.npz"),
    "big-endian": (npz(embedding=Z.astype(">f8"), label=LABELS.astype(">U3")), "a.npz"),
    "fortran": (npz(embedding=np.asfortranarray(Z), label=LABELS), "a.npz"),
    "whole-numbers": (npz(embedding=(Z * 4).astype(np.int8), label=LABELS), "a.npz"),
    "bytes-labels": (npz(embedding=Z, label=LABELS.astype("S")), "a.npz"),
    "column-labels": (npz(embedding=Z, label=LABELS[:, None]), "a.npz"),
    "structured": (structured(), "a.npy"),
    "padded": (structured(align=True), "a.npy"),
    "parquet": (parquet(embedding=LISTS, label=WORDS), "a.parquet"),
    "parquet-other-names": (parquet(v=LISTS, kind=WORDS), "a.parquet"),
    "parquet-fixed": (parquet(embedding=pa.array(LISTS, pa.list_(pa.float32(), 3)), label=WORDS), "a.parquet"),
    "parquet-large": (parquet(embedding=pa.array(LISTS, pa.large_list(pa.float64())), label=WORDS), "a.parquet"),
    "parquet-half": (
        parquet(embedding=pa.array(Z.astype(np.float16).tolist(), pa.list_(pa.float16())), label=WORDS), "a.parquet",
    ),
    "jsonl": (lines(embedding=LISTS, label=WORDS), "a.jsonl"),
    "json": ("[" + ",".join(lines(id=list(range(12)), vector=LISTS, label=WORDS).splitlines()) + "]", "a.json"),
}  # fmt: skip


@pytest.mark.parametrize("name", EVERY)
def test_every_format_gives_the_same_vectors(upload, name: str):
    items = upload(*EVERY[name])
    assert (items.modality, items.task, items.n, items.bad_count) == ("vector", "classification", 12, 0)
    assert (items.vectors.dtype, items.vectors.flags.c_contiguous) == (np.float32, True)
    expected = Z * 4 if name == "whole-numbers" else Z
    assert np.array_equal(items.vectors, expected)
    assert list(items.labels) == WORDS
    assert items.rows == tuple(range(1, 13))


NPZ = "np.savez(path, embedding=vectors, label=labels)"
VECTOR = {"modality": "vector"}


def header(shape: str, descr: str = "'<f4'", order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def bomb() -> bytes:
    return zipped(embedding=header("(2000, 1000)") + bytes(8_000_000), label=npy(np.zeros(2000)))


# name: (bytes or text, file name, what the caller says, error code, words of the message)
REFUSED: dict[str, tuple[bytes | str, str, dict[str, object], str, list[str]]] = {
    "plain": (npy(Z), "a.npy", {}, "upload-refused", ["no labels", "(12, 3)", NPZ]),
    "npz-without-labels": (npz(embedding=Z), "a.npz", {}, "upload-refused", ["no labels", "'embedding' (12, 3)", NPZ]),
    "npz-unnamed": (npz(a=Z, b=Z, label=LABELS), "a.npz", {}, "upload-refused", ["not clear", "'a' (12, 3)", NPZ]),
    "npz-misspelt": (
        npz(embedding=Z, label=LABELS), "a.npz", {"label": "labl"}, "upload-refused",
        ["'labl'", "Did you mean 'label'"],
    ),
    "object-labels": (
        npz(embedding=Z, label=LABELS.astype(object)), "a.npz", {}, "upload-refused",
        ["'label' holds Python objects", "astype(str)"],
    ),
    "object-array": (npy(np.array([{}, 1], object)), "a.npy", {}, "upload-refused", ["Python objects"]),
    "object-field": (
        npy(np.zeros(2, [("embedding", "f4", (2,)), ("label", object)])), "a.npy", {}, "upload-refused",
        ["Python objects"],
    ),
    "pickle": (pickle.dumps(Z), "a.npy", {}, "format-unsupported", ["Python pickle", ".npz"]),
    "pickle-in-npz": (
        zipped(embedding=npy(Z), label=pickle.dumps(1)), "a.npz", {}, "upload-unreadable", ["NumPy file"],
    ),
    "fewer-labels": (npz(embedding=Z, label=LABELS[:9]), "a.npz", {}, "upload-refused", ["12 vectors", "(9,)"]),
    "labels-2d": (npz(embedding=Z, label=np.zeros((12, 2))), "a.npz", {}, "upload-refused", ["(12, 2)"]),
    "dates": (
        npz(embedding=Z, label=np.zeros(12, "M8[D]")), "a.npz", {}, "upload-refused", ["datetime64", "astype(str)"],
    ),
    "embedding-3d": (npz(embedding=Z[:, None], label=LABELS), "a.npz", {}, "upload-refused", ["(12, 1, 3)", "(n, d)"]),
    "embedding-1d": (npz(embedding=Z[:, 0], label=LABELS), "a.npz", {}, "upload-refused", ["(12,)", "(n, d)"]),
    "complex": (npz(embedding=Z + 1j, label=LABELS), "a.npz", {}, "upload-refused", ["complex64"]),
    "words": (npz(embedding=Z.astype(str), label=LABELS), "a.npz", {}, "upload-refused", ["str", "floats"]),
    "empty-width": (npz(embedding=Z[:, :0], label=LABELS), "a.npz", {}, "upload-refused", ["no numbers"]),
    "too-wide": (
        npz(embedding=np.zeros((2, 16_385)), label=LABELS[:2]), "a.npz", {}, "upload-too-large", ["16385", "16384"],
    ),
    "too-many-rows": (
        npz(embedding=Z, label=LABELS), "a.npz", {"limits": Limits(rows=11)}, "upload-too-large", ["12 rows", "11"],
    ),
    "too-many-numbers": (
        npz(embedding=Z, label=LABELS), "a.npz", {"limits": Limits(numbers=35)}, "upload-too-large", ["36", "35"],
    ),
    "parquet-numbers": (
        parquet(embedding=LISTS, label=WORDS), "a.parquet", {"limits": Limits(numbers=35)}, "upload-too-large", ["35"],
    ),
    "json-numbers": (
        lines(embedding=LISTS, label=WORDS), "a.jsonl", {"limits": Limits(numbers=35)}, "upload-too-large",
        ["36", "35"],
    ),
    "no-rows": (npz(embedding=Z[:0], label=LABELS[:0]), "a.npz", {}, "upload-refused", ["no rows"]),
    "one-row": (npz(embedding=Z[:1], label=LABELS[:1]), "a.npz", {}, "upload-refused", ["1 row has"]),
    "constant": (npz(embedding=Z, label=LABELS[:1].repeat(12)), "a.npz", {}, "upload-refused", ["All 12 rows"]),
    "unique": (
        npz(embedding=np.zeros((30, 2)), label=np.arange(30).astype("U") + np.array(["k"])), "a.npz", {},
        "upload-refused",
        ["identifier"],
    ),
    "cut": (npy(Z)[:-1], "a.npy", {}, "upload-unreadable", ["promises 144 bytes", "has 143"]),
    "more": (npy(Z) + npy(LABELS), "a.npy", {}, "upload-unreadable", ["more bytes", "np.savez"]),
    "huge-shape": (
        header("(1000000, 1000000)") + bytes(64), "a.npy", {}, "upload-unreadable", ["promises 4000000000000 bytes"],
    ),
    "negative-shape": (header("(-1, 4)") + bytes(64), "a.npy", {}, "upload-unreadable", ["damaged"]),
    "odd-shape": (header("[1, 4]") + bytes(16), "a.npy", {}, "upload-unreadable", ["damaged"]),
    "empty-elements": (header("(10**9,)", "'<U0'"), "a.npy", {}, "upload-unreadable", ["damaged"]),
    "many-empty-elements": (header("(1000000000, 2)", "'<U0'"), "a.npy", {}, "upload-too-large", ["1000000000 rows"]),
    "code-in-header": (header("__import__('os').abort()"), "a.npy", {}, "upload-unreadable", ["damaged"]),
    "deep-header": (
        b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000, "a.npy", {}, "upload-unreadable",
        ["damaged"],
    ),
    "long-header": (
        b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b"x", "a.npy", {}, "upload-too-large",
        ["2147483648 bytes", "10000"],
    ),
    "only-magic": (b"\x93NUMPY", "a.npy", {}, "upload-unreadable", ["damaged"]),
    "future-version": (b"\x93NUMPY\x09\x00" + bytes(99), "a.npy", {}, "upload-unreadable", ["damaged"]),
    "bomb": (bomb(), "a.npz", {"limits": Limits(bytes=1_000_000)}, "upload-too-large", ["inflates to 80", "1000000"]),
    "many-members": (
        zipped(**{f"a{at}": npy(Z) for at in range(65)}), "a.npz", {}, "upload-too-large", ["65 files", "64"],
    ),
    "long-directory": (
        zipped(**{"a": npy(Z), **{f"{at:0250}": b"" for at in range(300)}}), "a.npz", {}, "upload-too-large",
        ["table of contents", "65536"],
    ),
    "cut-npz": (npz(embedding=Z, label=LABELS)[:-30], "a.npz", {}, "upload-unreadable", ["damaged"]),
    "csv": ("embedding,label\n1,a\n", "a.csv", VECTOR, "upload-refused", ["delimited text", ".npz"]),
    "no-vectors": (parquet(a=[1, 2], label=["x", "y"]), "a.parquet", VECTOR, "upload-refused", ["No column", "'a'"]),
    "two-vectors": (
        parquet(a=LISTS, b=LISTS, label=WORDS), "a.parquet", VECTOR, "upload-refused", ["'a', 'b'", "'embedding'"],
    ),
    "parquet-unlabelled": (parquet(embedding=LISTS), "a.parquet", {}, "upload-refused", ["No label column"]),
    "json-unlabelled": (
        lines(embedding=LISTS, a=WORDS, b=WORDS), "a.jsonl", {}, "upload-refused", ["No label column", "'a', 'b'"],
    ),
    "a-target": (npz(embedding=Z, label=LABELS), "a.npz", {"target": "y"}, "format-unsupported", ["NumPy", "vectors"]),
    "a-text": (npz(embedding=Z, label=LABELS), "a.npz", {"text": "x"}, "upload-refused", ["'text'", "vectors"]),
    "nan-rows": (
        npz(embedding=np.where(np.arange(36).reshape(12, 3) < 6, np.nan, Z), label=LABELS), "a.npz", {},
        "upload-refused",
        ["2 of 12", "row 1", "NaN at position 0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_what_was_seen_and_the_remedy(name: str, upload):
    data, filename, said, code, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        upload(data, filename, **said)
    assert caught.value.code == code, caught.value.message
    assert [word for word in words if word not in caught.value.message] == [], caught.value.message


def labelled(z: list[object]) -> dict[str, list[object]]:
    """As many good rows as make the odd ones few."""
    return {"embedding": [[1.0, float(at)] for at in range(30)] + z, "label": ["x", "y"] * 15 + ["x"] * len(z)}


ODD = {
    "short": ([3.0], "the embedding has 1 numbers, and most have 2"),
    "long": ([1.0, 2.0, 3.0], "the embedding has 3 numbers, and most have 2"),
    "empty": ([], "the embedding has 0 numbers, and most have 2"),
    "missing": (None, "the embedding is missing"),
    "so large that its square is none": (
        [-2e15, 1.0],
        "the embedding holds -2e+15, which is beyond 1e+15, at position 0",
    ),
    "too large": ([1.0, 1e300], "the embedding holds an infinity, or a number too large for float32, at position 1"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("filename", ["a.jsonl", "a.parquet"])
def test_odd_vectors_are_bad_rows_that_say_why(upload, filename: str, name: str):
    cell, reason = ODD[name]
    columns = labelled([cell])
    items = upload(lines(**columns) if filename == "a.jsonl" else parquet(**columns), filename)
    assert items.bad == (Problem(reason, row=31),)
    assert items.vectors.shape == (30, 2)
    assert items.rows == tuple(range(1, 31))


@pytest.mark.parametrize("cell", ["text", 3, {"a": 1}, [1, "2"], [True, False], [None, 1], [10**400, 1], [[1], [2]]])
def test_what_is_no_list_of_numbers_is_a_bad_row(upload, cell: object):
    items = upload(lines(**labelled([cell])), "a.jsonl")
    assert [problem.row for problem in items.bad] == [31]


def test_a_row_may_have_two_faults_and_problems_go_by_row(upload):
    columns = labelled([None, [1.0, 2.0]])
    columns["label"][-2:] = ["", ""]
    items = upload(lines(**columns) + "nonsense\n", "a.jsonl")
    assert [problem.row for problem in items.bad] == [31, 32, 33]
    assert items.bad[0].detail == "the embedding is missing; the label is blank"


def test_nan_and_infinite_rows_of_numpy_are_listed(upload):
    z = np.ones((40, 4))
    z[3, 2], z[7, 0] = np.nan, -np.inf
    items = upload(npz(embedding=z, label=np.arange(40) % 2), "a.npz")
    assert [problem.row for problem in items.bad] == [4, 8]
    assert items.vectors.shape == (38, 4)
    assert items.labels[:4] == ("0", "1", "0", "0")


def test_float16_that_overflowed_is_infinite(upload):
    z = np.ones((40, 4), np.float16)
    z[0, 0] = np.inf
    assert [problem.row for problem in upload(npz(embedding=z, label=np.arange(40) % 2), "a.npz").bad] == [1]


def test_labels_of_every_type(upload):
    z = np.random.default_rng(0).normal(size=(24, 2))
    at = np.arange(24)
    assert upload(npz(embedding=z, label=at % 3), "a.npz").labels[:3] == ("0", "1", "2")
    assert upload(npz(embedding=z, label=at % 2 == 0), "a.npz").labels[:2] == ("true", "false")
    assert upload(npz(embedding=z, label=(at % 2).astype(np.float16)), "a.npz").labels[:2] == ("0", "1")
    assert upload(npz(embedding=z, label=(at % 2 + 0.5)), "a.npz").targets.tolist()[:2] == [0.5, 1.5]
    assert upload(npz(embedding=z, label=at), "a.npz").task == "regression"
    assert upload(npz(embedding=z, label=at % 3), "a.npz", task="regression").targets.tolist()[:3] == [0.0, 1.0, 2.0]
    bad = np.array([b"x", b"y"] * 11 + [b"caf\xe9", b"z\x00z"])
    assert [problem.row for problem in upload(npz(embedding=z, label=bad), "a.npz", strict=False).bad] == [23, 24]


def test_another_array_or_column_can_be_named(upload):
    items = upload(npz(embedding=Z, label=LABELS, colour=np.array(["red", "blue"] * 6)), "a.npz", label="Colour")
    assert (items.labels[:2], items.columns) == (("red", "blue"), {"embedding": "embedding", "label": "colour"})
    lists = upload(parquet(embedding=LISTS, label=WORDS, kind=["a", "b"] * 6), "a.parquet", label="kind")
    assert lists.labels[:2] == ("a", "b")


def test_a_text_beside_the_vectors_makes_it_a_file_of_texts(upload):
    both = {"text": [f"text {at}" for at in range(12)], "embedding": LISTS, "label": WORDS}
    for data, filename in ((parquet(**both), "a.parquet"), (lines(**both), "a.jsonl")):
        assert upload(data, filename).modality == "text"
        assert upload(data, filename, modality="vector").modality == "vector"


def test_zeros_are_allowed_and_duplicates_counted(upload):
    z = np.zeros((30, 2), np.float32)
    z[20:, 0] = np.arange(10) + 1
    z[5] = -0.0
    quality = upload(npz(embedding=z, label=np.array(["x", "y", "y"] * 10)), "a.npz").quality
    assert quality["duplicates"] == 18
    assert quality["conflicts"] == [{"rows": list(range(1, 21)), "labels": ["x", "y"]}]
    assert any("The same vector carries different labels" in note for note in quality["notes"])


def test_damaged_members_are_found_by_their_checksum(upload):
    data = bytearray(npz(embedding=np.zeros((100, 8)), label=np.arange(100) % 2))
    data[400] ^= 1
    with pytest.raises(InputError, match="BadZipFile"):
        upload(bytes(data), "a.npz")


@pytest.mark.parametrize("first", [0x110000, 0xFFFFFFFF])
def test_labels_of_what_is_no_character(upload, first: int):
    labels = np.frombuffer(np.array([first, *range(97, 108)], dtype="<u4").tobytes(), dtype="<U1")
    sink = io.BytesIO()
    np.savez(sink, embedding=np.zeros((12, 2)), label=labels)
    with pytest.raises(UploadUnreadable, match="'label' hold something that is not a character"):
        upload(sink.getvalue(), "a.npz")
