import pytest

import models.session
from models.session import cuda_devices, open_session, providers, session_options
from models.text import GRAPH_NAME


def test_options_suit_one_process_a_core():
    options = session_options(3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.enable_mem_pattern is False


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_is_refused(threads):
    with pytest.raises(ValueError, match=str(threads)):
        session_options(threads)


def test_cuda_is_not_asked_for_without_a_device(monkeypatch):
    monkeypatch.setattr(models.session, "cuda_devices", lambda: 0)
    assert providers() == ["CPUExecutionProvider"]


def test_cuda_comes_first_where_it_is(monkeypatch):
    monkeypatch.setattr(models.session, "cuda_devices", lambda: 1)
    monkeypatch.setattr(models.session.ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(models.session.ort, "preload_dlls", lambda: None)
    assert [providers()[0][0], providers()[1]] == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_a_machine_without_a_driver_has_no_device(monkeypatch):
    def no_driver(_name):
        raise OSError

    monkeypatch.setattr(models.session.ctypes, "CDLL", no_driver)
    assert cuda_devices() == 0


def test_opening_a_session_says_nothing(hosted_folder, fake_card, capfd):
    open_session(hosted_folder / fake_card.digest / GRAPH_NAME, threads=1)
    assert capfd.readouterr() == ("", "")
