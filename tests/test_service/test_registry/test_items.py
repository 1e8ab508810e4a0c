"""What is packed of an upload comes back, and its facts are JSON."""

import io
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.columns import Column, Kind, Rows
from models.errors import Problem
from service.registry.items import GROUP_BYTES, MEDIA, facts_of, pack, pack_items, unpack
from service.uploads.items import Items
from service.uploads.quality import assess, assess_values

LABELS = ("x", "y|z", "x", "ü")
TARGETS = np.array([0.1, -2.0, 1e300, 5.0])
SCHEMA = (
    Column("label", Kind.NUMBER, 1.0, 2.0, examples=(1, 2)),
    Column("row", Kind.CATEGORY, categories=("a", "b"), missing=1, examples=("a",)),
    Column("when", Kind.DATE, "2024-01-01", "2024-01-02"),
    Column("target", Kind.CATEGORY, categories=("ü",)),
)
ROWS = Rows(
    np.array([[1.0, np.nan], [0.1 + 0.2, 19723.25], [-0.0, 0.0], [1e308, 5e-324]]),
    np.array([["a", "ü"], ["", "ü"], ["b", "a\nb"], ["a", ""]], dtype=object),
)
Z = np.array([[1.5, np.pi], [0.0, -0.0], [1e-45, 3e38], [1, 2]], np.float32)
FILES = (b"\x89PNG", b"", b"\x89PNG", bytes(range(256)))


def items(modality: str, *, regression: bool = False) -> Items:
    keys = [bytes([at]) for at in range(4)]
    counts = {label: LABELS.count(label) for label in LABELS}
    if regression:
        quality = assess_values(keys, TARGETS.tolist(), bad_count=1, notes=["Said."])
    else:
        quality = assess(keys, LABELS, (1, 2, 5, 7), counts, bad_count=1, notes=["Said."])
    return Items(
        modality=modality,
        task="regression" if regression else "classification",
        rows=(1, 2, 5, 7),
        bad=(Problem("the label is blank", row=3),),
        bad_count=1,
        format="csv",
        columns={"target": "y"},
        quality=quality,
        labels=() if regression else LABELS,
        targets=TARGETS if regression else None,
        texts=("a\nb", "b", "ünï 🎉", "  ") if modality == "text" else (),
        vectors=Z if modality == "vector" else None,
        table=ROWS if modality == "table" else None,
        schema=SCHEMA if modality == "table" else (),
        files=FILES if modality in MEDIA else (),
        names=("a/1", "ü/2", "b/3", "b/4") if modality in MEDIA else (),
        media={"formats": {"png": 4}} if modality in MEDIA else None,
    )


CASES = [
    ("image", False),
    ("audio", True),
    ("text", False),
    ("text", True),
    ("vector", False),
    ("vector", True),
    ("table", False),
    ("table", True),
]


@pytest.mark.parametrize(("modality", "regression"), CASES)
def test_items_survive_packing(modality: str, regression: bool):
    given = items(modality, regression=regression)
    facts = json.loads(json.dumps(facts_of(given, 10), allow_nan=False))
    found = unpack(pack(given), facts)
    assert found.n == given.n == 4
    assert tuple(found.labels) == given.labels
    assert tuple(found.texts) == given.texts
    assert tuple(found.files) == given.files
    assert facts.get("media") == given.media
    assert (found.targets is None) == (given.targets is None)
    if regression:
        assert found.targets.tolist() == TARGETS.tolist()
    if modality == "vector":
        assert found.vectors.tobytes() == Z.tobytes()
        assert found.vectors.flags.writeable
    if modality == "table":
        assert found.schema == SCHEMA
        assert found.table.numbers.tobytes() == ROWS.numbers.tobytes()
        assert found.table.categories.tolist() == ROWS.categories.tolist()


@pytest.mark.parametrize(("modality", "regression"), CASES)
def test_the_same_items_give_the_same_bytes(modality: str, regression: bool):
    assert pack(items(modality, regression=regression)) == pack(items(modality, regression=regression))


