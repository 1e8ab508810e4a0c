"""Taps that are added to what is hosted. The network is `test_trunks`' tiny one."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from models import hosted
from models.base import AS_LONG
from models.catalog import Entry, Options, entry
from models.durable import write_synced
from models.errors import BackboneUnknown, SourceRefused, WeightsCorrupt
from models.hosted import add_tap, check_files, host, open_backbone, read_card
from models.sources import Folder, OnnxFile, Trunk, Words
from models.streaming import open_tap, stream

ROOT = Path(__file__).parents[2]
TEXTS = ["my card", "where is my lost parcel my parcel", ""]


def no_progress(_stage, _share):
    pass


@pytest.fixture
def hosted_copy(deep, tmp_path):
    """What may be changed."""
    return copied(deep, tmp_path)


@pytest.fixture(scope="module")
def tapped(deep, tmp_path_factory):
    """With the taps `blocks` and `block1`, the second added last."""
    copy = copied(deep, tmp_path_factory.mktemp("tapped"))
    for tap in ("blocks", "block1"):
        add_tap(copy.entry, copy.folder, copy.card.digest, tap, no_progress)
    return replace(copy, card=read_card(copy.folder / copy.card.digest))


def copied(deep, tmp_path):
    """Weights and hosted folder."""
    weights, folder = tmp_path / "weights", tmp_path / "backbones"
    shutil.copytree(deep.entry.source.path, weights)
    shutil.copytree(deep.folder, folder)
    return replace(deep, entry=replace(deep.entry, source=Folder(str(weights))), folder=folder)


def test_a_tap_is_added_and_the_digest_stays(hosted_copy):
    entry_, folder, digest = hosted_copy.entry, hosted_copy.folder, hosted_copy.card.digest
    older = open_backbone(folder, digest, threads=1)
    seen = []
    card = add_tap(entry_, folder, digest, "block1", lambda stage, share: seen.append((stage, share)))
    assert card == read_card(folder / digest)
    assert (card.digest, card.files, card.parts) == (digest, hosted_copy.card.files, {})
    assert card.taps == {"pooled": (16,), "block1": (AS_LONG, 16)}
    assert list(card.extras) == ["block1.onnx"]
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    assert seen[-1] == ("hosted", 1.0)
    check_files(card, folder / digest)
    activations = stream(open_tap(folder, digest, "block1", threads=1), TEXTS, folder)
    assert [len(activations.item(i)) for i in range(3)] == [item.size for item in older.prepare(TEXTS)]
    made = (folder / digest / "block1.onnx").stat().st_ino
    assert add_tap(entry_, folder, digest, "block1", no_progress) == card
    assert (folder / digest / "block1.onnx").stat().st_ino == made
    assert list(folder.glob(".added-*")) == []


@pytest.mark.slow
def test_hosting_again_keeps_an_added_tap(hosted_copy):
    card = add_tap(hosted_copy.entry, hosted_copy.folder, hosted_copy.card.digest, "block2", no_progress)
    (hosted_copy.folder / "deep.json").unlink()
    assert host(hosted_copy.entry, hosted_copy.folder, no_progress).digest == card.digest
    assert read_card(hosted_copy.folder / card.digest) == card


def test_the_tap_of_all_blocks_is_an_embedding_like_pooled(tapped):
    card, folder, digest = tapped.card, tapped.folder, tapped.card.digest
    assert list(card.parts.items()) == [("block1", 16), ("block2", 16), ("block3", 16), ("pooled", 16)]
    pooled, backbone = (open_backbone(folder, digest, threads=1, tap=tap) for tap in ("pooled", "blocks"))
    assert pooled.card == card
    assert (backbone.card.digest, backbone.card.taps["pooled"], backbone.card.taps["blocks"]) == (digest, (64,), (64,))
    z = backbone.run(backbone.prepare(TEXTS))
    assert backbone.run([]).shape == (0, 64)
    np.testing.assert_allclose(z[:, 48:], pooled.run(pooled.prepare(TEXTS)), atol=1e-6)
    np.testing.assert_allclose(z[:, 32:48], z[:, 48:], atol=1e-6)  # this network pools by the mean of its last block
    alone = np.concatenate([backbone.run([item]) for item in backbone.prepare(TEXTS)])
    assert np.abs(z - alone).max() <= 1e-6 * np.linalg.norm(alone, axis=1).max()
    states = stream(open_tap(folder, digest, "block1", threads=1), TEXTS, folder)
    np.testing.assert_allclose(z[:, :16], [states.item(i).mean(0) for i in range(3)], atol=1e-5)


@pytest.mark.slow
def test_the_tap_of_all_blocks_can_be_asked_for_when_hosting(deep, tmp_path):
    wanted = replace(deep.entry, options=Options(taps=("pooled", "blocks")))
    card = host(wanted, tmp_path, no_progress)
    assert (card.taps["blocks"], sum(card.parts.values()), card.extras) == ((64,), 64, {})
    assert read_card(tmp_path / card.digest) == card
    assert open_backbone(tmp_path, card.digest, threads=1, tap="blocks").card.taps["pooled"] == (64,)


def test_a_card_without_parts_is_read(deep, tmp_path):
    shutil.copytree(deep.folder, tmp_path / "old")
    path = tmp_path / "old" / deep.card.digest / "card.json"
    fields = json.loads(path.read_text())
    del fields["parts"]
    path.write_text(json.dumps(fields))
    assert read_card(path.parent).parts == {}


def test_parts_stand_in_the_order_of_the_network(deep, tmp_path):
    """The names of a card's file are sorted, where block10 comes before block2."""
    shutil.copytree(deep.folder, tmp_path / "many")
    home = tmp_path / "many" / deep.card.digest
    parts = {**{f"block{index}": index for index in range(1, 13)}, "pooled": 16}
    write_synced(home / "card.json", asdict(replace(deep.card, parts=parts)))
    assert list(read_card(home).parts.items()) == list(parts.items())


