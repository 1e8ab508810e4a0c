import dataclasses
import itertools
import logging

import pytest

import models.session
from models.session import (
    GRAPH_NAME,
    HALF_GRAPH_NAME,
    cuda_devices,
    open_pooled,
    open_session,
    provider_of,
    providers,
    session_options,
    why_provider,
)

CPU = ["CPUExecutionProvider"]


@pytest.fixture
def gpu(monkeypatch):
    """A machine whose driver shows a device, and an onnxruntime with CUDA."""
    monkeypatch.setattr(models.session, "cuda_devices", lambda: 1)
    monkeypatch.setattr(models.session.ort, "get_available_providers", lambda: ["CUDAExecutionProvider", *CPU])
    monkeypatch.setattr(models.session.ort, "preload_dlls", lambda: None)
    failures = itertools.count()
    monkeypatch.setattr(models.session, "_failures", lambda: failures)


class FakeSession:
    def __init__(self, path, on):
        self.path = path
        self.on = on

    def get_providers(self):
        return self.on


def working_gpu(monkeypatch):
    def make(path, _options, providers, **_):
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        return FakeSession(path, names)

    monkeypatch.setattr(models.session.ort, "InferenceSession", make)


def broken_gpu(monkeypatch, *, loudly):
    def make(path, _options, providers, **_):
        if providers != CPU and loudly:
            raise RuntimeError("CUDA failure 35: driver too old\nwith a second line")
        return FakeSession(path, CPU)

    monkeypatch.setattr(models.session.ort, "InferenceSession", make)


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
    assert providers() == CPU


@pytest.mark.usefixtures("gpu")
def test_cuda_comes_first_where_it_is():
    [(name, options), second] = providers()
    assert [name, second] == ["CUDAExecutionProvider", *CPU]
    assert options == {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}


@pytest.mark.usefixtures("gpu")
def test_the_devices_memory_is_capped():
    assert providers(3 * 2**30)[0][1]["gpu_mem_limit"] == str(3 * 2**30)


def test_a_machine_without_a_driver_has_no_device(monkeypatch):
    def no_driver(_name):
        raise OSError

    monkeypatch.setattr(models.session.ctypes, "CDLL", no_driver)
    assert cuda_devices() == 0


class Driver:
    """libcuda with some devices, or none that it can start."""

    def __init__(self, status, devices):
        self.status = status
        self.devices = devices

    def cuInit(self, _flags):
        return self.status

    def cuDeviceGetCount(self, reference):
        reference._obj.value = self.devices
        return self.status


@pytest.mark.parametrize(("status", "devices", "seen"), [(0, 2, 2), (0, 0, 0), (100, 7, 0)])
def test_the_driver_is_asked_for_its_devices(monkeypatch, status, devices, seen):
    monkeypatch.setattr(models.session, "_driver", lambda: Driver(status, devices))
    assert cuda_devices() == seen


@pytest.mark.parametrize(
    ("available", "driver", "provider", "words"),
    [
        (CPU, Driver(0, 1), "cpu", "no CUDA provider"),
        (["CUDAExecutionProvider"], None, "cpu", "libcuda.so.1"),
        (["CUDAExecutionProvider"], Driver(0, 0), "cpu", "CUDA_VISIBLE_DEVICES"),
        (["CUDAExecutionProvider"], Driver(0, 1), "cuda", "1 device;"),
        (["CUDAExecutionProvider"], Driver(0, 4), "cuda", "4 devices;"),
    ],
)
def test_the_choice_is_explained(monkeypatch, available, driver, provider, words):
    monkeypatch.setattr(models.session.ort, "get_available_providers", lambda: available)
    monkeypatch.setattr(models.session, "_driver", lambda: driver)
    chosen, why = why_provider()
    assert chosen == provider
    assert words in why


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("loudly", [True, False])
def test_a_gpu_that_fails_costs_one_line(monkeypatch, tmp_path, caplog, loudly):
    broken_gpu(monkeypatch, loudly=loudly)
    with caplog.at_level(logging.WARNING):
        sessions = [open_session(tmp_path / "a.onnx", threads=1) for _ in range(3)]
    assert {provider_of(session) for session in sessions} == {"cpu"}
    [record] = caplog.records
    assert "run on the CPU" in record.message
    assert "\n" not in record.reason
    assert ("driver too old" in record.reason) == loudly


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_works_says_nothing(monkeypatch, tmp_path, caplog):
    working_gpu(monkeypatch)
    assert provider_of(open_session(tmp_path / "a.onnx", threads=1)) == "cuda"
    assert not caplog.records


@pytest.fixture
def halved_card(fake_card):
    return dataclasses.replace(fake_card, extras={HALF_GRAPH_NAME: "0" * 64})


@pytest.mark.usefixtures("gpu")
def test_a_gpu_takes_float16_where_it_was_verified(monkeypatch, tmp_path, fake_card, halved_card):
    working_gpu(monkeypatch)
    session, provider = open_pooled(halved_card, tmp_path, threads=1)
    assert (session.path, provider) == (str(tmp_path / HALF_GRAPH_NAME), "cuda float16")
    session, provider = open_pooled(fake_card, tmp_path, threads=1)
    assert (session.path, provider) == (str(tmp_path / GRAPH_NAME), "cuda")


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_fails_leaves_float32_on_the_cpu(monkeypatch, tmp_path, halved_card):
    broken_gpu(monkeypatch, loudly=True)
    session, provider = open_pooled(halved_card, tmp_path, threads=1)
    assert (session.path, provider) == (str(tmp_path / GRAPH_NAME), "cpu")


def test_a_cpu_takes_float32(monkeypatch, hosted_folder, fake_card, halved_card):
    monkeypatch.setattr(models.session, "cuda_devices", lambda: 0)
    _, provider = open_pooled(halved_card, hosted_folder / fake_card.digest, threads=1)
    assert provider == "cpu"


def test_a_file_that_is_no_graph_is_no_matter_of_the_gpu(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(Exception, match=r"a\.onnx"):
        open_session(tmp_path / "a.onnx", threads=1)


def test_opening_a_session_says_nothing(hosted_folder, fake_card, capfd):
    open_session(hosted_folder / fake_card.digest / GRAPH_NAME, threads=1)
    assert capfd.readouterr() == ("", "")
