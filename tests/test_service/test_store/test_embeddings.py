import errno
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.store import embedding_file, embeddings
from service.store.embeddings import EmbeddingCache, Space

ROOT = Path(__file__).parents[3]
WIDTH = 96
SPACE = Space("acme", "d" * 64, "pooled", "cpu", "truncate")

WRITER = """
import sys, numpy as np
from pathlib import Path
from service.store.embeddings import EmbeddingCache, Space

folder, begin, stop, batch = Path(sys.argv[1]), *map(int, sys.argv[2:])
space = Space("acme", "d" * 64, "pooled", "cpu", "truncate")
cache = EmbeddingCache(folder, 2**30, wait_s=60)
for start in range(begin, stop, batch):
    numbers = range(start, min(stop, start + batch))
    rows = np.array([np.random.default_rng(i).standard_normal(96) for i in numbers], dtype=np.float32)
    cache.put_many([space.key(f"item {i}") for i in numbers], rows, np.zeros(len(rows), dtype=bool))
    print(start, flush=True)
"""


def _row(i):
    return np.random.default_rng(i).standard_normal(WIDTH).astype(np.float32)


def _rows(numbers):
    return np.stack([_row(i) for i in numbers])


def _keys(numbers, space=SPACE):
    return [space.key(f"item {i}") for i in numbers]


def _put(cache, numbers, cut=False):
    cache.put_many(_keys(numbers), _rows(numbers), np.full(len(numbers), cut))


def _hits(cache, numbers):
    """Which of them are there; those that are must be right."""
    found = cache.get_many(_keys(numbers), WIDTH)
    there = [i for i, hit in zip(numbers, found.hit, strict=True) if hit]
    if there:
        np.testing.assert_array_equal(found.rows[found.hit], _rows(there))
    return there


@pytest.fixture
def cache(tmp_path):
    made = EmbeddingCache(tmp_path / "cache", 2**30)
    yield made
    made.close()


def _file(folder):
    (path,) = folder.glob("*.sqlite")
    return path


def test_what_was_put_is_found_again_by_another_process_too(cache, tmp_path):
    assert _hits(cache, range(3)) == []
    _put(cache, range(3), cut=True)
    _put(cache, range(3, 5))
    other = EmbeddingCache(tmp_path / "cache", 2**30)
    for reader in (cache, other):
        found = reader.get_many(_keys([4, 0, 9, 0]), WIDTH)
        assert found.hit.tolist() == [True, True, False, True]
        assert found.cut.tolist() == [False, True, False, True]
        np.testing.assert_array_equal(found.rows, np.stack([_row(4), _row(0), np.zeros(WIDTH, np.float32), _row(0)]))
    other.close()


def test_nothing_is_opened_before_it_is_used(tmp_path):
    EmbeddingCache(tmp_path / "cache", 2**30).close()
    assert not (tmp_path / "cache").exists()


def test_more_keys_than_a_statement_takes(cache):
    _put(cache, range(0, 2_400, 2))
    assert _hits(cache, range(2_400)) == list(range(0, 2_400, 2))


@pytest.mark.parametrize(
    "other",
    [{"tenant": "globex"}, {"digest": "e" * 64}, {"tap": "block3"}, {"provider": "cuda"}, {"long": "chunk"}],
)
def test_whatever_an_embedding_depends_on_is_in_its_key(other):
    assert replace(SPACE, **other).key("item") != SPACE.key("item")


def test_parts_of_a_key_cannot_be_shifted_into_each_other():
    assert replace(SPACE, tap="a", provider="bc").key("x") != replace(SPACE, tap="ab", provider="c").key("x")


def test_texts_and_files_have_keys():
    assert SPACE.key("ä") == SPACE.key("ä".encode()) != SPACE.key("a")
    assert len(SPACE.key("half a pair \ud800")) == 32


def test_a_row_of_another_width_is_a_miss(cache):
    _put(cache, range(2))
    assert not cache.get_many(_keys(range(2)), WIDTH + 1).hit.any()


