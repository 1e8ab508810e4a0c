"""The pepper: made once, whoever is first, for the owner's eyes alone."""

import stat
import threading

import pytest

from service.store.pepper import PepperLost, read_pepper


def test_it_is_made_once_and_kept(tmp_path):
    home = tmp_path / "new" / "home"
    first = read_pepper(home, may_make=True)
    assert len(first) == 64
    assert read_pepper(home, may_make=True) == read_pepper(home, may_make=False) == first
    assert read_pepper(tmp_path / "other", may_make=True) != first
    assert [path.name for path in home.iterdir()] == ["pepper"]


def test_only_the_owner_may_read_it(tmp_path):
    read_pepper(tmp_path, may_make=True)
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600


def test_all_who_come_at_once_get_the_same_one(tmp_path, monkeypatch):
    together = threading.Barrier(8)
    real = threading.local()

    def nobody_has_made_it(path):
        if not getattr(real, "asked", False):
            real.asked = True
            together.wait(10)
            return False
        return True

    monkeypatch.setattr("pathlib.Path.exists", nobody_has_made_it)
    read: list[bytes] = []
    threads = [threading.Thread(target=lambda: read.append(read_pepper(tmp_path, may_make=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 8
    assert set(read) == {(tmp_path / "pepper").read_bytes()}
    assert [path.name for path in tmp_path.iterdir()] == ["pepper"]


def test_who_comes_second_takes_the_first_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.exists", lambda _: False)
    assert read_pepper(tmp_path, may_make=True) == read_pepper(tmp_path, may_make=True)


def test_one_that_is_gone_is_not_made_anew_where_keys_need_it(tmp_path):
    with pytest.raises(PepperLost, match="backup"):
        read_pepper(tmp_path, may_make=False)
    assert list(tmp_path.iterdir()) == []
