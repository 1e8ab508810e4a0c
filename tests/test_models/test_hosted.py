import hashlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

import models.hosted
from models.catalog import entry
from models.errors import BackboneUnknown, ExportFailed, ExportMismatch, WeightsCorrupt
from models.fake import export_fake
from models.hosted import digest_of, host, hosted, open_backbone, read_card

FAKE = entry("fake")


def no_progress(_stage, _share):
    pass


@pytest.fixture
def folder(tmp_path, hosted_folder):
    """A copy of a folder in which `fake` is hosted, to be damaged."""
    return shutil.copytree(hosted_folder, tmp_path / "backbones")


@pytest.fixture
def builds(monkeypatch):
    """Count the exports; each is slow enough to be overtaken."""
    calls = []

    def build(e, staging, on_progress):
        calls.append(e.id)
        time.sleep(0.02)
        return export_fake(e, staging, on_progress)

    monkeypatch.setitem(models.hosted._BUILDERS, "fake", build)
    return calls


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_hosted_folder_holds_files_card_and_pointer(folder, fake_card):
    home = folder / fake_card.digest
    assert {path.name for path in home.iterdir()} == {"pooled.onnx", "tokenizer.json", "card.json"}
    assert {path.name for path in folder.iterdir()} == {fake_card.digest, "fake.json", ".fake.lock"}
    assert json.loads((folder / "fake.json").read_text()) == {"digest": fake_card.digest}


def test_the_card_says_what_is_there(folder, fake_card):
    files = {
        name: hashlib.sha256((folder / fake_card.digest / name).read_bytes()).hexdigest() for name in fake_card.files
    }
    assert fake_card.files == files
    assert fake_card.taps == {"pooled": (64,)}
    assert (fake_card.id, fake_card.licence, fake_card.max_tokens) == ("fake", "Apache-2.0", 64)
    assert read_card(folder / fake_card.digest) == fake_card


def test_the_digest_is_over_sorted_lines():
    expected = hashlib.sha256(b"a.onnx 11\nb.json 22\n").hexdigest()
    assert digest_of({"b.json": "22", "a.onnx": "11"}) == expected


def test_progress_names_stages_and_ends_at_one(tmp_path):
    seen = []
    host(FAKE, tmp_path, lambda stage, share: seen.append((stage, share)))
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1] == ("hosted", 1.0)


def test_what_is_hosted_is_not_exported_again(folder, fake_card, builds):
    assert host(FAKE, folder, no_progress) == fake_card
    assert builds == []


def test_a_newer_exporter_does_not_change_the_digest(folder, fake_card, monkeypatch):
    def newer(e, staging, on_progress):
        exported = export_fake(e, staging, on_progress)
        (staging / "pooled.onnx").write_bytes(b"other bytes")
        return exported

    monkeypatch.setitem(models.hosted._BUILDERS, "fake", newer)
    assert host(FAKE, folder, no_progress).digest == fake_card.digest


@pytest.mark.parametrize("name", ["pooled.onnx", "tokenizer.json", "card.json"])
@pytest.mark.parametrize("damage", [flip_a_byte, lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_damaged_folder_is_not_opened_and_is_mended_by_hosting(folder, fake_card, name, damage):
    damage(folder / fake_card.digest / name)
    if name != "card.json" or damage is not flip_a_byte:
        with pytest.raises(WeightsCorrupt):
            open_backbone(folder, fake_card.digest, threads=1)
    assert host(FAKE, folder, no_progress).digest == fake_card.digest
    open_backbone(folder, fake_card.digest, threads=1)


def test_a_pointer_that_was_lost_is_written_again_and_the_folder_kept(folder, fake_card):
    (folder / "fake.json").unlink()
    before = (folder / fake_card.digest / "pooled.onnx").stat().st_ino
    assert host(FAKE, folder, no_progress) == fake_card
    assert list(hosted(folder)) == ["fake"]
    assert (folder / fake_card.digest / "pooled.onnx").stat().st_ino == before


def test_what_a_killed_export_left_behind_does_no_harm(tmp_path, fake_card):
    (tmp_path / ".fake.staging").mkdir()
    (tmp_path / ".fake.staging" / "rest.onnx").write_bytes(b"half")
    assert hosted(tmp_path) == {}
    assert host(FAKE, tmp_path, no_progress) == fake_card
    assert not (tmp_path / ".fake.staging").exists()


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def mismatch(_entry, staging, _on_progress):
        (staging / "pooled.onnx").write_bytes(b"wrong")
        raise ExportMismatch("differs")

    monkeypatch.setitem(models.hosted._BUILDERS, "fake", mismatch)
    with pytest.raises(ExportMismatch):
        host(FAKE, tmp_path, no_progress)
    assert hosted(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".fake.lock"]


def test_many_at_once_export_once(tmp_path, builds):
    with ThreadPoolExecutor(6) as pool:
        digests = set(pool.map(lambda _: host(FAKE, tmp_path, no_progress).digest, range(6)))
    assert len(digests) == 1
    assert builds == ["fake"]


def test_an_unknown_kind_is_refused_by_name(tmp_path):
    with pytest.raises(ExportFailed, match="'hub'"):
        host(replace(FAKE, kind="hub"), tmp_path, no_progress)


def test_listing_an_absent_folder_lists_nothing(tmp_path):
    assert hosted(tmp_path / "none") == {}


@pytest.mark.parametrize("pointer", ["", "{}", "[]", '{"digest": "../../etc"}', json.dumps({"digest": "0" * 64})])
def test_listing_leaves_a_broken_pointer_out_and_says_so(folder, caplog, pointer):
    (folder / "broken.json").write_text(pointer)
    assert list(hosted(folder)) == ["fake"]
    assert [record.backbone for record in caplog.records] == ["broken"]


@pytest.mark.parametrize("digest", ["0" * 64, "", "..", "fake", "../backbones"])
def test_a_digest_that_is_not_hosted_is_unknown(folder, digest):
    with pytest.raises(BackboneUnknown, match="hosted"):
        open_backbone(folder, digest, threads=1)


def test_a_card_moved_under_another_digest_is_refused(folder, fake_card):
    (folder / fake_card.digest).rename(folder / ("1" * 64))
    with pytest.raises(WeightsCorrupt, match="another digest"):
        open_backbone(folder, "1" * 64, threads=1)


def test_a_card_whose_files_were_swapped_is_refused(folder, fake_card):
    home = folder / fake_card.digest
    (home / "pooled.onnx").write_bytes(b"other")
    files = {**fake_card.files, "pooled.onnx": hashlib.sha256(b"other").hexdigest()}
    (home / "card.json").write_text(json.dumps(asdict(replace(fake_card, files=files))))
    with pytest.raises(WeightsCorrupt, match="another digest"):
        open_backbone(folder, fake_card.digest, threads=1)
