"""Blobs are whole, durable and never replaced."""

import errno
import hashlib
import os
import shutil
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from service.errors import ArtifactCorrupt, DiskFull
from service.store.blobs import Blobs, create_only

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def blobs(tmp_path):
    return Blobs(tmp_path)


def _left(tmp_path):
    return sorted(path.name for path in (tmp_path / "staging").glob("*"))


def _fails(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


def test_a_blob_is_read_back_by_its_digest(blobs, tmp_path):
    blob = blobs.put(b"hello")
    assert blob.digest == hashlib.sha256(b"hello").hexdigest()
    assert (blob.size_bytes, blobs.get(blob.digest)) == (5, b"hello")
    assert blobs.path(blob.digest) == tmp_path / "blobs" / "sha256" / blob.digest[:2] / blob.digest
    assert _left(tmp_path) == []


def test_the_same_bytes_twice_are_one_file_written_once(blobs):
    first = blobs.put(b"hello")
    before = blobs.path(first.digest).stat()
    assert blobs.put(b"hello") == first
    assert blobs.path(first.digest).stat().st_ino == before.st_ino


def test_many_writers_of_the_same_bytes_at_once(blobs, tmp_path):
    results = []
    threads = [threading.Thread(target=lambda: results.append(blobs.put(b"x" * 100_000))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1
    assert blobs.get(results[0].digest) == b"x" * 100_000
    assert _left(tmp_path) == []


def test_create_only_never_replaces_and_says_who_made_it(tmp_path):
    path, staging = tmp_path / "a" / "b" / "manifest.json", tmp_path / "staging"
    assert create_only(path, b"first", staging) is True
    assert create_only(path, b"second", staging) is False
    assert path.read_bytes() == b"first"
    assert _left(tmp_path) == []


def test_create_only_writes_through_no_symbolic_link(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(outside)
    assert create_only(link, b"evil", tmp_path / "staging") is False
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert create_only(dangling, b"evil", tmp_path / "staging") is False
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_the_file_is_synced_before_it_has_its_name_and_the_folder_after(tmp_path, monkeypatch):
    path, seen = tmp_path / "folder" / "blob", []
    real = os.fsync

    def fsync(handle):
        seen.append((Path(f"/proc/self/fd/{handle}").readlink().name, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    create_only(path, b"x", tmp_path / "staging")
    (temporary, named_then), (folder, named_after) = seen
    assert (len(temporary), named_then) == (32, False)
    assert (folder, named_after) == ("folder", True)


def test_a_blob_with_other_bytes_is_corrupt(blobs):
    blob = blobs.put(b"hello")
    blobs.path(blob.digest).write_bytes(b"hellp")
    with pytest.raises(ArtifactCorrupt, match="5 bytes on disk"):
        blobs.get(blob.digest)
    blobs.path(blob.digest).write_bytes(b"")
    with pytest.raises(ArtifactCorrupt):
        blobs.get(blob.digest)


def test_a_missing_blob_is_our_fault_and_deleting_it_is_harmless(blobs):
    blob = blobs.put(b"hello")
    blobs.delete(blob.digest)
    blobs.delete(blob.digest)
    with pytest.raises(ArtifactCorrupt):
        blobs.get(blob.digest)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_full_disk_leaves_nothing_behind(blobs, tmp_path, monkeypatch, call, code):
    monkeypatch.setattr(os, call, _fails(code))
    with pytest.raises(DiskFull, match="no room left"):
        blobs.put(b"hello")
    assert not blobs.path(hashlib.sha256(b"hello").hexdigest()).exists()
    assert _left(tmp_path) == []


def test_no_room_for_a_folder_is_a_full_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "mkdir", _fails(errno.ENOSPC))
    with pytest.raises(DiskFull):
        create_only(tmp_path / "a" / "b", b"x", tmp_path / "staging")


def test_another_disk_error_stays_what_it_is(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", _fails(errno.EIO))
    with pytest.raises(OSError, match=r"\[Errno 5\]") as caught:
        blobs.put(b"hello")
    assert not isinstance(caught.value, DiskFull)
    assert _left(tmp_path) == []


def test_the_reserve_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 900, 100))
    blobs = Blobs(tmp_path, min_free_bytes=95)
    assert blobs.put(b"12345").size_bytes == 5
    with pytest.raises(DiskFull, match=r"100 bytes are free .* and 95 are"):
        blobs.put(b"123456")


def test_a_staged_file_is_gone_afterwards_however_it_ends(blobs, tmp_path):
    with blobs.staged() as path:
        path.write_bytes(b"x")
        assert _left(tmp_path) == [path.name]
    assert _left(tmp_path) == []

    def fill():
        with blobs.staged() as path:
            path.write_bytes(b"x")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(DiskFull):
        fill()
    with blobs.staged():
        pass
    assert _left(tmp_path) == []


def _aged(path, age_s, now_s=10_000):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    os.utime(path, (now_s - age_s, now_s - age_s))
    return path


def test_the_sweep_removes_what_is_old_and_wanted_by_nothing(blobs, tmp_path):
    old, young = _aged(tmp_path / "staging" / "old", 100), _aged(tmp_path / "staging" / "young", 10)
    digests = {name: blobs.put(name.encode()).digest for name in ("wanted", "left", "new")}
    for name, age_s in (("wanted", 100), ("left", 100), ("new", 10)):
        _aged(blobs.path(digests[name]), age_s)
    assert blobs.sweep({digests["wanted"]}, older_than_s=50, now_s=10_000) == 2
    assert (old.exists(), young.exists()) == (False, True)
    there = {name: blobs.path(digest).exists() for name, digest in digests.items()}
    assert there == {"wanted": True, "left": False, "new": True}


def test_a_blob_that_is_stored_again_is_young_again(blobs):
    digest = blobs.put(b"x").digest
    _aged(blobs.path(digest), 1_000_000)
    now_s = time.time()
    blobs.put(b"x")
    assert blobs.sweep(set(), older_than_s=50, now_s=now_s) == 0
    assert blobs.get(digest) == b"x"


def test_the_sweep_passes_over_files_that_vanish_while_it_looks(blobs, tmp_path, monkeypatch):
    old, vanished = _aged(tmp_path / "staging" / "old", 100), tmp_path / "staging" / "vanished"
    found = [vanished, old]
    monkeypatch.setattr(type(old), "glob", lambda folder, _: iter(found if folder.name == "staging" else []))
    assert blobs.sweep(set(), older_than_s=50, now_s=10_000) == 1
    assert not old.exists()


def test_the_sweep_of_a_new_home_finds_nothing(blobs):
    assert blobs.sweep(set(), 0, 1e12) == 0


class TestPutFile:
    def test_is_the_same_blob_as_its_bytes(self, blobs, tmp_path):
        (tmp_path / "graph").write_bytes(b"x" * 3_000_000)
        with (tmp_path / "graph").open("rb") as file:
            file.read(10)  # wherever it stands
            stored = blobs.put_file(file, 3_000_000)
            assert stored == blobs.put(b"x" * 3_000_000)
            assert blobs.put_file(file, 3_000_000) == stored
        assert blobs.get(stored.digest) == b"x" * 3_000_000
        assert list((tmp_path / "staging").iterdir()) == []

    def test_again_it_is_young_again(self, blobs, tmp_path):
        (tmp_path / "graph").write_bytes(b"x")
        with (tmp_path / "graph").open("rb") as file:
            path = blobs.path(blobs.put_file(file, 1).digest)
            os.utime(path, (1, 1))
            blobs.put_file(file, 1)
        assert path.stat().st_mtime > 1

    def test_the_reserve_is_kept(self, tmp_path):
        with (tmp_path / "graph").open("wb+") as file, pytest.raises(DiskFull):
            Blobs(tmp_path, min_free_bytes=2**60).put_file(file, 1)
