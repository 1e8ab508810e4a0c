import io
import os
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from adapters.adapt import adapt
from adapters.base import Task
from adapters.methods import parse_method
from models.audio.backbone import OUTPUT, AudioBackbone
from models.audio.spectrogram import power_mel
from models.base import Backbone, Card
from models.batching import embed
from models.built_in.logmel import WIDTH, log_mel_stats
from models.catalog import entry
from models.hosted import host, open_backbone
from models.session import open_session

RATE = 16000

RECORDED_FIRST = (-0.16244, 0.07601, 0.04451, 0.00577)
RECORDED_LAST = (-0.15531, -0.05252, -0.06170, 0.07306)
RECORDED_STATISTICS = (0.00736, 0.04501, -0.00103, 0.01362)
RECORDED_NORM = 0.97374


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("backbones")


@pytest.fixture(scope="module")
def card(folder) -> Card:
    return host(entry("logmel-stats"), folder, lambda _stage, _share: None)


@pytest.fixture(scope="module")
def backbone(folder, card) -> Backbone:
    return open_backbone(folder, card.digest, threads=1)


@pytest.fixture(scope="module")
def session(folder, card):
    return open_session(folder / card.digest / "pooled.onnx", threads=1)


def chirp(seconds: float = 0.8, rate: int = RATE) -> np.ndarray:
    """Rises from 200 Hz to 3,000 Hz and fades."""
    t = np.arange(round(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * (200 * t + 1750 * t * t)) * np.exp(-2 * t)


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def rows(session, samples: np.ndarray) -> np.ndarray:
    return session.run([OUTPUT], {"samples": samples.astype(np.float32)})[0]


def test_the_card(card, backbone):
    assert isinstance(backbone, AudioBackbone)
    assert (card.modality, card.trained, card.taps) == ("audio", False, {"pooled": (WIDTH,)})
    assert card.recipe["rate"] == RATE
    assert card.recipe["difference_from_torch"] < 1e-5


def test_a_recorded_vector(backbone):
    z = embed(backbone, [wav(chirp())])[0][0]
    stretches, statistics = z[:200].reshape(10, 20), z[200:].reshape(4, 20)
    assert np.allclose(stretches[0, :4], RECORDED_FIRST, atol=1e-4)
    assert np.allclose(stretches[9, :4], RECORDED_LAST, atol=1e-4)
    assert np.allclose(statistics[:, 1], RECORDED_STATISTICS, atol=1e-4)
    assert np.isclose(np.linalg.norm(z), RECORDED_NORM, atol=1e-4)


def test_a_sound_is_the_same_at_any_rate(backbone):
    low, high = embed(backbone, [wav(chirp()), wav(chirp(rate=44100), 44100)])[0]
    assert np.linalg.norm(low - high) < 0.05 * np.linalg.norm(low)


def test_loudness_and_silence_around_a_sound_change_little(backbone):
    sound, silence = chirp(), np.zeros(RATE // 2)
    late = np.concatenate([silence, sound, silence])
    z = embed(backbone, [wav(sound), wav(sound / 20), wav(late), wav(sound[::-1])])[0]
    quiet, moved, backwards = np.linalg.norm(z[1:] - z[0], axis=1) / np.linalg.norm(z[0])
    assert quiet < 0.05
    assert moved < 0.2
    assert backwards > 1


@pytest.mark.parametrize("hertz", [100, 440, 1000, 2500, 6000])
def test_a_tone_is_loudest_in_the_band_around_it(hertz):
    module = log_mel_stats()
    tone = np.sin(2 * np.pi * hertz * np.arange(400) / RATE).astype(np.float32)
    band = int(power_mel(torch.from_numpy(tone[None, None]), module.kernel, module.mel).argmax())
    edges = 700 * (np.exp(np.linspace(np.log(1 + 20 / 700), np.log(1 + 8000 / 700), 42)) - 1)
    assert edges[band] < hertz < edges[band + 2]


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 399, 400, 401, 560, 8000])
def test_padding_and_neighbours_change_nothing(session, samples):
    rng = np.random.default_rng(samples)
    sound = rng.uniform(-1, 1, samples)
    batch = np.zeros((3, samples + 12_345))
    batch[1, :samples] = sound
    batch[2] = rng.uniform(-1, 1, batch.shape[1])
    assert np.abs(rows(session, batch)[1] - rows(session, sound[None])[0]).max() <= 1e-6