def test_the_file_stays_within_its_bound_and_the_least_used_go_first(tmp_path):
    max_bytes = 2**21
    cache = EmbeddingCache(tmp_path, max_bytes)
    favourite = range(50)
    _put(cache, favourite)
    for start in range(100, 20_000, 100):
        _put(cache, range(start, start + 100))
        assert _hits(cache, favourite) == list(favourite)
    assert _hits(cache, range(19_900, 20_000)) == list(range(19_900, 20_000))
    assert _hits(cache, range(100, 1_000)) == []
    cache.close()
    assert max_bytes / 2 < _file(tmp_path).stat().st_size <= 1.1 * max_bytes


def test_reading_writes_at_most_once_a_part(tmp_path, monkeypatch):
    cache = EmbeddingCache(tmp_path, 2**22)
    _put(cache, range(20))
    noted = []
    real = embedding_file.refresh
    monkeypatch.setattr(embedding_file, "refresh", lambda c, keys, part: noted.append(len(keys)) or real(c, keys, part))
    _hits(cache, range(20))
    for start in range(1_000, 3_000, 200):
        _put(cache, range(start, start + 200))
    for _ in range(3):
        _hits(cache, range(20))
    assert noted == [20]


def test_zero_bytes_switch_it_off(tmp_path):
    cache = EmbeddingCache(tmp_path / "cache", 0)
    _put(cache, range(3))
    assert _hits(cache, range(3)) == []
    assert not (tmp_path / "cache").exists()


def _overwrite_everything(path):
    path.write_bytes(b"not a database at all " * 4_000)