def instead_of_an_export(monkeypatch, meanwhile):
    def more_taps(_entry, _folder, card, tap, staging, _on_progress):
        meanwhile()
        (staging / f"{tap}.onnx").write_bytes(b"graph")
        shape = {tap: (AS_LONG, 16)}
        sha256 = hashlib.sha256(b"graph").hexdigest()
        return replace(card, taps={**card.taps, **shape}, extras={**card.extras, f"{tap}.onnx": sha256})

    monkeypatch.setattr("models.hosted.more_taps", more_taps)


def test_a_backbone_that_is_removed_meanwhile_is_unknown_and_leaves_nothing(hosted_copy, monkeypatch):
    home = hosted_copy.folder / hosted_copy.card.digest
    instead_of_an_export(monkeypatch, lambda: shutil.rmtree(home))
    with pytest.raises(BackboneUnknown, match="is hosted here"):
        add_tap(hosted_copy.entry, hosted_copy.folder, home.name, "block1", no_progress)
    assert {path.name for path in hosted_copy.folder.iterdir()} == {"deep.json", ".deep.lock"}


def test_a_backbone_that_is_removed_before_it_is_locked_is_unknown_and_leaves_nothing(hosted_copy, monkeypatch):
    """A file in the place of its folder would be in the way of who hosts it again."""
    home, lock = hosted_copy.folder / hosted_copy.card.digest, hosted.locked_folder

    def late(path):
        if path == home:
            shutil.rmtree(home)
        return lock(path)

    monkeypatch.setattr(hosted, "locked_folder", late)
    with pytest.raises(BackboneUnknown, match="is hosted here"):
        add_tap(hosted_copy.entry, hosted_copy.folder, home.name, "block1", no_progress)
    assert not home.exists()


def test_who_reads_meanwhile_finds_the_card_as_it_was(hosted_copy, monkeypatch):
    home, seen = hosted_copy.folder / hosted_copy.card.digest, []
    instead_of_an_export(monkeypatch, lambda: seen.append(read_card(home)))
    card = add_tap(hosted_copy.entry, hosted_copy.folder, home.name, "block1", no_progress)
    assert seen == [hosted_copy.card]
    check_files(card, home)


