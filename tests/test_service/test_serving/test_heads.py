"""Heads of all sizes and widths in one file, which fills up, and may have no room on its disk."""

import hashlib
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from service.serving import headfile, heads
from service.serving.headfile import NAME, record_bytes
from service.serving.heads import HeadTable, Slot

WIDTH = 4
PAGE = headfile._FIRST


def _key(name):
    return hashlib.sha256(name.encode()).hexdigest()


def _head(value, k=3, width=WIDTH):
    return np.full((k, width), value, np.float32), np.full(k, value, np.float32)


def _put(table, name, value, k=3, width=WIDTH):
    return table.put(_key(name), *_head(value, k, width), 1.0)


def _get(table, name):
    return table.get(_key(name))


def _holds(slot, value, k=3, width=WIDTH):
    weight, bias = _head(value, k, width)
    np.testing.assert_array_equal(slot.weight, weight)
    np.testing.assert_array_equal(slot.bias, bias)


def _limit(*rows):
    """A limit whose file has room for heads of so many rows."""
    return 2 * (PAGE + sum(record_bytes(k, WIDTH) for k in rows))


@pytest.fixture
def opened(tmp_path):
    made = []

    def open_table(limit_bytes=2**20, folder=tmp_path / "serving", **more):
        made.append(HeadTable(folder, limit_bytes, **more))
        return made[-1]

    yield open_table
    for table in made:
        table.close()


@pytest.fixture
def table(opened):
    return opened()


class TestSlot:
    @pytest.fixture
    def z(self):
        return np.random.default_rng(0).normal(size=(7, WIDTH)).astype(np.float32)

    def test_probabilities_are_the_softmax_of_scores_over_temperature(self, table, z):
        rng = np.random.default_rng(1)
        weight, bias = rng.normal(size=(5, WIDTH)).astype(np.float32), rng.normal(size=5).astype(np.float32)
        slot = table.put(_key("a"), weight, bias, 2.0)
        scores = (z.astype(np.float64) @ weight.T.astype(np.float64) + bias) / 2
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(slot.probabilities(z), expected, atol=1e-6)
        assert slot.probabilities(z).dtype == np.float32
        for i in range(7):
            np.testing.assert_allclose(slot.probabilities(z[i : i + 1])[0], expected[i], atol=1e-6)

    def test_scores_of_a_regression_are_its_values(self, z):
        slot = Slot(np.array([[1, 2, 3, 4]], np.float32), np.array([5], np.float32), 1.0)
        np.testing.assert_allclose(slot.scores(z), (z @ [1, 2, 3, 4] + 5)[:, None], rtol=1e-5)
        assert slot.scores(z).dtype == np.float32

    def test_large_scores_stay_finite(self):
        weight, bias = np.array([[1e30] * WIDTH, [-1e30] * WIDTH], np.float32), np.zeros(2, np.float32)
        np.testing.assert_array_equal(Slot(weight, bias, 1.0).probabilities(np.ones((1, WIDTH), np.float32)), [[1, 0]])


class TestSharing:
    def test_heads_of_many_sizes_and_widths_stand_side_by_side(self, table):
        sizes = [(12, 4), (2, 384), (77, 3), (1, 1)]
        for i, (k, width) in enumerate(sizes):
            _put(table, str(i), i, k, width)
        for i, (k, width) in enumerate(sizes):
            _holds(_get(table, str(i)), i, k, width)
            assert _get(table, str(i)).weight.shape == (k, width)
        assert _get(table, "nobody") is None

    def test_a_temperature_is_kept_as_the_float32_it_is(self, table):
        table.put(_key("a"), *_head(1), 1.3)
        assert table.get(_key("a")).temperature == float(np.float32(1.3))

    def test_the_same_key_again_stays_where_it_is(self, table):
        first, again = _put(table, "a", 1), _put(table, "a", 1)
        assert np.shares_memory(first.weight, again.weight)
        assert np.shares_memory(first.weight, _get(table, "a").weight)

    def test_a_head_is_copied_in_and_cannot_be_written_to(self, table):
        weight, bias = _head(1)
        slot = table.put(_key("a"), weight, bias, 1.0)
        weight[:] = 9
        _holds(slot, 1)
        for array in (slot.weight, slot.bias):
            with pytest.raises(ValueError, match="read-only"):
                array[:] = 0

    def test_rows_begin_where_vector_units_like_them(self, table):
        for i, k in enumerate((1, 2, 7)):
            assert _put(table, str(i), i, k).weight.ctypes.data % 64 == 0

    def test_what_another_one_has_put_is_found_and_not_written_again(self, opened):
        first, second = opened(), opened()
        _put(first, "a", 1)
        assert _get(second, "a") is None
        _holds(_put(second, "a", 1), 1)
        assert second._file._end == PAGE + record_bytes(3, WIDTH)
        _put(second, "b", 2)
        _put(first, "c", 3)
        for table in (first, second):
            for i, name in enumerate("abc"):
                _holds(_put(table, name, i + 1), i + 1)
        assert first._file._end == PAGE + 3 * record_bytes(3, WIDTH)

    def test_what_stands_in_the_file_is_not_taken_on_trust(self, opened, tmp_path):
        first, second = opened(), opened()
        _put(first, "a", 7)
        _holds(_put(second, "a", 1), 1)
        _holds(_get(second, "a"), 1)


