"""Groups and weights: in every format and modality, and what is wrong with them."""

import io
import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import UploadRefused
from service.uploads.items import Items

N = 12
LABELS = ["a", "b", "a"] * 4
GROUPS = ["ann", "bo", "ann", "", "cy", "bo"] * 2
WEIGHTS = [1.0, 0.5, 2.0, 0.0, 1e-3, 3.0] * 2
Z = np.arange(2.0 * N).reshape(-1, 2)
SAID = {"group": "who", "weight": "much"}
NAMED = {"ann", "bo", "cy", "row 4", "row 10"}


def csv(head: str, *columns: list[object]) -> str:
    return "\n".join([head, *(",".join(map(str, row)) for row in zip(*columns, strict=True))]) + "\n"


def lines(**columns: list[object]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)


def parquet(**columns: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def npz(**arrays: object) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


TEXTS = [f"text {at}" for at in range(N)]
SIZES = [at % 5 + 0.5 for at in range(N)]
BESIDE = {"who": GROUPS, "much": WEIGHTS}
FILES = {
    "text.csv": (csv("text,label,who,much", TEXTS, LABELS, GROUPS, WEIGHTS), {}),
    "by-content.csv": (csv("said,who,kind,much", TEXTS, GROUPS, LABELS, WEIGHTS), {}),
    "text.jsonl": (lines(text=TEXTS, label=LABELS, **BESIDE), {}),
    "text.parquet": (parquet(text=TEXTS, label=LABELS, **BESIDE), {}),
    "table.csv": (csv("size,target,who,much", SIZES, LABELS, GROUPS, WEIGHTS), {"target": "target"}),
    "table.jsonl": (lines(size=SIZES, target=LABELS, **BESIDE), {"target": "target"}),
    "table.parquet": (parquet(size=SIZES, target=LABELS, **BESIDE), {"target": "target"}),
    "vectors.jsonl": (lines(embedding=Z.tolist(), label=LABELS, **BESIDE), {}),
    "vectors.parquet": (parquet(embedding=Z.tolist(), label=LABELS, **BESIDE), {}),
    "vectors.npz": (npz(embedding=Z, label=LABELS, who=GROUPS, much=WEIGHTS), {}),
}


def check(items: Items) -> None:
    assert items.groups == tuple(name or f"row {at}" for at, name in enumerate(GROUPS, start=1))
    assert set(items.groups) == NAMED
    assert items.weights.tolist() == WEIGHTS
    assert {role: items.columns[role] for role in SAID} == SAID
    assert items.labels == tuple(LABELS)
    assert any(
        "The rows are of 5 groups in 'who', none of which is split across folds. 2 rows are without one" in note
        for note in items.notes
    )


@pytest.mark.parametrize("name", FILES)
def test_every_format(upload: Callable[..., Items], name: str):
    data, given = FILES[name]
    check(upload(data, name, **given, **SAID))


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.parquet"])
def test_they_are_no_features(upload, name: str):
    data, given = FILES[name]
    assert [column.name for column in upload(data, name, **given, **SAID).schema] == ["size"]


@pytest.mark.parametrize("name", ["text.csv", "vectors.parquet"])
def test_without_a_word_they_are_passed_over(upload, name: str):
    items = upload(FILES[name][0], name)
    assert (items.groups, items.weights) == (None, None)
    assert not {"group", "weight"} & set(items.columns)


@pytest.mark.parametrize("table", ["metadata.csv", "metadata.jsonl"])
def test_images_with_a_table(upload, zip_of, image, table: str):
    names = [f"{at}.png" for at in range(N)]
    rows = (
        lines(file_name=names, label=LABELS, **BESIDE)
        if table.endswith("jsonl")
        else csv("file_name,label,who,much", names, LABELS, GROUPS, WEIGHTS)
    )
    files = {name: image(at) for at, name in enumerate(names)}
    check(upload(zip_of({table: rows.encode(), **files}), "a.zip", **SAID))


def test_sounds_in_parquet(upload, sound):
    check(upload(parquet(audio=[sound(at) for at in range(N)], label=LABELS, **BESIDE), "a.parquet", **SAID))


def test_a_bad_weight_beside_a_bad_file_of_parquet(upload, image):
    weights = [*WEIGHTS, -1.0]
    data = parquet(image=[*map(image, range(N)), b"no image"], label=[*LABELS, "a"], much=weights)
    items = upload(data, "a.parquet", modality="image", weight="much")
    assert items.bad[0].row == 13
    assert items.bad[0].detail.endswith("; the weight is negative")
    assert items.weights.tolist() == WEIGHTS


@pytest.mark.parametrize("word", ["group", "weight"])
def test_folders_have_neither(upload, zip_of, image, word: str):
    with pytest.raises(UploadRefused, match=rf"'{word}' names the column 'who'.*no metadata\.csv"):
        upload(zip_of({"a/1.png": image(1), "b/2.png": image(2)}), "a.zip", **{word: "who"})


def test_arrays_are_known_by_their_names(upload):
    items = upload(npz(embedding=Z, label=LABELS, group=[1, 2] * 6, weight=WEIGHTS), "a.npz")
    assert items.groups == ("1", "2") * 6
    assert items.weights.tolist() == WEIGHTS
    assert items.notes[0] == "Groups and weights were taken from 'group', 'weight', by name."
    with pytest.raises(UploadRefused, match=r"the groups in 'group' have the shape \(3,\)"):
        upload(npz(embedding=Z, label=LABELS, group=[1, 2, 3]), "a.npz")
    with pytest.raises(UploadRefused, match="The weights in 'much' have the type complex128"):
        upload(npz(embedding=Z, label=LABELS, much=np.ones(N, complex)), "a.npz", weight="much")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("-1", "the weight is negative"),
        ("", "the weight is missing"),
        ("NaN", "the weight is missing"),
        ("inf", "the weight is not a finite number"),
        ("heavy", "the weight is not a number"),
        ("1e31", "the weight is larger than 1e+30"),
    ],
)
def test_a_bad_weight_is_a_bad_row(upload, cell: str, reason: str):
    rows = csv("text,label,much", [*TEXTS, "one more"], [*LABELS, "a"], [*WEIGHTS, cell])
    items = upload(rows, weight="much")
    assert [(problem.row, problem.detail) for problem in items.bad] == [(13, reason)]
    assert items.n == 12
    with pytest.raises(UploadRefused, match="strict=true"):
        upload(rows, weight="much", strict=True)