def _cut_in_half(path):
    os.truncate(path, path.stat().st_size // 2)


def _of_another_program(path):
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()


def _of_another_format(path):
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()


def _without_its_state(path):
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM state")
    other.close()


@pytest.mark.parametrize(
    "damage", [_overwrite_everything, _cut_in_half, _of_another_program, _of_another_format, _without_its_state]
)
def test_a_file_that_is_damaged_or_not_ours_gives_way_to_a_new_one(tmp_path, damage, caplog):
    first = EmbeddingCache(tmp_path, 2**30)
    _put(first, range(2_000))
    first.close()
    damage(_file(tmp_path))
    with caplog.at_level(logging.WARNING):
        cache = EmbeddingCache(tmp_path, 2**30)
        assert len(_hits(cache, range(2_000))) < 2_000
        _put(cache, range(5))
        _put(cache, range(5))
    assert _hits(cache, range(5)) == list(range(5))
    assert [record.message for record in caplog.records] == ["the cache of embeddings failed; it begins anew"]
    assert [
        path.name for path in tmp_path.glob("*.sqlite*") if "-wal" not in path.name and "-shm" not in path.name
    ] == ["embeddings-2.sqlite"]
    cache.close()


def test_a_process_that_still_holds_a_file_given_up_follows_to_the_new_one(tmp_path):
    slow, quick = EmbeddingCache(tmp_path, 2**30), EmbeddingCache(tmp_path, 2**30)
    _put(slow, range(5))
    assert _hits(quick, range(5)) == list(range(5))
    quick._give_up(_file(tmp_path))
    assert _hits(quick, range(5)) == []
    _put(slow, range(5, 8))
    assert _hits(quick, range(8)) == [5, 6, 7]
    for cache in (slow, quick):
        cache.close()


def test_a_flipped_bit_is_a_miss_and_the_row_is_written_anew(cache, tmp_path):
    _put(cache, range(10))
    path = _file(tmp_path / "cache")
    cache.close()
    data = bytearray(path.read_bytes())
    data[data.index(_row(4).tobytes()) + 17] ^= 1
    path.write_bytes(data)
    assert _hits(cache, range(10)) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    _put(cache, [4])
    assert _hits(cache, range(10)) == list(range(10))


def test_a_full_disk_is_said_once_and_tried_again_later(tmp_path, monkeypatch, caplog):
    now_s = [0.0]
    cache = EmbeddingCache(tmp_path, 2**30, clock=lambda: now_s[0])
    _put(cache, range(3))
    real = embedding_file.write

    def full(connection, *_args, **_more):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(embedding_file, "write", full)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            _put(cache, range(3, 6))
            now_s[0] += embeddings.PAUSE_S + 1
    assert len(caplog.records) == 1
    assert "nothing is remembered" in caplog.text
    monkeypatch.setattr(embedding_file, "write", real)
    _put(cache, range(3, 6))
    assert _hits(cache, range(6)) == list(range(6))
    cache.close()


def test_a_really_full_file_rolls_back_and_does_no_harm(cache, tmp_path):
    _put(cache, range(3))
    connection = cache._open[1]
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    _put(cache, range(10, 2_000))
    cache._paused_until_s = 0
    assert _hits(cache, range(2_000)) == [0, 1, 2]


def test_nothing_is_added_where_the_disk_is_nearly_full(tmp_path):
    cache = EmbeddingCache(tmp_path, 2**30, min_free_bytes=2**62)
    _put(cache, range(3))
    assert _hits(cache, range(3)) == []


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    cache = EmbeddingCache(tmp_path / "cache", 2**30)
    with caplog.at_level(logging.WARNING):
        _put(cache, range(3))
        assert _hits(cache, range(3)) == []
    assert len(caplog.records) == 1
    assert os.strerror(errno.EEXIST) in caplog.records[0].reason


def test_a_write_that_would_wait_too_long_is_forgotten(tmp_path, caplog):
    holder = EmbeddingCache(tmp_path, 2**30)
    _put(holder, [0])
    cache = EmbeddingCache(tmp_path, 2**30, wait_s=0)
    holder._open[1].execute("BEGIN IMMEDIATE")
    _put(cache, [1])
    assert _hits(cache, [0, 1]) == [0]
    holder._open[1].execute("ROLLBACK")
    _put(cache, [1])
    assert _hits(cache, [0, 1]) == [0, 1]
    assert not caplog.records
    for one in (holder, cache):
        one.close()


def test_threads_share_one(cache):
    def work(start):
        for at in range(start, start + 200, 20):
            _put(cache, range(at, at + 20))
            assert _hits(cache, range(at, at + 20)) == list(range(at, at + 20))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 200, 400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_hits(cache, range(600))) == 600


def _start(folder, begin, stop, batch):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(begin), str(stop), str(batch)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_several_processes_write_at_once(tmp_path):
    """They also open at once, the file being new; and they write the same rows in the middle."""
    writers = [_start(tmp_path, begin, begin + 400, 10) for begin in (0, 300, 600)]
    for writer in writers:
        with writer.stdout:
            writer.stdout.read()
        assert writer.wait(60) == 0
    cache = EmbeddingCache(tmp_path, 2**30)
    assert _hits(cache, range(1_000)) == list(range(1_000))
    cache.close()


def test_a_writer_that_is_killed_leaves_whole_rows(tmp_path):
    writer = _start(tmp_path, 0, 1_000_000, 50)
    with writer.stdout:
        said = [int(writer.stdout.readline()) for _ in range(8)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait(60)
    cache = EmbeddingCache(tmp_path, 2**30)
    there = _hits(cache, range(said[-1] + 200))
    assert there[: said[-1] + 50] == list(range(said[-1] + 50))
    assert len(there) % 50 == 0
    _put(cache, range(5_000_000, 5_000_010))
    assert len(_hits(cache, range(5_000_000, 5_000_010))) == 10
    cache.close()


def test_a_write_that_is_broken_off_leaves_nothing_and_blocks_nobody(cache):
    with pytest.raises(ValueError, match="shorter"):
        cache.put_many(_keys(range(3)), _rows(range(2)), np.zeros(2, dtype=bool))
    _put(cache, range(5, 7))
    assert _hits(cache, range(8)) == [5, 6]
