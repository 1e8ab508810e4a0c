import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

import models.build
from models.built_in.fake import export_fake
from models.catalog import entry
from models.durable import locked_folder
from models.errors import BackboneUnknown, ExportFailed, ExportMismatch, SourceRefused, WeightsCorrupt
from models.hosted import check_files, digest_of, host, hosted, named, open_backbone, read_card
from models.sources import BuiltIn, Folder

FAKE = entry("fake")
MINE = replace(FAKE, id="mine", licence="MIT", about="a secret place")


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

    monkeypatch.setitem(models.build.BUILT_IN, "fake", build)
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

    monkeypatch.setitem(models.build.BUILT_IN, "fake", newer)
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

    monkeypatch.setitem(models.build.BUILT_IN, "fake", mismatch)
    with pytest.raises(ExportMismatch):
        host(FAKE, tmp_path, no_progress)
    assert hosted(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".fake.lock"]


def test_many_at_once_export_once(tmp_path, builds):
    with ThreadPoolExecutor(6) as pool:
        digests = set(pool.map(lambda _: host(FAKE, tmp_path, no_progress).digest, range(6)))
    assert len(digests) == 1
    assert builds == ["fake"]


def test_a_source_of_ones_own_writes_its_folder_and_nothing_else(tmp_path, fake_card):
    card = host(MINE, tmp_path, no_progress, pointer=False)
    assert [path.name for path in tmp_path.iterdir()] == [card.digest]
    assert hosted(tmp_path) == {}
    assert (card.id, card.licence, card.source, card.digest) == ("mine", "MIT", "a secret place", fake_card.digest)
    assert open_backbone(tmp_path, card.digest, threads=1).card.taps == card.taps


def test_what_lies_on_disk_does_not_tell_whose_it_is(tmp_path):
    card = host(MINE, tmp_path, no_progress, pointer=False)
    kept = read_card(tmp_path / card.digest)
    assert "mine" not in kept.id
    assert "secret" not in (tmp_path / card.digest / "card.json").read_text()
    assert named(kept, MINE) == card


def test_the_catalogue_names_what_others_hosted_before(tmp_path, fake_card):
    host(MINE, tmp_path, no_progress, pointer=False)
    assert host(FAKE, tmp_path, no_progress) == fake_card
    assert hosted(tmp_path) == {"fake": fake_card}
    host(MINE, tmp_path, no_progress, pointer=False)
    assert hosted(tmp_path) == {"fake": fake_card}


def test_many_at_once_without_a_name_leave_one_whole_folder(tmp_path):
    with ThreadPoolExecutor(6) as pool:
        digests = set(pool.map(lambda _: host(MINE, tmp_path, no_progress, pointer=False).digest, range(6)))
    assert [path.name for path in tmp_path.iterdir()] == list(digests)
    open_backbone(tmp_path, *digests, threads=1)


def test_what_killed_processes_left_is_removed_and_what_living_ones_hold_is_not(tmp_path):
    old, held = tmp_path / ".added-old", tmp_path / ".added-held"
    for staging in (old, held, tmp_path / ".added-new"):
        staging.mkdir()
    for staging in (old, held):
        os.utime(staging, (1, 1))
    with locked_folder(held):
        host(MINE, tmp_path, no_progress, pointer=False)
    assert {path.name for path in tmp_path.glob(".added-*")} == {".added-held", ".added-new"}


def test_the_lock_of_a_folder_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(FileNotFoundError), locked_folder(tmp_path / "gone"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_stages_are_told_in_order(tmp_path):
    seen = []
    host(MINE, tmp_path, lambda stage, _share: seen.append(stage), pointer=False)
    assert seen[-4:] == ["verify", "warm", "publish", "hosted"]


def test_a_backbone_that_fails_on_its_first_item_is_not_kept(tmp_path, monkeypatch):
    def wrong_shape(e, staging, on_progress):
        return replace(export_fake(e, staging, on_progress), taps={"pooled": (63,)})

    monkeypatch.setitem(models.build.BUILT_IN, "fake", wrong_shape)
    with pytest.raises(ExportMismatch, match=r"\(1, 64\)"):
        host(FAKE, tmp_path, no_progress)
    assert hosted(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".fake.lock"]


def test_the_lock_file_of_the_hub_is_no_pointer(folder, fake_card, caplog):
    (folder / "lock.json").write_text("{}")
    assert list(hosted(folder)) == ["fake"]
    assert not caplog.records


def test_cards_of_before_extras_are_read(folder, fake_card):
    path = folder / fake_card.digest / "card.json"
    fields = json.loads(path.read_text())
    del fields["trained"], fields["extras"]
    path.write_text(json.dumps(fields))
    assert read_card(folder / fake_card.digest) == replace(fake_card, trained=True)
    open_backbone(folder, fake_card.digest, threads=1)


def test_a_broken_graph_of_another_tap_does_not_stop_serving(folder, fake_card):
    home = folder / fake_card.digest
    (home / "block1.onnx").write_bytes(b"graph")
    files = {**fake_card.files, "block1.onnx": hashlib.sha256(b"graph").hexdigest()}
    card = replace(fake_card, files=files, digest=digest_of(files))
    (home / "card.json").write_text(json.dumps(asdict(card)))
    home = home.rename(folder / card.digest)
    (home / "block1.onnx").write_bytes(b"other")
    open_backbone(folder, card.digest, threads=1)
    with pytest.raises(WeightsCorrupt, match="block1"):
        check_files(card, home)


@pytest.mark.parametrize("failure", [ExportFailed("torch cannot"), ExportMismatch("it differs"), ValueError("odd key")])
def test_why_a_source_of_ones_own_fails_is_told(tmp_path, monkeypatch, failure):
    def fails(*_):
        raise failure

    weights = tmp_path / "weights"
    weights.mkdir()
    for name in ("config.json", "model.safetensors"):
        (weights / name).write_text("{}")
    monkeypatch.setattr("models.build.build_from_folder", fails)
    entry = replace(MINE, source=Folder(str(weights)))
    with pytest.raises(SourceRefused, match=rf"weights' cannot become a backbone.*{failure}"):
        host(entry, tmp_path / "backbones", no_progress, pointer=False)
    assert list((tmp_path / "backbones").iterdir()) == []


def test_an_unknown_built_in_is_refused_by_name(tmp_path):
    with pytest.raises(ExportFailed, match="'real'"):
        host(replace(FAKE, source=BuiltIn("real")), tmp_path, no_progress)


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


def test_one_graph_prepared_in_two_ways_is_two_backbones(tmp_path, monkeypatch):
    def with_prefix(prefix):
        def built(e, folder, staging, on_progress):
            exported = export_fake(e, staging, on_progress)
            return replace(exported, recipe=exported.recipe | ({"prefix": prefix} if prefix else {}))

        monkeypatch.setattr("models.convert.build", built)
        return host(FAKE, tmp_path, lambda _stage, _share: None, pointer=False)

    cards = {prefix: with_prefix(prefix) for prefix in ("query: ", "passage: ", "")}
    assert len({card.digest for card in cards.values()}) == 3
    for prefix in ("query: ", "passage: "):
        kept = open_backbone(tmp_path, cards[prefix].digest, threads=1)
        assert kept.card.recipe["prefix"] == prefix
    assert "prepare.json" not in cards[""].files
