"""Folders and labelled files become one archive, the same for the same files."""

import csv
import io
import json
import zipfile
from collections import namedtuple
from pathlib import Path

import httpx
import pytest

from graft import ApiError, _folder
from graft._upload import upload_file

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def photos(tmp_path, messages):
    root = tmp_path / "photos"
    for name in ("dog/2.png", "cat/10.png", "cat/1.png", "cat/indoor/3.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(messages["png"] + name.encode())
    return root


def archive(data):
    with upload_file(data) as (name, file):
        return name, zipfile.ZipFile(io.BytesIO(file.read()))


def test_names_are_relative_in_order_and_nothing_is_compressed(photos):
    name, made = archive(photos)
    assert name == "photos.zip"
    assert made.namelist() == ["cat/1.png", "cat/10.png", "cat/indoor/3.png", "dog/2.png"]
    assert {info.compress_type for info in made.infolist()} == {zipfile.ZIP_STORED}
    assert made.read("dog/2.png") == (photos / "dog/2.png").read_bytes()


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(photos):
    def packed():
        with upload_file(str(photos)) as (_, file):
            return file.read()

    first = packed()
    for file in photos.rglob("*.png"):
        file.touch()
    assert packed() == first
    (photos / "dog/2.png").write_bytes(b"other")
    assert packed() != first


def test_hidden_and_system_files_are_left_out(photos):
    for name in (".DS_Store", "cat/.hidden.png", "__MACOSX/cat/1.png", ".git/config", "dog/Thumbs.db"):
        (photos / name).parent.mkdir(exist_ok=True, parents=True)
        (photos / name).write_bytes(b"x")
    assert len(archive(photos)[1].namelist()) == 4


def test_links_out_of_the_folder_are_not_followed(photos, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/4.png").write_bytes(b"secret")
    (photos / "cat/out.png").symlink_to(tmp_path / "secret.png")
    (photos / "elsewhere").symlink_to(tmp_path / "elsewhere")
    (photos / "cat/nowhere.png").symlink_to(tmp_path / "not there")
    (photos / "cat/within.png").symlink_to(photos / "dog/2.png")
    made = archive(photos)[1]
    assert "cat/within.png" in made.namelist()
    assert len(made.namelist()) == 5
    assert b"secret" not in b"".join(made.read(name) for name in made.namelist())


def test_an_empty_folder_says_what_belongs_there(tmp_path):
    (tmp_path / ".hidden").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"photos/cat/1\.jpg, or a metadata\.csv"), upload_file(tmp_path):
        pass


def test_a_folder_that_the_disk_cannot_hold_twice_is_not_packed(photos, monkeypatch):
    monkeypatch.setattr(_folder.shutil, "disk_usage", lambda _: Usage(0, 0, 50))
    with pytest.raises(ValueError, match=r"has 4 files of \d+ bytes, and .* has 50 bytes free.*TMPDIR"):
        archive(photos)


def test_a_refusal_of_its_size_tells_the_size(photos, client, fake, messages):
    said = messages["refusal"](413, code="upload-too-large", detail="The upload is larger than 10 bytes, the limit.")
    fake.refusals = [said]
    with pytest.raises(
        ApiError, match=r"larger than 10 bytes, the limit\. The folder .* has 4 files of \d+ bytes\."
    ) as e:
        client.datasets.upload(photos)
    assert (e.value.status, e.value.code) == (413, "upload-too-large")


def test_any_other_refusal_stays_as_it_is(photos, client, fake, messages):
    fake.refusals = [httpx.Response(422, json=messages["problem"])]
    with pytest.raises(ApiError, match=r"^3 of 20 rows are bad; at most a tenth may be\.$"):
        client.datasets.upload(photos)


def test_labelled_files_get_names_and_a_table_of_them(photos, messages):
    rows = [(photos / "dog/2.png", "a dog, really"), (messages["wav"], "cat/dog"), (Path(photos / "cat/1.png"), "cat")]
    name, made = archive(rows)
    assert name == "files.zip"
    assert made.namelist() == ["metadata.csv", "000001.png", "000002.wav", "000003.png"]
    table = list(csv.reader(io.StringIO(made.read("metadata.csv").decode())))
    assert table == [
        ["file_name", "label"], ["000001.png", "a dog, really"], ["000002.wav", "cat/dog"], ["000003.png", "cat"],
    ]  # fmt: skip
    assert made.read("000002.wav") == messages["wav"]


def test_labelled_files_that_are_none(messages):
    with pytest.raises(ValueError, match="Row 2 holds 5 bytes that are neither an image nor a sound"):
        archive([(messages["png"], "a"), (b"hello", "b")])
    with pytest.raises(TypeError, match="Row 2 holds 'text' beside files"):
        archive([(messages["png"], "a"), ("text", "b")])
    with pytest.raises(TypeError, match="Row 1 is"):
        archive([(messages["png"], {"cat": 1})])


def test_files_with_several_labels_or_a_number(messages):
    _, made = archive([(messages["png"], ["a", "b"]), (messages["png"], [])])
    assert made.namelist() == ["metadata.jsonl", "000001.png", "000002.png"]
    lines = made.read("metadata.jsonl").decode().splitlines()
    assert list(map(json.loads, lines)) == [
        {"file_name": "000001.png", "label": ["a", "b"]},
        {"file_name": "000002.png", "label": []},
    ]


def test_bytes_are_sent_as_they_are():
    with upload_file(b"PK\x03\x04 and so on") as (_, file):
        assert file.read() == b"PK\x03\x04 and so on"


def test_how_far_an_upload_is(photos, client, fake):
    told = []
    client.datasets.upload(photos, on_upload=lambda sent, size: told.append((sent, size)))
    sizes = {size for _, size in told}
    assert len(sizes) == 1
    assert max(sent for sent, _ in told) == sizes.pop()
    assert fake.requests[0].headers["content-length"], "the service refuses by it before all is sent"