def test_texts_are_packed_as_ever():
    data = pack_items(["a", "b"], ["x", "y"], [1, 2])
    assert pack(items("text")) == pack_items(items("text").texts, LABELS, (1, 2, 5, 7))
    found = unpack(data, {"modality": "text", "items": 2})
    assert (found.texts, found.labels) == (["a", "b"], ["x", "y"])
    assert (found.label_sets, found.groups, found.weights) == (None, None, None)


@pytest.mark.parametrize("modality", ["text", "image", "vector", "table"])
def test_several_labels_groups_and_weights_survive_packing(modality: str):
    given = replace(
        items(modality),
        task="multilabel",
        labels=(),
        label_sets=(("x", "y|z"), (), ("ü",), ("x",)),
        groups=("a", "a", "row 5", "b"),
        weights=np.array([0.0, 1.0, 2.5, 1e-9]),
        columns={"label": "y", "group": "who", "weight": "much"},
    )
    facts = json.loads(json.dumps(facts_of(given, 10), allow_nan=False))
    assert (facts["task"], facts["columns"]) == ("multilabel", given.columns)
    found = unpack(pack(given), facts)
    assert (found.n, found.labels, found.targets) == (4, [], None)
    assert tuple(found.label_sets) == given.label_sets
    assert tuple(found.groups) == given.groups
    assert found.weights.tolist() == given.weights.tolist()
    assert tuple(found.texts) == given.texts
    assert tuple(found.files) == given.files


def test_numbers_are_learned_of_texts_too():
    given = replace(items("text", regression=True), weights=np.ones(4))
    found = unpack(pack(given), facts_of(given, 10))
    assert tuple(found.texts) == given.texts
    assert found.targets.tolist() == TARGETS.tolist()
    assert found.weights.tolist() == [1.0] * 4
    assert found.groups is None


def test_a_table_of_numbers_or_words_alone():
    for numbers, words, schema in ((ROWS.numbers, 0, SCHEMA[::2]), (np.zeros((4, 0)), 2, SCHEMA[1::2])):
        rows = Rows(numbers, ROWS.categories[:, :words])
        given = Items(**{**vars(items("table")), "table": rows, "schema": schema})
        found = unpack(pack(given), facts_of(given, 1)).table
        assert found.numbers.shape == rows.numbers.shape
        assert found.categories.tolist() == rows.categories.tolist()


def test_words_share_objects():
    given = Items(**{**vars(items("table")), "table": Rows(ROWS.numbers, np.array([["".join("ab")] * 2] * 4, object))})
    found = unpack(pack(given), facts_of(given, 1)).table
    assert len({id(word) for word in found.categories[:, 0]}) == 1


def test_vectors_of_another_width_than_the_facts_say_are_not_cut_anew():
    facts = facts_of(items("vector"), 1)
    with pytest.raises(ValueError, match="8 bytes"):
        unpack(pack(items("vector")), facts | {"width": 4})


def test_facts():
    facts = facts_of(items("table"), 123)
    assert (facts["modality"], facts["task"], facts["items"]) == ("table", "classification", 4)
    assert facts["classes"] == {"x": 2, "y|z": 1, "ü": 1}
    assert (facts["size_bytes"], facts["format"], facts["columns"]) == (123, "csv", {"target": "y"})
    assert facts["problems"] == [{"row": 3, "detail": "the label is blank"}]
    assert facts["quality"]["notes"][0] == "Said."
    assert not {"classes", "items"} & set(facts["quality"])
    assert [column["name"] for column in facts["schema"]] == ["label", "row", "when", "target"]
    assert not {"width", "target"} & set(facts)
    values = facts_of(items("vector", regression=True), 1)
    assert (values["width"], values["classes"]) == (2, {})
    assert values["target"] == {"low": -2.0, "high": 1e300, "mean": pytest.approx(2.5e299)}
    assert "schema" not in values


def test_files_are_written_in_groups_and_not_compressed():
    given = replace(items("image"), files=(*(bytes([at]) * GROUP_BYTES for at in range(3)), b"x"))
    packed = pack(given)
    assert 3 * GROUP_BYTES < len(packed) < 3 * GROUP_BYTES + 20_000
    assert pq.ParquetFile(io.BytesIO(packed)).num_row_groups == 4
    assert tuple(unpack(packed, facts_of(given, 1)).files) == given.files
