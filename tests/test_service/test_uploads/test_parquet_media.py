"""Parquet with the bytes of images or sounds, as data frames and Hugging Face's datasets write it."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import UploadRefused, UploadTooLarge
from service.uploads.limits import Limits
from service.uploads.parquet import opened, rows_at_once

LABELS = ["cat", "dog"] * 10


@pytest.fixture
def images(image):
    return [image(at) for at in range(20)]


def parquet(table, **options):
    sink = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink, **options)
    return sink.getvalue()


def _structs(images):
    return [{"bytes": data, "path": f"{at}.png"} for at, data in enumerate(images)]


def test_a_column_of_bytes_is_told_by_what_it_holds(upload, images, sound):
    items = upload(parquet({"image": images, "label": LABELS}), "x.parquet")
    assert (items.modality, items.format, items.files) == ("image", "parquet", tuple(images))
    assert items.columns == {"file": "image", "label": "label"}
    assert (items.labels, items.rows) == (tuple(LABELS), tuple(range(1, 21)))
    sounds = upload(parquet({"anything": [sound(at) for at in range(20)], "label": LABELS}), "x.parquet")
    assert (sounds.modality, sounds.media["formats"]) == ("audio", {"wav": 20})


def test_objects_of_bytes_and_paths(upload, images):
    items = upload(parquet({"label": LABELS, "image": _structs(images)}, row_group_size=7), "x.parquet")
    assert items.files == tuple(images)
    assert items.names == tuple(f"{at}.png" for at in range(20))


def test_numbers_become_the_words_beside_them(upload, images):
    numbers = [at % 2 for at in range(20)]
    items = upload(parquet({"image": images, "label": numbers, "label_name": LABELS}), "x.parquet")
    assert set(items.labels) == {"cat", "dog"}
    assert items.notes[0] == "Labels are those of 'label_name', which are the words for the numbers in 'label'."
    named = upload(parquet({"image": images, "label": numbers, "label_name": LABELS}), "x.parquet", label="label")
    assert set(named.labels) == {"0", "1"}


def test_numbers_become_the_words_of_the_features(upload, images):
    told = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = pa.table({"image": images, "label": [*(at % 2 for at in range(19)), -1]})
    data = parquet(table.replace_schema_metadata({"huggingface": json.dumps(told)}))
    items = upload(data, "x.parquet")
    assert (items.n, set(items.labels)) == (19, {"cat", "dog"})
    (bad,) = items.bad
    assert bad.row == 20
    assert bad.detail.startswith("the label is missing (null)")


@pytest.mark.parametrize("wrap", [lambda one: {"feature": one, "_type": "Sequence"}, lambda one: [one]])
def test_lists_of_numbers_become_the_words_of_the_features(upload, images, wrap):
    told = {"info": {"features": {"labels": wrap({"names": ["cat", "dog"], "_type": "ClassLabel"})}}}
    table = pa.table({"image": images, "labels": [[0, 1], [1], [], [0]] * 4 + [[1], [0], [], [2]]})
    items = upload(parquet(table.replace_schema_metadata({"huggingface": json.dumps(told)})), "x.parquet")
    assert items.label_sets[:4] == (("cat", "dog"), ("dog",), (), ("cat",))
    assert [problem.row for problem in items.bad] == [20]


@pytest.mark.parametrize(
    "told",
    [
        b"{",
        b"[]",
        b'{"info": 1}',
        b'{"info": {"features": {"label": {"names": [1]}}}}',
        b'{"info": {"features": {"label": []}}}',
        b'{"info": {"features": {"label": 1}}}',
    ],
)
def test_features_that_say_nothing_change_nothing(upload, images, told):
    table = pa.table({"image": images, "label": [at % 2 for at in range(20)]})
    assert set(upload(parquet(table.replace_schema_metadata({"huggingface": told})), "x").labels) == {"0", "1"}


def test_a_number_can_be_the_target(upload, images):
    data = parquet({"image": images, "age": [at / 2 for at in range(20)]})
    items = upload(data, "x.parquet", modality="image", target="age")
    assert (items.task, items.columns) == ("regression", {"file": "image", "target": "age"})
    np.testing.assert_array_equal(items.targets, np.arange(20) / 2)


def test_bad_rows_are_listed(upload, images, sound):
    files = [*images, None, b"", images[0][:50], sound(), bytes(5_000)]
    names = [f"{at}.png" for at in range(len(files))]
    table = {"image": [{"bytes": data, "path": name} for data, name in zip(files, names, strict=True)]}
    data = parquet(table | {"label": ["cat", "dog"] * 12 + ["cat"]})
    limits = Limits(bad_fraction=0.5, file_bytes=4_000)
    items = upload(data, "x.parquet", limits=limits)
    assert items.n == 20
    assert [bad.row for bad in items.bad] == [21, 22, 23, 24, 25]
    assert items.bad[0].detail == "20.png: its bytes are missing (null)"
    assert items.bad[3].detail == "23.png: it is a sound, and the others are images"
    assert items.bad[4].detail == "the file has 5000 bytes; the limit for one is 4000"
    assert items.notes == ["5 rows are left out as bad; they are listed by number and reason."]


def test_texts_stay_texts(upload, images):
    data = parquet({"text": ["some words"] * 19 + ["more"], "label": LABELS, "thumbnail": images})
    assert upload(data, "x.parquet").modality == "text"
    assert upload(data, "x.parquet", modality="image").modality == "image"


@pytest.mark.parametrize(
    ("table", "said", "words"),
    [
        ({"image": "images", "kind": "labels"}, {}, r"No label column was found; the columns are 'image', 'kind'"),
        ({"image": "images", "label": "labels"}, {"label": "kind"}, r"There is no label column 'kind'"),
        ({"left": "images", "right": "images", "label": "labels"}, {}, r"Several columns hold files: 'left', 'right'"),
        ({"url": "labels", "label": "labels"}, {"modality": "image"}, r"No column holds the bytes of files"),
        ({"image": "images", "label": "images"}, {}, r"does not hold one word or number a row"),
    ],
)
def test_columns_that_are_not_clear_are_refused(upload, images, table, said, words):
    columns = {name: images if what == "images" else LABELS for name, what in table.items()}
    with pytest.raises(UploadRefused, match=words):
        upload(parquet(columns), "x.parquet", **said)


def test_one_value_repeated_is_no_way_around_the_limit(upload, image):
    big = image(size=(300, 300))
    data = parquet({"image": [big] * 400, "label": ["a", "b"] * 200})
    assert len(data) < 400_000
    with pytest.raises(UploadTooLarge, match="The files have at least"):
        upload(data, "x.parquet", limits=Limits(bytes=2_000_000))


def test_a_value_that_a_dictionary_repeats_is_decoded_a_few_times_at_once(tmp_path, image):
    big = image(size=(300, 300))
    path = tmp_path / "x.parquet"
    path.write_bytes(parquet({"image": [big] * 400, "label": ["a", "b"] * 200}))
    limits = Limits(bytes=1_000_000)
    with opened(path) as file:
        assert 1 <= rows_at_once(file, path, ["image", "label"], limits) <= 1_000_000 // len(big)
