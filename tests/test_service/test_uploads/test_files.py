"""Archives of images and sounds: which label each file has, which are bad, and what is said of the rest."""

import io

import numpy as np
import pytest
from PIL import Image

from service.errors import FormatUnsupported, UploadRefused, UploadTooLarge
from service.uploads.limits import Limits


@pytest.fixture
def pets(image):
    """Two folders of ten images."""
    return {f"{name}/{at}.png": image(at + 20 * (name == "dogs")) for name in ("cats", "dogs") for at in range(10)}


def test_folders_are_labels_in_every_archive(upload, packed, pets):
    items = upload(packed(pets), "pets")
    assert (items.modality, items.task, items.n) == ("image", "classification", 20)
    assert items.labels == ("cats",) * 10 + ("dogs",) * 10
    assert items.names == tuple(sorted(pets))
    assert items.rows == tuple(range(1, 21))
    assert items.files == tuple(pets[name] for name in sorted(pets))
    assert items.media == {"formats": {"png": 20}, "pixels": {"low": 108, "high": 108, "median": 108}}
    assert items.notes == []


def test_sounds_are_told_by_what_they_are(upload, zip_of, sound):
    files = {f"{label}/{at}.wav": sound(at + 50 * label, seconds=0.1 * (at + 1)) for label in (0, 1) for at in range(3)}
    items = upload(zip_of(files), "digits.zip")
    assert (items.modality, set(items.labels)) == ("audio", {"0", "1"})
    assert items.media["formats"] == {"wav": 6}
    assert items.media["seconds"] == pytest.approx({"low": 0.1, "high": 0.3, "median": 0.2}, abs=1e-3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_images_of_every_format(upload, zip_of, image, form):
    items = upload(zip_of({f"{label}/{at}": image(at, form=form) for label in "ab" for at in range(3)}), "x.zip")
    assert items.media["formats"] == {form.lower(): 6}


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
def test_sounds_of_every_format(upload, zip_of, sound, form):
    items = upload(zip_of({f"{label}/{at}": sound(at, form=form) for label in "ab" for at in range(3)}), "x.zip")
    assert items.media["formats"] == {form.lower(): 6}


def test_a_folder_around_all_is_passed_over(upload, zip_of, pets):
    items = upload(zip_of({f"my data/v2/{name}": data for name, data in pets.items()}), "pets.zip")
    assert set(items.labels) == {"cats", "dogs"}


def test_folders_within_a_class_belong_to_it(upload, zip_of, pets, image):
    items = upload(zip_of(pets | {"cats/indoor/old/1.png": image(77)}), "pets.zip")
    assert items.labels[items.names.index("cats/indoor/old/1.png")] == "cats"
    assert items.notes == ["Folders within a class's folder belong to that class: 'cats/indoor'."]


def test_what_systems_leave_behind_is_passed_over_without_a_word(upload, zip_of, pets):
    litter = {
        "__MACOSX/cats/._0.png": b"x",
        "cats/.DS_Store": b"x",
        "cats/._0.png": b"x",
        "dogs/Thumbs.db": b"x",
        ".git/config": b"x",
        "empty/": b"",
        "birds\\": b"",
    }
    items = upload(zip_of(pets | litter), "pets.zip")
    assert (items.n, items.notes, items.bad) == (20, [], ())


def test_other_files_are_left_out_and_said(upload, zip_of, pets):
    items = upload(zip_of(pets | {"README.md": b"# hi", "cats/notes.txt": b"hi", "inner.zip": zip_of(pets)}), "a.zip")
    assert items.n == 20
    assert items.notes == [
        "Left out, because they are neither images nor sounds: 'README.md', 'cats/notes.txt', 'inner.zip'."
    ]


def test_names_in_any_letters(upload, zip_of, tar_of, image):
    files = {f"{label}/ü{at}.png": image(at) for label in ("köpek", "猫", "🐎") for at in range(3)}
    for data in (zip_of(files), tar_of(files)):
        assert set(upload(data, "x").labels) == {"köpek", "猫", "🐎"}


def test_one_class_folder_is_refused(upload, zip_of, image):
    with pytest.raises(UploadRefused, match=r"All 3 files have the label 'cats'.*in a folder named for it") as caught:
        upload(zip_of({f"data/cats/{at}.png": image(at) for at in range(3)}), "pets.zip")
    assert "row" not in caught.value.message


def test_files_without_a_folder_are_refused(upload, zip_of, image):
    with pytest.raises(UploadRefused, match=r"lie in no folders.*'0.png'.*metadata.csv"):
        upload(zip_of({f"{at}.png": image(at) for at in range(3)}), "pets.zip")


def test_a_loose_file_is_a_bad_one(upload, zip_of, pets, image):
    items = upload(zip_of(pets | {"loose.png": image(99)}), "pets.zip")
    assert items.n == 20
    assert [(bad.row, bad.detail) for bad in items.bad] == [
        (21, "loose.png: it lies in no folder that names its class")
    ]


def test_splits_are_refused(upload, zip_of, pets):
    files = {f"{split}/{name}": data for split in ("train", "Test") for name, data in pets.items()}
    with pytest.raises(UploadRefused, match=r"parts of a data set, 'Test', 'train'.*by itself"):
        upload(zip_of(files), "pets.zip")
    only = {f"train/{name}": data for name, data in pets.items()}
    assert set(upload(zip_of(only), "pets.zip").labels) == {"cats", "dogs"}


def test_unlabelled_items_are_refused(upload, zip_of, pets, image):
    with pytest.raises(UploadRefused, match=r"_unlabelled.*nothing is learned here"):
        upload(zip_of(pets | {"_unlabelled/1.png": image(99)}), "pets.zip")


def test_images_and_sounds_together_are_refused(upload, zip_of, pets, sound):
    data = zip_of(pets | {"cats/purr.wav": sound()})
    with pytest.raises(UploadRefused, match=r"both images \(20\) and sounds \(1\)"):
        upload(data, "pets.zip")
    items = upload(data, "pets.zip", modality="image")
    assert [bad.detail for bad in items.bad] == ["cats/purr.wav: it is a sound, and the others are images"]


def test_the_word_for_what_is_not_there_is_refused(upload, zip_of, pets):
    with pytest.raises(UploadRefused, match="holds images, and 'modality' is 'audio'"):
        upload(zip_of(pets), "pets.zip", modality="audio")
    with pytest.raises(UploadRefused, match=r"is an archive.*'modality' is 'text'"):
        upload(zip_of(pets), "pets.zip", modality="text")
    for word, value in (("text", "a"), ("columns", {"a": "number"})):
        with pytest.raises(UploadRefused, match=f"'{word}' was given, which means nothing for images. Leave it out.$"):
            upload(zip_of(pets), "pets.zip", **{word: value})
    with pytest.raises(UploadRefused, match=r"'label' names the column 'kind'.*no metadata.csv"):
        upload(zip_of(pets), "pets.zip", label="kind")
    with pytest.raises(UploadRefused, match="Folders are classes; a regression needs numbers"):
        upload(zip_of(pets), "pets.zip", task="regression")


@pytest.mark.parametrize("files", [{"a.txt": b"hello"}, {"a/b.csv": b"text,label\n"}])
def test_an_archive_without_items_is_refused(upload, packed, files):
    with pytest.raises(FormatUnsupported, match=r"neither images nor sounds; its files are 'a"):
        upload(packed(files), "x")


def test_an_empty_archive_is_refused(upload, zip_of):
    with pytest.raises(FormatUnsupported, match=r"neither images nor sounds; it holds no files"):
        upload(zip_of({}), "x.zip")


def _bad_images(image):
    png, jpeg = image(1), image(1, form="JPEG")
    huge = io.BytesIO()
    Image.new("L", (3000, 3000)).save(huge, "PNG")
    return {
        "empty.png": b"",
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "text.jpg": b"this is no image",
        "huge.png": huge.getvalue(),
        "heavy.bmp": b"BM" + bytes(40_000),
        "page.webp": b"<html></html>",
    }


@pytest.mark.parametrize("name", list(_bad_images(lambda *_, **__: b"")))
def test_bad_images_are_listed_and_left_out(upload, zip_of, pets, image, name):
    items = upload(
        zip_of(pets | {f"cats/{name}": _bad_images(image)[name]}),
        "pets.zip",
        limits=Limits(pixels=1_000_000, file_bytes=30_000),
    )
    assert (items.n, items.bad_count) == (20, 1)
    (bad,) = items.bad
    assert bad.detail.startswith(f"cats/{name}: ")
    assert bad.row == sorted([*pets, f"cats/{name}"]).index(f"cats/{name}") + 1
    assert items.notes == ["1 file is left out as bad; they are listed by number and reason."]


def test_bad_sounds_are_listed_and_left_out(upload, zip_of, sound):
    good = {f"{label}/{at}.wav": sound(at + 50 * (label == "b")) for label in "ab" for at in range(20)}
    wav = sound()
    bad = {"a/empty.wav": b"", "a/cut.wav": wav[:60], "b/long.wav": sound(seconds=3), "b/x.flac": b"fLaC" + bytes(20)}
    items = upload(zip_of(good | bad), "sounds.zip", limits=Limits(seconds=2))
    assert items.n == 40
    assert sorted(problem.detail.partition(":")[0] for problem in items.bad) == sorted(bad)


def test_the_smallest_items_are_items(upload, zip_of, image, sound):
    tiny = {f"{label}/{at}.png": image(at, size=(1, 1)) for label in "ab" for at in range(2)}
    assert upload(zip_of(tiny), "x.zip").media["pixels"]["low"] == 1
    short = {f"{label}/{at}.wav": sound(at, seconds=0.01) for label in "ab" for at in range(2)}
    assert upload(zip_of(short), "x.zip").media["seconds"]["high"] == pytest.approx(0.01)


def test_too_many_bad_files_are_refused_in_words_for_files(upload, zip_of, pets):
    broken = {f"cats/broken{at}.png": b"x" for at in range(5)}
    with pytest.raises(UploadRefused) as caught:
        upload(zip_of(pets | broken), "pets.zip")
    message = caught.value.message
    assert message.startswith("5 of 25 files (20%) cannot be used; at most 10% may be. The first is cats/broken0.png: ")
    assert message.endswith("Mend or remove the files that are listed and send the archive again.")
    assert "row" not in message
    assert len(caught.value.problems) == 5


def test_a_class_that_is_all_bad_is_refused(upload, zip_of, pets):
    with pytest.raises(UploadRefused, match="All files of class 'birds' are bad"):
        upload(zip_of(pets | {"birds/1.png": b"x"}), "pets.zip")
    with pytest.raises(UploadRefused, match="strict=true refuses any"):
        upload(zip_of(pets | {"cats/x.png": b"x"}), "pets.zip", strict=True)


def test_copies_and_contradictions_are_noticed(upload, zip_of, pets):
    twice = pets | {"cats/copy.png": pets["cats/0.png"], "dogs/cat.png": pets["cats/1.png"]}
    quality = upload(zip_of(twice), "pets.zip").quality
    assert quality["duplicates"] == 1
    assert quality["conflicts"] == [
        {"rows": [2, 22], "labels": ["cats", "dogs"], "files": ["cats/1.png", "dogs/cat.png"]}
    ]
    assert quality["notes"] == [
        "1 file is a repetition of an earlier file, image and label.",
        "The same image carries different labels in 1 case, the first in files 2, 22.",
    ]


def test_all_files_together_have_a_limit(upload, packed, pets):
    limit = sum(map(len, pets.values())) - 1
    with pytest.raises(UploadTooLarge, match=f"the limit is {limit}"):
        upload(packed(pets), "pets", limits=Limits(bytes=limit))
    with pytest.raises(UploadTooLarge, match="more than 19 files"):
        upload(packed(pets), "pets", limits=Limits(rows=19))


def test_a_single_file_is_no_upload(upload, image, sound):
    for data, words in ((image(), "a PNG image"), (image(form="WEBP"), "a WebP image"), (sound(), "a WAV sound")):
        with pytest.raises(FormatUnsupported, match=f"The file is {words}, and a fit needs many.*for each class"):
            upload(data, "one")


def test_images_do_not_come_as_text(upload):
    with pytest.raises(UploadRefused, match=r"is csv, which holds no images. Send them as .zip"):
        upload("text,label\na,b\n", "a.csv", modality="image")


class TestMetadata:
    """A table beside the files."""

    def test_it_says_the_labels(self, upload, packed, pets):
        rows = "file_name,label\n" + "".join(f"{name},{at % 2}\n" for at, name in enumerate(pets))
        items = upload(packed(pets | {"metadata.csv": rows.encode()}), "pets")
        assert items.names == tuple(pets)
        assert items.labels == ("0", "1") * 10
        assert items.columns == {"file": "file_name", "label": "label"}
        assert items.rows == tuple(range(1, 21))

    def test_names_count_from_its_folder(self, upload, zip_of, image):
        files = {f"data/clips/{at}.png": image(at) for at in range(4)}
        rows = b"".join(b'{"file_name": "./clips/%d.png", "label": "%d"}\n' % (at, at % 2) for at in range(4))
        items = upload(zip_of(files | {"data/metadata.jsonl": rows}), "x.zip")
        assert (items.n, set(items.labels)) == (4, {"0", "1"})

    def test_files_that_are_missing_are_bad_and_unnamed_ones_are_said(self, upload, zip_of, pets, image):
        rows = "file_name\tkind\n" + "".join(f"{name}\t{name[:4]}\n" for name in pets) + "gone.png\tcats\n"
        items = upload(zip_of(pets | {"metadata.tsv": rows.encode(), "more.png": image(99)}), "x.zip", label="kind")
        assert [(bad.row, bad.detail) for bad in items.bad] == [
            (21, "gone.png: no file of that name lies beside metadata.tsv")
        ]
        assert "1 file is not named in metadata.tsv and left out, such as 'more.png'." in items.notes

    def test_a_number_can_be_the_target(self, upload, zip_of, pets):
        rows = "image,age\n" + "".join(f"{name},{at / 2}\n" for at, name in enumerate(pets))
        items = upload(zip_of(pets | {"metadata.csv": rows.encode()}), "x.zip", target="age")
        assert (items.task, items.columns) == ("regression", {"file": "image", "target": "age"})
        np.testing.assert_array_equal(items.targets, np.arange(20) / 2)

    def test_a_file_named_many_times_counts_each_time(self, upload, zip_of, pets):
        rows = "file_name,label\n" + "".join(f"cats/0.png,{at % 2}\n" for at in range(200))
        limit = Limits(bytes=100 * len(pets["cats/0.png"]))
        with pytest.raises(UploadTooLarge, match="The files have more than"):
            upload(zip_of(pets | {"metadata.csv": rows.encode()}), "x.zip", limits=limit)

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            ("file_name,kind\n", r"has no column 'label'; the columns are 'file_name', 'kind'.*label=<column>"),
            ("name of it,label\n", "has no column 'file_name'"),
            ("file_name,label\n", "no rows"),
        ],
    )
    def test_a_table_that_says_nothing_is_refused(self, upload, zip_of, pets, table, words):
        with pytest.raises(UploadRefused, match=words):
            upload(zip_of(pets | {"metadata.csv": table.encode()}), "x.zip")

    def test_two_tables_are_refused(self, upload, zip_of, pets):
        table = b"file_name,label\n"
        with pytest.raises(UploadRefused, match=r"several tables of its files: 'a/metadata.csv', 'metadata.csv'"):
            upload(zip_of(pets | {"metadata.csv": table, "a/metadata.csv": table}), "x.zip")

    def test_a_path_out_of_the_archive_finds_nothing(self, upload, zip_of, pets):
        rows = "file_name,label\n" + "".join(f"{name},{name[:4]}\n" for name in pets) + "../../etc/passwd,cats\n"
        items = upload(zip_of(pets | {"metadata.csv": rows.encode()}), "x.zip")
        assert [bad.detail for bad in items.bad] == ["../../etc/passwd: no file of that name lies beside metadata.csv"]