def _deleted(folder):
    """Mappings of files of a folder that have no name any more."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if str(folder) in line and "deleted" in line]


class TestFull:
    def test_a_full_file_is_followed_by_one_that_forgets(self, opened):
        table = opened(_limit(3, 3))
        slots = [_put(table, str(i), i) for i in range(7)]
        assert [i for i in range(7) if _get(table, str(i)) is not None] == [6]
        for i, slot in enumerate(slots):
            _holds(slot, i)

    def test_everyone_turns_to_the_new_file(self, opened):
        first, second = opened(_limit(3, 3)), opened(_limit(3, 3))
        kept = _put(first, "a", 1)
        _put(second, "a", 1)
        _put(second, "b", 2)
        _put(second, "c", 3)
        assert _get(first, "a") is None
        _holds(kept, 1)
        again = _put(first, "a", 1)
        _holds(_put(second, "c", 3), 3)
        assert first._file._end == second._file._end == PAGE + 2 * record_bytes(3, WIDTH)
        _holds(again, 1)

    @pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the kernel does not show its mappings")
    def test_the_old_file_is_gone_with_its_last_reader(self, opened, tmp_path):
        first, second = opened(_limit(3)), opened(_limit(3))
        kept = _put(first, "a", 1)
        _put(second, "b", 2)
        _put(first, "b", 2)
        assert len(_deleted(tmp_path)) == 1
        _holds(kept, 1)
        del kept
        assert not _deleted(tmp_path)

    def test_one_who_was_ended_before_the_new_file_had_its_name_holds_up_nobody(self, opened, monkeypatch):
        first, second = opened(_limit(3)), opened(_limit(3))
        _put(first, "a", 1)
        monkeypatch.setattr(headfile.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _put(first, "b", 2)
        monkeypatch.undo()
        for table in (second, first):
            _holds(_put(table, "c", 3), 3)
        assert np.array_equal(first._file._map[:], second._file._map[:])

    def test_there_are_never_more_bytes_than_the_limit(self, opened, tmp_path):
        table = opened(200_000)
        for i in range(300):
            _put(table, str(i), i, 7)
            files = [path.stat() for path in (tmp_path / "serving").iterdir()]
            assert sum(file.st_size for file in files) <= 100_000


def test_a_file_that_is_followed_by_another_is_closed(opened):
    table = opened(_limit(3))
    _put(table, "a", 1)
    before = len(list(Path("/dev/fd").iterdir()))
    for i in range(20):
        _put(table, str(i), i)
    assert len(list(Path("/dev/fd").iterdir())) == before


class TestAlone:
    """What cannot be shared is held by the process itself, and the caller never learns of it."""

    @pytest.fixture
    def complaints(self, caplog):
        caplog.set_level(logging.ERROR, logger="service.serving.heads")
        return lambda: [record.reason for record in caplog.records]

    def test_a_head_larger_than_the_file(self, opened, complaints):
        table = opened(_limit(3))
        _put(table, "small", 1)
        _holds(_put(table, "large", 2, 500), 2, 500)
        _holds(_get(table, "large"), 2, 500)
        _holds(_get(table, "small"), 1)
        assert "larger than the file" in complaints()[0]

    @pytest.mark.parametrize("fails", ["pwrite", "ftruncate"])
    def test_a_full_disk(self, table, monkeypatch, complaints, fails):
        _put(table, "before", 1) if fails == "pwrite" else None

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, fails, full)
        for i in range(3):
            _holds(_put(table, str(i), i), i)
            _holds(_get(table, str(i)), i)
        assert complaints() == ["[Errno 28] No space left on device"]
        monkeypatch.undo()
        _put(table, "after", 2)
        assert table._file.get(_key("after"))
        _holds(_put(table, "0", 0), 0)
        if fails == "pwrite":
            _holds(_get(table, "before"), 1)

    def test_a_disk_that_is_full_again_is_said_again(self, opened, monkeypatch, complaints):
        table = opened()
        for i in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", lambda *_: 0)
                for name in ("a", "b"):
                    _put(table, f"{name}{i}", 1)
            _put(table, f"c{i}", 1)
        assert len(complaints()) == 2

    def test_a_disk_that_takes_only_a_part(self, table, monkeypatch, complaints):
        _put(table, "before", 1)
        real = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda handle, data, place: real(handle, data[:70], place))
        _holds(_put(table, "a", 2), 2)
        assert "No space left" in complaints()[0]
        monkeypatch.undo()
        _holds(_put(table, "b", 3), 3)
        assert table._file._end == PAGE + 2 * record_bytes(3, WIDTH)

    def test_the_reserve_of_the_disk_is_left(self, opened, complaints):
        table = opened(min_free_bytes=2**62)
        _holds(_put(table, "a", 1), 1)
        assert "reserve" in complaints()[0]
        assert table._file._end == PAGE

    def test_a_mapping_that_does_not_show_what_was_written(self, table, monkeypatch, complaints):
        real = headfile._record
        monkeypatch.setattr(headfile, "_record", lambda key, head: real(key, (head[0] + 1, head[1], head[2])))
        _holds(_put(table, "a", 1), 1)
        assert "does not show" in complaints()[0]

    def test_a_folder_that_cannot_be_made(self, opened, tmp_path, complaints):
        (tmp_path / "file").write_bytes(b"")
        table = opened(folder=tmp_path / "file" / "serving")
        _holds(_put(table, "a", 1), 1)
        assert len(complaints()) == 1

    def test_a_process_of_another_release(self, opened, monkeypatch, complaints):
        _put(opened(), "a", 1)
        monkeypatch.setattr(headfile, "_MAGIC", b"GRAFTHD2")
        other = opened()
        _holds(_put(other, "a", 1), 1)
        assert "another release" in complaints()[0]

    def test_its_memory_is_bounded_and_its_arrays_are_its_own(self, opened, monkeypatch):
        monkeypatch.setattr(heads, "ALONE_BYTES", 3 * 4 * 3 * (WIDTH + 1))
        table = opened(min_free_bytes=2**62)
        weight, bias = _head(0)
        slot = table.put(_key("0"), weight, bias, 1.0)
        weight[:] = 9
        _holds(slot, 0)
        for i in range(1, 5):
            _put(table, str(i), i)
        assert [i for i in range(5) if _get(table, str(i)) is not None] == [2, 3, 4]


def test_threads_that_put_and_get_at_once(opened):
    import threading

    table = opened(_limit(*[3] * 40))
    wrong = []

    def work(seed):
        for i in np.random.default_rng(seed).integers(0, 60, 300).tolist():
            slot = _get(table, str(i)) or _put(table, str(i), i)
            if not (slot.weight == i).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_closing_leaves_slots_valid_and_no_file(opened, tmp_path):
    first, second = opened(), opened()
    slot = _put(first, "a", 1)
    _put(second, "b", 2)
    first.close()
    _holds(slot, 1)
    assert (tmp_path / "serving" / NAME).exists()
    second.close()
    assert not (tmp_path / "serving" / NAME).exists()
    assert not list(tmp_path.glob("serving/*.new"))
    _holds(slot, 1)


def test_heads_that_this_process_holds_are_counted(tmp_path):
    table = HeadTable(tmp_path, 2**20)
    assert len(table) == 0
    for key in ("a" * 64, "b" * 64, "a" * 64):
        table.put(key, np.ones((2, WIDTH), np.float32), np.zeros(2, np.float32), 1.0)
    assert len(table) == 2
    table.close()