@pytest.mark.parametrize("samples", [1, 400, 8000, 480_000])
def test_extreme_sounds_give_finite_rows_equal_to_torch(session, samples):
    impulse = np.zeros(samples)
    impulse[samples // 2] = 1
    noise = np.random.default_rng(0).uniform(-1, 1, samples)
    sounds = [np.zeros(samples), impulse, noise, np.sign(noise), noise * 1e-6, np.ones(samples), noise * 1e-30]
    batch = np.stack(sounds).astype(np.float32)
    seen = rows(session, batch)
    assert seen.shape == (len(sounds), WIDTH)
    assert np.isfinite(seen).all()
    assert (np.linalg.norm(seen, axis=1) > 0.1).all()
    assert (np.linalg.norm(seen, axis=1) < 3).all()
    assert np.abs(seen - log_mel_stats()(torch.from_numpy(batch)).numpy()).max() <= 1e-5


def test_silence_of_any_length_is_one_row(session):
    short, long = rows(session, np.zeros((1, 10))), rows(session, np.zeros((1, 50_000)))
    assert np.abs(short - long).max() <= 1e-6


def test_a_long_sound_is_pooled_from_its_pieces(backbone):
    long_sound = wav(np.tile(chirp(), 50))
    [encoded] = backbone.prepare([long_sound])
    assert [len(piece) for piece in (encoded.values, *encoded.rest)] == [480_000, 160_000]
    whole, cut = embed(backbone, [long_sound], long="chunk")
    first, first_cut = embed(backbone, [long_sound])
    assert (cut.tolist(), first_cut.tolist()) == ([False], [True])
    assert 0 < np.linalg.norm(whole - first) < 0.5


needs_fsdd = pytest.mark.skipif("BENCH_DATA" not in os.environ, reason="BENCH_DATA is not set")


def fsdd(backbone: Backbone, split: str) -> tuple[np.ndarray, np.ndarray]:
    with zipfile.ZipFile(Path(os.environ["BENCH_DATA"]) / "fsdd" / "fsdd_900.zip") as file:
        names = sorted(name for name in file.namelist() if f"{split}/" in name and name.endswith(".wav"))
        z, _ = embed(backbone, [file.read(name) for name in names])
    return z, np.array([int(Path(name).name[0]) for name in names])


def accuracy(z: np.ndarray, y: np.ndarray, test: tuple[np.ndarray, np.ndarray]) -> float:
    task = Task(z, y, tuple("0123456789"), np.arange(len(y)))
    head = adapt(task, parse_method("logistic"), on_stage=lambda *_: None, clock=lambda: 0.0).head
    return float((head.scores(test[0]).argmax(axis=1) == test[1]).mean())


@needs_fsdd
def test_spoken_digits_of_the_official_split_are_told_apart(backbone):
    assert accuracy(*fsdd(backbone, "train"), fsdd(backbone, "test")) >= 0.96


@needs_fsdd
def test_spoken_digits_are_told_apart_from_five_a_class(backbone):
    z, y = fsdd(backbone, "train")
    test = fsdd(backbone, "test")
    few = [pick_five(y, seed) for seed in range(10)]
    assert np.mean([accuracy(z[some], y[some], test) for some in few]) >= 0.77


def pick_five(y: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.choice(np.flatnonzero(y == k), 5, replace=False) for k in range(10)])