@pytest.mark.parametrize("weight", [None, True, [1.0], {"a": 1}])
def test_a_bad_weight_of_json(upload, weight: object):
    rows = lines(text=[*TEXTS, "one more"], label=[*LABELS, "a"], much=[*WEIGHTS, weight])
    assert upload(rows, "a.jsonl", weight="much").bad[0].detail.startswith("the weight is ")


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (["a"], "the group is a list; it must be a string or a number"),
        ({"a": 1}, "the group is an object; it must be a string or a number"),
        ("x" * 201, "the group has 201 characters; the limit is 200"),
        ("a\0", "the group holds a NUL or half a surrogate pair, which cannot be stored"),
    ],
)
def test_a_bad_group_is_a_bad_row(upload, group: object, reason: str):
    rows = lines(text=[*TEXTS, "one more"], label=[*LABELS, "a"], who=[*GROUPS, group])
    assert [problem.detail for problem in upload(rows, "a.jsonl", group="who").bad] == [reason]


def test_all_that_is_wrong_with_a_row_is_said(upload):
    rows = csv("text,label,much", [*TEXTS, " "], [*LABELS, ""], [*WEIGHTS, "x"])
    [problem] = upload(rows, weight="much").bad
    assert problem.detail == "the text is blank; the weight is not a number; the label is blank"


def test_groups_of_every_spelling(upload):
    groups = [1, 1.0, "1", " 1 ", True, "true", 1.5, "cafe\u0301", "café", None, "  ", "row 10"]
    found = upload(lines(text=TEXTS, label=LABELS, who=groups), "a.jsonl", group="who").groups
    assert found == ("1", "1", "1", "1", "true", "true", "1.5", "café", "café", "row 10'", "row 11", "row 10")


