import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile
import soxr

from models.audio.sounds import DEFAULT_LIMITS, SoundFacts, SoundLimits, open_sound, sound_facts
from models.errors import WrongInput

RATE = 16000
NOISE = (np.random.default_rng(0).standard_normal(40_000) * 0.1).astype(np.float32)
EXACT = {
    ("WAV", "PCM_U8"): 2**-7,
    ("WAV", "PCM_16"): 2**-15,
    ("WAV", "PCM_24"): 2**-23,
    ("WAV", "PCM_32"): 1e-7,
    ("WAV", "FLOAT"): 0,
    ("WAV", "DOUBLE"): 0,
    ("WAVEX", "PCM_16"): 2**-15,
    ("RF64", "PCM_16"): 2**-15,
    ("FLAC", "PCM_16"): 2**-15,
    ("FLAC", "PCM_24"): 2**-23,
}
LOSSY = [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def file_of(samples: np.ndarray, kind: str = "WAV", subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def refusal(data: bytes, limits: SoundLimits = DEFAULT_LIMITS) -> str:
    with pytest.raises(WrongInput) as caught:
        open_sound(data, RATE, limits)
    with pytest.raises(WrongInput) as again:
        sound_facts(data, limits)
    assert again.value.message == caught.value.message
    return caught.value.message


@pytest.mark.parametrize(("kind", "subtype"), EXACT)
def test_a_lossless_file_gives_its_samples(kind, subtype):
    seen = open_sound(file_of(NOISE, kind, subtype), RATE)
    assert seen.dtype == np.float32
    assert np.abs(seen - NOISE).max() <= EXACT[kind, subtype]


@pytest.mark.parametrize(("kind", "subtype"), [*LOSSY, ("WAV", "ULAW")])
def test_a_lossy_file_gives_nearly_its_samples(kind, subtype):
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / RATE)).astype(np.float32)
    seen = open_sound(file_of(tone, kind, subtype), RATE)
    assert seen.shape == tone.shape
    assert np.corrcoef(seen, tone)[0, 1] > 0.99


def test_channels_are_averaged():
    left_only = np.stack([NOISE, np.zeros_like(NOISE)], axis=1)
    assert np.allclose(open_sound(file_of(left_only, "WAV", "FLOAT"), RATE), NOISE / 2, atol=1e-7)
    opposite = np.stack([NOISE, -NOISE], axis=1)
    assert not open_sound(file_of(opposite, "WAV", "FLOAT"), RATE).any()


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_blocks_are_resampled_as_one(rate):
    samples = (np.random.default_rng(rate).standard_normal(rate * 3) * 0.1).astype(np.float32)
    whole = np.clip(soxr.resample(samples, rate, RATE, quality="HQ"), -1, 1)
    seen = open_sound(file_of(samples, "WAV", "FLOAT", rate), RATE)
    assert np.array_equal(seen, whole)


def test_what_the_rate_cannot_hold_is_filtered_out():
    t = np.arange(48_000) / 48_000
    high = file_of((0.9 * np.sin(2 * np.pi * 15_000 * t)).astype(np.float32), rate=48_000)
    middle = open_sound(high, RATE)[1000:-1000]
    assert np.abs(middle).max() < 1e-3


def test_float_samples_are_clipped():
    seen = open_sound(file_of(NOISE * 100, "WAV", "FLOAT"), RATE)
    assert np.abs(seen).max() == 1


def test_silence_is_a_sound():
    assert not open_sound(file_of(NOISE * 0), RATE).any()


@pytest.mark.parametrize(("samples", "expected"), [(480, 160), (3, 1), (1, 1)])
def test_a_very_short_sound_is_a_sound(samples, expected):
    assert len(open_sound(file_of(NOISE[:samples], rate=48_000), RATE)) == expected


def test_facts():
    stereo = np.stack([NOISE, NOISE], axis=1)
    assert sound_facts(file_of(stereo, "WAVEX", rate=8000)) == SoundFacts("wav", 8000, 2, 5.0)
    assert sound_facts(file_of(NOISE, "FLAC")) == SoundFacts("flac", RATE, 1, 2.5)


