import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.sniff import sniff


@pytest.mark.parametrize(
    ("filename", "head", "expected"),
    [
        ("a.csv", "text,label\n", "csv"),
        ("A.CSV", "text,label\n", "csv"),
        ("a.tsv", "text\tlabel\n", "tsv"),
        ("a.tab", "text\tlabel\n", "tsv"),
        ("a.jsonl", '{"text": 1}\n', "jsonl"),
        ("a.ndjson", '\ufeff {"text": 1}\n', "jsonl"),
        ("a.json", '{"text": 1}\n', "jsonl"),
        ("a.json", ' [{"text": 1}]', "json"),
        ("upload", '{"text": 1}\n', "jsonl"),
        ("upload", '[{"text": 1}]', "json"),
        ("upload", "text\tlabel\n", "tsv"),
        ("upload.txt", "text,label\na\tb,c\n", "csv"),
        ("a.csv", '{"text": 1},label\n', "csv"),
        ("PAR1.csv", "PAR1,label\n", "csv"),
        (r"C:\data\a.tsv", "text\n", "tsv"),
    ],
)
def test_text_formats_by_name_then_by_content(tmp_path: Path, filename: str, head: str, expected: str):
    path = tmp_path / "upload"
    path.write_text(head, encoding="utf-8")
    assert sniff(path, filename, Limits()) == expected


def test_parquet_by_its_bytes_whatever_the_name(tmp_path: Path):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), buffer)
    (tmp_path / "upload").write_bytes(buffer.getvalue())
    assert sniff(tmp_path / "upload", "a.csv", Limits()) == "parquet"


def test_a_text_called_parquet_is_not_parquet(tmp_path: Path):
    (tmp_path / "upload").write_text("text,label\n")
    with pytest.raises(UploadUnreadable, match="PAR1"):
        sniff(tmp_path / "upload", "a.parquet", Limits())
