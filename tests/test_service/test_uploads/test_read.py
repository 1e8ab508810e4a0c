import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import UploadRefused
from service.uploads import parquet, read

TEXTS = "text,label\n" + "".join(f"text number {at},{'ab'[at % 2]}\n" for at in range(12))
TABLE = "size,price\n" + "".join(f"{at % 5},{at % 2}\n" for at in range(12))
LISTS = [[float(at), 1.0] for at in range(12)]


def parquet_of(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, embedding=LISTS, label=["a", "b"] * 6)
    return buffer.getvalue()


GUESSES = {
    "texts": (TEXTS, "a.csv", {}, "text"),
    "texts-in-parquet": (parquet_of(text=["a", "b"], label=["x", "y"]), "a.parquet", {}, "text"),
    "a target": (TABLE, "a.csv", {"target": "price"}, "table"),
    "kinds of columns": (TABLE.replace("price", "y"), "a.csv", {"columns": {"size": "number"}}, "table"),
    "table-in-parquet": (parquet_of(a=[1, 2, 3], b=["x", "y", "x"]), "a.parquet", {"target": "b"}, "table"),
    "npz": (npz(), "a.bin", {}, "vector"),
    "lists": (parquet_of(v=LISTS, label=["a", "b"] * 6), "a.parquet", {}, "vector"),
    "lists and texts": (parquet_of(v=LISTS, text=list("abcdefghijkl"), label=["a", "b"] * 6), "a.parquet", {}, "text"),
    "two lists": (
        parquet_of(v=LISTS, w=LISTS, message=list("abcdefghijkl"), y=["a", "b"] * 6), "a.parquet", {}, "text",
    ),
    "lists, named text": (
        parquet_of(v=LISTS, t=list("abcdefghijkl"), y=["a", "b"] * 6), "a.parquet", {"text": "t"}, "text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GUESSES)
def test_the_modality_is_guessed(upload, name: str):
    data, filename, said, modality = GUESSES[name]
    items = upload(data, filename, **said)
    assert (items.modality, items.n) == (modality, len(items.rows))
    assert items.n == len(items.labels)


@pytest.mark.parametrize("filename", ["a.csv", "a.parquet"])
def test_where_no_text_is_found_the_message_says_how_to_say_table(upload, filename: str):
    table = parquet_of(size=[1.0, 2.0], price=[1, 2], weight=[1, 2])
    data = "size,price,weight\n1,2,3\n" if filename == "a.csv" else table
    with pytest.raises(UploadRefused, match=r'No text column .*: "modality": "table", "target": "<column>"'):
        upload(data, filename)
    with pytest.raises(UploadRefused, match="No text column") as caught:
        upload(data, filename, modality="text")
    assert "table" not in caught.value.message


def test_two_columns_of_numbers_are_no_texts(upload):
    with pytest.raises(UploadRefused, match='"modality": "table"'):
        upload("x,y\n1.5,1\n2.5,2\n")
    with pytest.raises(UploadRefused, match='"modality": "table"'):
        upload("size,price\n1500000,1\n2500000,2\n3500000,1\n")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"modality": "text", "target": "label", "label": "label"}, "'label'"),
        ({"modality": "text", "columns": {"text": "category"}}, "'columns'"),
        ({"modality": "table", "target": "label", "text": "text"}, "'text'"),
        ({"modality": "table", "target": "label", "label": "label"}, "'label'"),
        ({"modality": "vector", "text": "text"}, "'text'"),
        ({"task": "regression"}, "the target is not a number"),
    ],
)
def test_words_that_mean_nothing_are_refused(upload, said: dict[str, object], words: str):
    with pytest.raises(UploadRefused, match=words):
        upload(TEXTS, **said)


def test_words_are_judged_once_the_modality_of_parquet_is_known(upload):
    with pytest.raises(UploadRefused, match="'label' was given, which means nothing for texts"):
        upload(parquet_of(text=["a", "b"], label=["x", "y"]), "a.parquet", label="label", target="label", text="text")


def test_a_label_may_name_the_target_of_a_table(upload):
    assert upload(TABLE, modality="table", label="price").columns == {"target": "price"}


@pytest.mark.parametrize("said", [{"target": "b"}, {"modality": "vector"}, {}])
def test_a_strangers_parquet_is_never_opened_in_this_process(upload, monkeypatch: pytest.MonkeyPatch, said):
    monkeypatch.setattr(parquet, "opened", lambda *_: pytest.fail("opened here"))
    monkeypatch.setattr(read, "read_text_here", lambda *_, **__: pytest.fail("read here"))
    data = parquet_of(text=list("abac"), v=[[1.0], [2.0]] * 2, b=["x", "y"] * 2, label=["x", "y"] * 2)
    assert upload(data, "a.parquet", **said).n == 4


def test_a_table_of_json_is_searched_for_columns_as_a_whole(upload):
    rows = [{"a": at % 7, "y": "xy"[at % 2]} | ({"late": at % 2} if at >= 100 else {}) for at in range(140)]
    items = upload("\n".join(map(json.dumps, rows)), "a.jsonl", target="y")
    assert [column.name for column in items.schema] == ["a", "late"]