@pytest.mark.parametrize(("kind", "subtype"), [*EXACT, *LOSSY])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(kind, subtype, kept):
    data = file_of(NOISE, kind, subtype)
    assert "cut off" in refusal(data[: int(len(data) * kept)])


@pytest.mark.parametrize(("kind", "subtype"), [*EXACT, *LOSSY])
@pytest.mark.parametrize("size", [4, 12, 30, 60, 100])
def test_a_file_that_is_hardly_there_is_refused(kind, subtype, size):
    assert refusal(file_of(NOISE, kind, subtype)[:size])


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_end_in_samples_or_in_a_sentence(seed):
    rng = np.random.default_rng(seed)
    kind, subtype = [*EXACT, *LOSSY][seed % (len(EXACT) + len(LOSSY))]
    data = bytearray(file_of(NOISE[:4000], kind, subtype))
    reach = len(data) if seed % 2 else 80
    for place in rng.integers(4, reach, 6):
        data[place] = rng.integers(256)
    with contextlib.suppress(WrongInput):
        assert np.abs(open_sound(bytes(data), RATE)).max() <= 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"hello", "5 bytes, which begins with b'hello'"),
        (b"\xff", "1 bytes"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "a JPEG image"),
        (b"PK\x03\x04" + bytes(50), "a zip archive"),
        (b"\0\0\0\x20ftypM4A " + bytes(50), "M4A"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(50), "b'WEBP', not a sound"),
        (file_of(NOISE, "AIFF"), "an AIFF sound"),
        (b"\xff\xfb\x90\x00" + b"j" * 5000, "cannot be decoded"),
    ],
)
def test_what_is_no_sound_is_named(data, words):
    assert words in refusal(data)


@pytest.mark.parametrize("kind", ["WAV", "OGG"])
def test_a_file_without_samples_is_refused(kind):
    data = file_of(NOISE[:0], kind, "PCM_16" if kind == "WAV" else "VORBIS")
    assert "holds no samples" in refusal(data)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(number):
    samples = NOISE.copy()
    samples[30_000] = number
    assert "first at 1.875 s" in refusal(file_of(samples, "WAV", "FLOAT"))


@pytest.mark.parametrize("rate", [1, 999])
def test_an_absurd_rate_is_refused(rate):
    assert f"{rate} samples a second" in refusal(with_rate(rate))
    assert refusal(with_rate(4_000_000_000))


def with_rate(rate: int) -> bytes:
    data = bytearray(file_of(NOISE))
    data[24:28] = struct.pack("<I", rate)
    return bytes(data)


def test_three_hours_are_refused_by_the_header():
    header = bytearray(file_of(NOISE[:0]))
    hours = 3 * 3600 * RATE * 2
    header[-4:] = struct.pack("<I", hours)
    assert "3:00:00" in refusal(bytes(header) + bytes(hours))


def test_three_hours_whose_header_does_not_say_so_are_refused_while_decoding():
    data = bytearray(file_of(np.zeros(RATE * 900, dtype=np.int16), "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert "longer than 600 s" in refusal(bytes(data))


@pytest.mark.parametrize(("kind", "subtype"), LOSSY)
def test_the_limit_holds_for_every_kind(kind, subtype):
    data = file_of(NOISE, kind, subtype)
    assert "longer than 2 s" in refusal(data, SoundLimits(seconds=2))
    assert len(open_sound(data, RATE, SoundLimits(seconds=2.5))) == len(NOISE)


def test_a_wav_from_a_pipe_is_as_long_as_it_is():
    data = bytearray(file_of(NOISE))
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff" * 4
    assert len(open_sound(bytes(data), RATE)) == len(NOISE)


def test_what_lies_behind_the_samples_does_not_matter():
    assert len(open_sound(file_of(NOISE) + b"LIST\4\0\0\0abcd", RATE)) == len(NOISE)
    assert len(open_sound(file_of(NOISE, "OGG", "VORBIS") + b"TAG and more", RATE)) == len(NOISE)