def test_weights_that_leave_nothing(upload):
    with pytest.raises(UploadRefused, match="All weights in 'much' are 0"):
        upload(csv("text,label,much", TEXTS, LABELS, [0] * N), weight="much")
    with pytest.raises(UploadRefused, match="All rows of the class 'b' have the weight 0 in 'much'"):
        upload(csv("text,label,much", TEXTS, LABELS, [1, 0, 1] * 4), weight="much")
    with pytest.raises(UploadRefused, match="All rows of the class 'b' have the weight 0 in 'much'"):
        upload(csv("text,label,much", TEXTS, ["a", "b|a", "c"] * 4, [1, 0, 1] * 4), weight="much", task="multilabel")
    with pytest.raises(UploadRefused, match="All weights in 'much' are 0"):
        upload(csv("x,target,much", SIZES, SIZES, [0] * N), target="target", task="regression", weight="much")


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (["one"] * N, "All rows are of one group in 'who'"),
        (list(range(N)), "Every row is a group of its own in 'who'"),
        ([""] * N, "Every row is a group of its own in 'who'"),
    ],
)
def test_groups_that_say_nothing_are_noted(upload, groups: list[object], words: str):
    items = upload(csv("text,label,who", TEXTS, LABELS, groups), group="who")
    assert any(words in note for note in items.notes)
    assert len(set(items.groups)) == (1 if groups[0] == "one" else N)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"group": "nobody"}, r"There is no group column 'nobody'; the columns are"),
        ({"weight": "label"}, r"No label column was found; .* 'label' is the weight\."),
        ({"group": "text"}, r"No text column was found; .* 'text' is the group\."),
        ({"group": "who", "weight": "who"}, "The group and the weight are the same column, 'who'"),
        ({"group": "who", "label": "who"}, "The label and the group are the same column, 'who'"),
        ({"group": "who", "text": "WHO"}, "The text and the group are the same column, 'who'"),
    ],
)
def test_two_roles_for_one_column_are_refused(upload, said: dict[str, str], words: str):
    with pytest.raises(UploadRefused, match=words):
        upload(FILES["text.csv"][0], **said)


def test_two_roles_of_a_table_and_of_vectors(upload):
    with pytest.raises(UploadRefused, match="The target and the group are the same column, 'target'"):
        upload(FILES["table.csv"][0], target="target", group="target")
    with pytest.raises(UploadRefused, match="'who' is the group, so it has no kind"):
        upload(FILES["table.csv"][0], target="target", group="who", columns={"who": "category"})
    with pytest.raises(UploadRefused, match="The embedding and the group are the same column, 'embedding'"):
        upload(FILES["vectors.npz"][0], "a.npz", group="embedding")
    with pytest.raises(UploadRefused, match="The label and the weight are the same column, 'much'"):
        upload(FILES["vectors.jsonl"][0], "a.jsonl", label="much", weight="much")


def test_decimal_commas(upload):
    weights = ["0,5", "1,25"] * 6
    text = csv("text;label;much", TEXTS, LABELS, WEIGHTS).splitlines()
    rows = [text[0], *(f"{a};{b};{c}" for a, b, c in zip(TEXTS, LABELS, weights, strict=True))]
    assert upload("\n".join(rows), weight="much").weights.tolist() == [0.5, 1.25] * 6
    rows = ["x;target;much", *(f"{a};{b};{c}" for a, b, c in zip(SIZES, LABELS, weights, strict=True))]
    assert upload("\n".join(rows), target="target", weight="much").weights.tolist() == [0.5, 1.25] * 6


def test_groups_and_weights_of_the_rows_that_are_left(upload):
    rows = csv("text,label,who,much", ["", *TEXTS], ["a", *LABELS], ["zoe", *GROUPS], [9, *WEIGHTS])
    items = upload(rows, **SAID)
    assert (items.rows[0], items.groups[0], items.weights[0]) == (2, "ann", 1.0)
    assert "zoe" not in items.groups
