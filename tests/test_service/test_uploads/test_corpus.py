"""Hostile and odd files, each made here: what is refused says what was seen, the limit and the remedy."""

import codecs
import gzip
import io
import json
import pickle
import sqlite3
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from models.errors import InputError
from service.uploads.limits import Limits

GOOD = "text,label\n" + "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(20))
LINES = "".join(json.dumps({"text": f"text number {i}", "label": "ab"[i % 2]}) + "\n" for i in range(20))


def parquet(columns: dict[str, object], **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, GOOD)
    return buffer.getvalue()


def feathered() -> bytes:
    buffer = io.BytesIO()
    feather.write_feather(pa.table({"text": ["a"]}), buffer)
    return buffer.getvalue()


def numpy_file() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def sqlite_file() -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table t (text, label)")
        data = connection.serialize()
    connection.close()
    return data


# name: (bytes or text, file name, options, error code, words of the message)
REFUSED: dict[str, tuple[bytes | str, str, dict[str, object], str, list[str]]] = {
    # not a table at all
    "png": (png(), "a.csv", {}, "format-unsupported", ["PNG image", "Send CSV"]),
    "jpeg": (b"\xff\xd8\xff\xe0" + b"\0" * 40, "a.csv", {}, "format-unsupported", ["JPEG"]),
    "gif": (b"GIF89a" + b"\0" * 40, "a.tsv", {}, "format-unsupported", ["GIF"]),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a.csv", {}, "format-unsupported", ["PDF"]),
    "zip": (archive("a.csv"), "a.csv", {}, "format-unsupported", ["zip archive"]),
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "a.csv", {}, "format-unsupported", ["Excel", "UTF-8"]),
    "old-xls": (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 99, "a.xls", {}, "format-unsupported", ["old Excel"]),
    "gzip": (gzip.compress(GOOD.encode()), "a.csv.gz", {}, "format-unsupported", ["gzip"]),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "a.csv", {}, "format-unsupported", ["sound"]),
    "feather": (feathered(), "a.parquet", {}, "format-unsupported", ["Arrow"]),
    "numpy": (numpy_file(), "a.csv", {}, "format-unsupported", ["NumPy"]),
    "sqlite": (sqlite_file(), "a.csv", {}, "format-unsupported", ["SQLite"]),
    "html": ("<!DOCTYPE html><html>log in</html>", "a.csv", {}, "format-unsupported", ["web page"]),
    "xml": ("<?xml version='1.0'?><a/>", "a.jsonl", {}, "format-unsupported", ["XML"]),
    "pickle": (pickle.dumps([GOOD]), "a.csv", {}, "format-unsupported", ["Python pickle", "never loaded"]),
    # empty
    "empty": (b"", "a.csv", {}, "upload-unreadable", ["empty", "0 bytes", "Send"]),
    "only-bom": (codecs.BOM_UTF8, "a.csv", {}, "upload-refused", ["no rows"]),
    "only-blanks": ("\n\r\n\n", "a.csv", {}, "upload-refused", ["no rows"]),
    "header-only": ("text,label\n", "a.csv", {}, "upload-refused", ["no rows", "two classes"]),
    "blank-jsonl": ("\n\n", "a.jsonl", {}, "upload-refused", ["no rows", "one object a line"]),
    "empty-list": ("[]", "a.json", {}, "upload-refused", ["no rows"]),
    # encoding
    "utf16-bom": (GOOD.encode("utf-16"), "a.csv", {}, "upload-unreadable", ["UTF-16", "0xFF 0xFE", "Excel"]),
    "utf16-plain": (GOOD.encode("utf-16-le"), "a.csv", {}, "upload-unreadable", ["UTF-16", "UTF-8"]),
    "utf32": (GOOD.encode("utf-32"), "a.csv", {}, "upload-unreadable", ["UTF-32"]),
    "latin-1": ((GOOD + "très,a\n").encode("latin-1"), "a.csv", {}, "upload-unreadable", ["line 22", "0xE8", "UTF-8"]),
    "cut-utf8": (GOOD.encode() + "é".encode()[:1], "a.csv", {}, "upload-unreadable", ["line 22", "0xC3"]),
    "nul": ("text,label\na\0b,c\n", "a.csv", {}, "upload-unreadable", ["NUL", "byte 12", "line 2"]),
    # quoting and shape
    "unclosed": (GOOD + '"never closed,a\n', "a.csv", {}, "upload-unreadable", ["Row 21", "not closed", "double"]),
    "swallowed": (
        'text,label\n"one,a\ntwo,b\n"three",a\nfour,b\n',
        "a.csv",
        {},
        "upload-unreadable",
        ["Row 1", "quote"],
    ),
    "unclosed-header": ('"text,label\na,b\n', "a.csv", {}, "upload-unreadable", ["header", "not closed"]),
    "bad-header-quote": ('"text"x,label\na,b\n', "a.csv", {}, "upload-unreadable", ["header", "closing quote"]),
    "ragged": ("text,label\na,b,c\na,b\nc,d\n", "a.csv", {}, "upload-refused", ["row 1", "3 fields", "10%", "33%"]),
    "wide": (",".join(f"c{i}" for i in range(100_000)) + "\n1\n", "a.csv", {}, "upload-too-large", ["100000", "1000"]),
    "wider": ("," * 3_000_000 + "\n1\n", "a.csv", {}, "upload-too-large", ["columns", "1000"]),
    "wide-jsonl": (
        json.dumps({f"c{i}": 1 for i in range(2000)}) + "\n",
        "a.jsonl",
        {},
        "upload-too-large",
        ["2000 fields", "1000"],
    ),
    "wide-parquet": (
        parquet({f"c{i}": [1] for i in range(1500)}),
        "a.parquet",
        {},
        "upload-too-large",
        ["1500 columns", "1000"],
    ),
    "one-long-line": ("x" * 3_000_000, "a.csv", {}, "upload-too-large", ["header", "1000000"]),
    "long-row": (GOOD + "x" * 3_000_000 + ",a\n", "a.csv", {}, "upload-too-large", ["Row 21", "1000000"]),
    "many-quoted-lines": ("text,label\n" + '"\n",' * 400_000, "a.csv", {}, "upload-unreadable", ["Row 1", "1000000"]),
    "too-many-rows": (GOOD, "a.csv", {"limits": Limits(rows=19)}, "upload-too-large", ["more than 19 rows"]),
    "too-many-blanks": ("\n" * 200_000, "a.csv", {}, "upload-too-large", ["100000 rows"]),
    "too-many-lines": (LINES, "a.jsonl", {"limits": Limits(rows=19)}, "upload-too-large", ["more than 19 rows"]),
    "too-many-bytes": (GOOD, "a.csv", {"limits": Limits(bytes=50)}, "upload-too-large", ["bytes", "50"]),
    "too-many-classes": (
        GOOD,
        "a.csv",
        {"text": "label", "label": "text", "limits": Limits(classes=10)},
        "upload-too-large",
        ["10 different labels", "right one"],
    ),
    # columns
    "no-label": ("text,when\na,1\nb,2\n,\n", "a.csv", {"text": "text", "label": "label"}, "upload-refused", ["'when'"]),
    "misspelt": (GOOD, "a.csv", {"label": "lable"}, "upload-refused", ["'lable'", "Did you mean 'label'"]),
    "no-names": ("a,b,c\n1,2,3\n", "a.csv", {}, "upload-refused", ["'a', 'b', 'c'", "text=<column>"]),
    "same-column": (GOOD, "a.csv", {"text": "text", "label": "text"}, "upload-refused", ["same column"]),
    "twice": ("text,label,label\na,b,c\n", "a.csv", {}, "upload-refused", ["More than one", "'label'"]),
    "no-header": (
        "my parcel is late,late\nwhere is it now,late\ni want a refund,refund\nmoney back,refund\n",
        "a.csv",
        {},
        "upload-refused",
        ["no header", "text,label"],
    ),
    # rows
    "one-class": ("text,label\na,x\nb,x\n", "a.csv", {}, "upload-refused", ["All 2 rows", "'x'", "two classes"]),
    "blank-texts": ("text,label\n ,a\n\u200b,b\nok,a\n", "a.csv", {}, "upload-refused", ["2 of 3", "row 1", "blank"]),
    "class-vanishes": (GOOD + ",c\n", "a.csv", {}, "upload-refused", ["class 'c'", "row 21", "blank"]),
    "strict": (GOOD + ",a\n", "a.csv", {"strict": True}, "upload-refused", ["1 of 21", "strict", "row 21"]),
    "long-text": (GOOD + "x" * 20_001 + ",c\n", "a.csv", {}, "upload-refused", ["row 21", "20001", "20000"]),
    "long-label": (GOOD + "x," + "y" * 201 + "\n", "a.csv", {"strict": True}, "upload-refused", ["201", "200"]),
    # JSON
    "json-nan": (
        LINES + '{"text": NaN, "label": "a"}',
        "a.jsonl",
        {"strict": True},
        "upload-refused",
        ["row 21", "NaN"],
    ),
    "json-infinity": ('[{"text": -Infinity}]', "a.json", {}, "upload-unreadable", ["element 1", "-Infinity"]),
    "json-deep": (
        LINES + "[" * 200_000,
        "a.jsonl",
        {"strict": True},
        "upload-refused",
        ["row 21", "nested too deeply"],
    ),
    "json-deep-list": ("[" * 200_000, "a.json", {}, "upload-unreadable", ["element 1", "nested too deeply"]),
    "json-cut": (LINES + '{"text": "x', "a.jsonl", {"strict": True}, "upload-refused", ["row 21", "not valid JSON"]),
    "json-list-cut": ('[{"text": "x", "label": "a"}, {"te', "a.json", {}, "upload-unreadable", ["element 2"]),
    "json-list-tail": ('[{"text": "x", "label": "a"}] x', "a.json", {}, "upload-unreadable", ["follows the end"]),
    "json-list-comma": ('[{"text": "x"} {"text": "y"}]', "a.json", {}, "upload-unreadable", ["element 1", "comma"]),
    "json-pretty": ('{\n "data": [\n {"text": "x"}]}', "a.json", {}, "upload-refused", ["one object a line"]),
    "json-numbers": ("1\n2\n3\n", "a.jsonl", {}, "upload-refused", ["first 3 lines", "object"]),
    "json-nested": (LINES + '{"text": ["x"], "label": "c"}', "a.jsonl", {}, "upload-refused", ["row 21", "a list"]),
    "json-surrogate": (
        LINES + r'{"text": "\ud800", "label": "c"}',
        "a.jsonl",
        {},
        "upload-refused",
        ["row 21", "surrogate"],
    ),
    "json-digits": (LINES + '{"text": ' + "9" * 5000 + "}", "a.jsonl", {"strict": True}, "upload-refused", ["digits"]),
    "json-long-line": (
        LINES + '"' + "x" * 2_100_000,
        "a.jsonl",
        {"strict": True},
        "upload-refused",
        ["row 21", "1000000"],
    ),
    # Parquet
    "parquet-named": (GOOD, "a.parquet", {}, "upload-unreadable", ["PAR1"]),
    "parquet-cut": (parquet({"text": ["a"]})[:-9], "a.parquet", {}, "upload-unreadable", ["breaks off"]),
    "parquet-garbage": (b"PAR1" + b"\xff" * 99 + b"PAR1", "a.parquet", {}, "upload-unreadable", ["damaged"]),
    "parquet-rows": (
        parquet({"text": ["a"] * 30, "label": ["b"] * 30}),
        "a.parquet",
        {"limits": Limits(rows=29)},
        "upload-too-large",
        ["30 rows", "29"],
    ),
    "parquet-nested": (
        parquet({"text": [["a"], ["b"]], "label": ["a", "b"]}),
        "a.parquet",
        {},
        "upload-refused",
        ["row 1", "the text is a list"],
    ),
    "parquet-binary": (
        parquet({"text": [b"a", b"b"], "label": ["a", "b"]}),
        "a.parquet",
        {},
        "upload-refused",
        ["'text'", "binary"],
    ),
    "parquet-numbers": (
        parquet({"text": [1.5, 2.5], "label": ["a", "b"]}),
        "a.parquet",
        {},
        "upload-refused",
        ["row 1", "a string"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_what_was_seen_and_the_remedy(name: str, read):
    data, filename, options, code, words = REFUSED[name]
    with pytest.raises(InputError) as caught:
        read(data, filename, **options)
    assert caught.value.code == code, caught.value.message
    assert [word for word in words if word not in caught.value.message] == [], caught.value.message
    assert len(caught.value.message) < 1000


# name: (bytes or text, file name, options, texts, labels)
TAKEN: dict[str, tuple[bytes | str, str, dict[str, object], list[str], list[str]]] = {
    "bom": (codecs.BOM_UTF8 + b"text,label\na,x\nb,y\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "crlf": ("text,label\r\na,x\r\nb,y\r\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "cr": ("text,label\ra,x\rb,y", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "quoted-line-end": ('text,label\n"a\r\nb, ""c""",x\nd,y\n', "a.csv", {}, ['a\r\nb, "c"', "d"], ["x", "y"]),
    "semicolon": ("text;label\na,b;x\nc;y\n", "a.csv", {}, ["a,b", "c"], ["x", "y"]),
    "tab-called-csv": ("text\tlabel\na\tx\nb\ty\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "tsv": ("text\tlabel\na,b\tx\nb\ty\n", "a.tsv", {}, ["a,b", "b"], ["x", "y"]),
    "txt-with-tabs": ("text\tlabel\na\tx\nb\ty\n", "a.txt", {}, ["a", "b"], ["x", "y"]),
    "upper-case": (" Text ,LABEL\na,x\nb,y\n", "A.CSV", {}, ["a", "b"], ["x", "y"]),
    "label-first": ("intent,utterance,id\nx,a,1\ny,b,2\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "named": ("one,two,three\n1,a,x\n2,b,y\n", "a.csv", {"text": "two", "label": "Three"}, ["a", "b"], ["x", "y"]),
    "one-name-known": ("text,kind\na,x\nb,y\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "by-content": (
        "c1,c2\nx,a long text\ny,another text\nx,and one more\n", "a.csv", {},
        ["a long text", "another text", "and one more"], ["x", "y", "x"],
    ),
    "spaces-kept": ("text,label\n  a , x \nb,y\n", "a.csv", {}, ["  a ", "b"], ["x", "y"]),
    "nfc": ("text,label\na,caf\u0065\u0301\nb,caf\u00e9\nc,y\n", "a.csv", {}, ["a", "b", "c"], ["café", "café", "y"]),
    "blank-lines": ("\n\ntext,label\n\na,x\n\nb,y\n\n", "a.csv", {}, ["a", "b"], ["x", "y"]),
    "formula": ("text,label\n=1+1,x\n@b,y\n", "a.csv", {}, ["=1+1", "@b"], ["x", "y"]),
    "jsonl-ids": ('{"text": "a", "label": 1}\n{"text": "b", "label": true}', "a.jsonl", {}, ["a", "b"], ["1", "true"]),
    "json-list": ('[{"text": "a", "label": "x"},\n {"text": "b", "label": "y"}]', "a.json", {}, ["a", "b"], ["x", "y"]),
    "json-extra-nested": (
        '{"text": "a", "label": "x", "m": {"k": [1]}}\n{"text": "b", "label": "y"}\n', "a.jsonl", {},
        ["a", "b"], ["x", "y"],
    ),
    "parquet": (parquet({"text": ["a", "b"], "label": ["x", "y"]}), "a.parquet", {}, ["a", "b"], ["x", "y"]),
    "parquet-misnamed": (parquet({"text": ["a", "b"], "label": ["x", "y"]}), "a.csv", {}, ["a", "b"], ["x", "y"]),
    "parquet-dictionary": (
        parquet({"text": pa.array(list("aba")).dictionary_encode(), "label": pa.array(list("xyx"))}),
        "a.parquet", {}, ["a", "b", "a"], ["x", "y", "x"],
    ),
    "parquet-ids": (parquet({"text": ["a", "b"], "label": [1.0, 2.0]}), "a.parquet", {}, ["a", "b"], ["1", "2"]),
    "parquet-other-nested": (
        parquet({"text": ["a", "b"], "label": ["x", "y"], "m": [[1], [2]]}), "a.parquet", {}, ["a", "b"], ["x", "y"]
    ),
    "pipe-in-csv": ("text,label\na|b,x\nc,y\n", "a.csv", {}, ["a|b", "c"], ["x", "y"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_is_taken(name: str, read):
    data, filename, options, texts, labels = TAKEN[name]
    items = read(data, filename, **options)
    assert (list(items.texts), list(items.labels)) == (texts, labels)
    assert items.bad_count == 0