def test_what_dies_before_the_card_is_written_has_added_nothing_and_can_be_done_again(hosted_copy, monkeypatch):
    folder, digest = hosted_copy.folder, hosted_copy.card.digest
    instead_of_an_export(monkeypatch, lambda: None)
    with monkeypatch.context() as dying:
        dying.setattr(hosted, "replace_file", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            add_tap(hosted_copy.entry, folder, digest, "block1", no_progress)
    assert (folder / digest / "block1.onnx").exists()
    assert read_card(folder / digest) == hosted_copy.card
    open_backbone(folder, digest, threads=1)
    assert "block1" in add_tap(hosted_copy.entry, folder, digest, "block1", no_progress).taps


@pytest.mark.parametrize("tap", ["block4", "block0", "../pooled", "logits"])
def test_a_tap_that_the_network_lacks_is_refused(hosted_copy, tap):
    with pytest.raises(SourceRefused, match="no tap"):
        add_tap(hosted_copy.entry, hosted_copy.folder, hosted_copy.card.digest, tap, no_progress)
    assert read_card(hosted_copy.folder / hosted_copy.card.digest) == hosted_copy.card


@pytest.mark.parametrize("tap", ["blocks", "block1", "logits"])
def test_an_embedding_that_is_not_there_is_not_opened(deep, tap):
    with pytest.raises(BackboneUnknown, match=f"without an embedding '{tap}'"):
        open_backbone(deep.folder, deep.card.digest, threads=1, tap=tap)


def test_a_backbone_that_is_not_hosted_has_no_taps(deep):
    with pytest.raises(BackboneUnknown, match="is hosted here"):
        add_tap(deep.entry, deep.folder, "0" * 64, "blocks", no_progress)


def test_other_weights_are_refused(hosted_copy):
    from safetensors.torch import load_file, save_file

    path = Path(hosted_copy.entry.source.path) / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    with pytest.raises(SourceRefused, match="weights of 'deep' have changed"):
        add_tap(hosted_copy.entry, hosted_copy.folder, hosted_copy.card.digest, "block1", no_progress)


def test_the_same_weights_used_in_another_way_are_refused(hosted_copy):
    other = replace(hosted_copy.entry, options=Options(pooling="cls"))
    with pytest.raises(SourceRefused, match="used in another way"):
        add_tap(other, hosted_copy.folder, hosted_copy.card.digest, "block1", no_progress)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (OnnxFile("a.onnx", "x", "y"), "an ONNX file, whose architecture is unknown"),
        (Words("a.bin", "glove"), "a table of word vectors"),
        (Trunk("a:1", "a.onnx", "0" * 64), "the hidden layer of an adapter"),
        (entry("fake").source, "a fixed transform"),
    ],
)
def test_what_has_no_weights_in_torch_is_refused_with_what_to_do(deep, source, why):
    without = Entry("deep", "text", "", "", source)
    with pytest.raises(SourceRefused, match=rf"'deep' cannot be trained .*: it is {why}.*head alone"):
        add_tap(without, deep.folder, deep.card.digest, "blocks", no_progress)


def test_a_damaged_tap_is_not_opened_and_pooled_still_is(tapped, tmp_path):
    folder, digest = shutil.copytree(tapped.folder, tmp_path / "copy"), tapped.card.digest
    (folder / digest / "blocks.onnx").write_bytes(b"other")
    with pytest.raises(WeightsCorrupt):
        open_backbone(folder, digest, threads=1, tap="blocks")
    open_backbone(folder, digest, threads=1)


SERVING = """
import sys
from pathlib import Path
from models.hosted import open_backbone
from models.streaming import keep, open_tap, stream
from models.warm import warm

folder, digest, scratch = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
backbone = open_backbone(folder, digest, threads=1, tap="blocks")
warm(backbone)
stream(open_tap(folder, digest, "block1", threads=1), ["lost"], scratch)
keep(backbone, ["lost"], scratch)
print(sorted({"torch", "transformers", "onnx", "onnxscript", "timm"} & sys.modules.keys()))
"""


def test_who_opens_a_tap_loads_neither_torch_nor_onnx(tapped, tmp_path):
    command = [sys.executable, "-c", SERVING, str(tapped.folder), tapped.card.digest, str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


ADDING = """
import sys
from pathlib import Path
from models.catalog import Entry
from models.hosted import add_tap
from models.sources import Folder

entry = Entry("deep", "text", "Apache-2.0", "", Folder(sys.argv[1]))
print(len(add_tap(entry, Path(sys.argv[2]), sys.argv[3], sys.argv[4], lambda stage, share: None).taps))
"""


@pytest.mark.slow
def test_processes_that_add_taps_at_once_lose_none(hosted_copy):
    folder, digest = hosted_copy.folder, hosted_copy.card.digest
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, hosted_copy.entry.source.path, str(folder), digest, tap],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        for tap in ("block1", "block2", "block1", "blocks")
    ]
    assert [process.wait(180) for process in processes] == [0, 0, 0, 0]
    card = read_card(folder / digest)
    assert set(card.taps) == {"pooled", "block1", "block2", "blocks"}
    check_files(card, folder / digest)
