import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import numpy_helper, parser

from models.base import AS_LONG, BatchLimits, Encoded
from models.batching import PREPARED_AT_ONCE
from models.errors import BackboneUnknown, InputError, WeightsCorrupt
from models.hosted import digest_of
from models.streaming import RESERVE_BYTES, Tap, keep, open_tap, stream
from models.weights import sha256_file

ROOT = Path(__file__).parents[2]
TEXTS = ["a short text", "x" * 50, "", "another text about a parcel", "x" * 300, "a short text", "refund"]

TOKENS = """
<ir_version: 10, opset_import: ["": 20]>
block1 (int64[n, t] input_ids, int64[n, t] attention_mask) => (float[n, t, 4] hidden_states) {
  own = Gather (table, input_ids)
  mask = Cast <to = 1> (attention_mask)
  two = Constant <value_ints = [2]> ()
  one = Constant <value_ints = [1]> ()
  weight = Unsqueeze (mask, two)
  kept = Mul (own, weight)
  sum = ReduceSum <keepdims = 1> (kept, one)
  hidden_states = Add (own, sum)
}
"""

PIXELS = """
<ir_version: 10, opset_import: ["": 20]>
block1 (uint8[n, 8, 8, 3] pixels) => (float[n, 4, 6, 6] hidden_states) {
  real = Cast <to = 1> (pixels)
  first = Transpose <perm = [0, 3, 1, 2]> (real)
  hidden_states = Conv (first, kernel)
}
"""

SOUND = """
<ir_version: 10, opset_import: ["": 20]>
block1 (float[n, t] samples) => (float[n, u, 4] hidden_states) {
  one = Constant <value_ints = [1]> ()
  channel = Unsqueeze (samples, one)
  states = Conv <strides = [10]> (channel, kernel)
  hidden_states = Transpose <perm = [0, 2, 1]> (states)
}
"""


ANY = {"rate": 16000, "max_samples": 1000}
FIXED = {**ANY, "fixed_samples": 60, "padding": 2.0}


def _graph(source, **tables):
    model = parser.parse_model(source)
    model.graph.initializer.extend(numpy_helper.from_array(table, name) for name, table in tables.items())
    return model.SerializeToString()


def _random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="session")
def tapped(tmp_path_factory, hosted_folder, fake_card):
    """The fake backbone with a second tap."""
    folder = tmp_path_factory.mktemp("tapped")
    staging = folder / "staging"
    shutil.copytree(hosted_folder / fake_card.digest, staging)
    (staging / "block1.onnx").write_bytes(_graph(TOKENS, table=_random(300, 4)))
    files = fake_card.files | {"block1.onnx": sha256_file(staging / "block1.onnx")}
    card = replace(fake_card, digest=digest_of(files), files=files, taps=fake_card.taps | {"block1": (AS_LONG, 4)})
    (staging / "card.json").write_text(json.dumps(asdict(card)))
    staging.rename(folder / card.digest)
    return folder, card.digest


@pytest.fixture
def tap(tapped):
    return open_tap(*tapped, "block1", threads=1)


def test_activations_are_those_of_the_item_alone(tap, tmp_path):
    activations = stream(tap, TEXTS, tmp_path)
    assert len(activations) == len(TEXTS)
    for i, text in enumerate(TEXTS):
        (prepared,) = tap.backbone.prepare([text])
        (alone,) = tap.run([prepared])
        assert activations.item(i).shape == (prepared.size, 4)
        np.testing.assert_allclose(activations.item(i), alone, atol=1e-6)
    assert activations.item(4).shape == (64, 4)
    assert activations.rows.dtype == np.float32


def test_of_a_padded_batch_each_item_has_its_own_states(tap):
    prepared = tap.backbone.prepare(["a", "a longer text"])
    states = tap.run(prepared)
    assert [len(own) for own in states] == [item.size for item in prepared]
    for own, item in zip(states, prepared, strict=True):
        np.testing.assert_allclose(own, tap.run([item])[0], atol=1e-6)


def test_they_lie_on_disk_in_a_file_without_a_name(tap, tmp_path):
    activations = stream(tap, TEXTS, tmp_path)
    assert isinstance(activations.rows, np.memmap)
    assert list(tmp_path.iterdir()) == []


def test_one_part_and_one_batch_are_in_memory_at_a_time(tap, tmp_path, monkeypatch):
    monkeypatch.setitem(PREPARED_AT_ONCE, "text", 3)
    prepared, ran, progress = [], [], []
    backbone = tap.backbone
    whole = stream(tap, TEXTS, tmp_path)

    class Watched:
        card, limits = backbone.card, BatchLimits(10_000, 2)

        @staticmethod
        def prepare(items):
            prepared.append(len(items))
            return backbone.prepare(items)

    class WatchedTap(Tap):
        def run(self, batch):
            ran.append(len(batch))
            return super().run(batch)

    activations = stream(WatchedTap(Watched, "block1", tap._session), TEXTS, tmp_path, on_progress=progress.append)
    assert prepared == [3, 3, 1]
    assert sum(ran) == 7
    assert max(ran) <= 2
    assert progress == sorted(progress)
    assert progress[-1] == 1
    for i in range(7):
        np.testing.assert_allclose(activations.item(i), whole.item(i), atol=1e-6)


def test_no_items_are_no_rows(tap, tmp_path):
    activations = stream(tap, [], tmp_path)
    assert (len(activations), activations.rows.shape) == (0, (0, 4))


def test_what_check_raises_ends_it_and_leaves_nothing(tap, tmp_path, monkeypatch):
    monkeypatch.setitem(PREPARED_AT_ONCE, "text", 2)
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 4:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        stream(tap, TEXTS, tmp_path, check=stop)
    assert list(tmp_path.iterdir()) == []


def bring(kind, tap, texts, folder):
    return stream(tap, texts, folder) if kind == "stream" else keep(tap.backbone, texts, folder)


@pytest.mark.parametrize(("kind", "bytes_a_text"), [("stream", 5 * 4 * 4), ("keep", 5 * 8)])
def test_what_will_not_fit_on_the_disk_is_refused_after_the_first_part(tap, tmp_path, monkeypatch, kind, bytes_a_text):
    monkeypatch.setitem(PREPARED_AT_ONCE, "text", 2)
    texts = ["ab"] * 10
    assert tap.backbone.prepare(texts)[0].size == 5

    def with_free(size_bytes):
        free = SimpleNamespace(f_bavail=size_bytes, f_frsize=1)
        monkeypatch.setattr("models.streaming.os.fstatvfs", lambda _descriptor: free)
        return bring(kind, tap, texts, tmp_path)

    needed = RESERVE_BYTES + 8 * bytes_a_text
    assert len(with_free(needed)) == 10
    with pytest.raises(InputError, match=r"The activations of 10 items take .* Free some, .* or fit a head alone"):
        with_free(needed - 1)


@pytest.mark.parametrize("kind", ["stream", "keep"])
def test_a_full_disk_is_told_in_a_sentence(tap, tmp_path, monkeypatch, kind):
    with Path("/dev/full").open("r+b") as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_folder: full)
        with pytest.raises(InputError, match="The disk has no room for the activations"):
            bring(kind, tap, TEXTS, tmp_path)


KILLED = """
import sys
from pathlib import Path
from models.streaming import open_tap, stream

tap = open_tap(Path(sys.argv[1]), sys.argv[2], "block1", threads=1)
texts = [f"text {i}" for i in range(100_000)]
stream(tap, texts, Path(sys.argv[3]), on_progress=lambda share: print(share, flush=True))
"""


def test_a_process_that_is_killed_leaves_nothing(tapped, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *map(str, tapped), str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with process.stdout:
        assert 0 < float(process.stdout.readline()) < 1
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


class Plain:
    """A backbone whose items are prepared already."""

    provider = "cpu"

    def __init__(self, card, limits):
        self.card, self.limits = card, limits

    @staticmethod
    def prepare(items):
        return [Encoded(item) for item in items]


def test_images_keep_their_shape_and_order(fake_card, tmp_path):
    card = replace(fake_card, modality="image", taps={"block1": (4, 6, 6)})
    session = ort.InferenceSession(_graph(PIXELS, kernel=_random(4, 3, 3, 3)))
    tap = Tap(Plain(card, BatchLimits(16, 2)), "block1", session)
    images = [np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(5)]
    activations = stream(tap, images, tmp_path)
    assert activations.rows.shape == (5, 4, 6, 6)
    for i, image in enumerate(images):
        (alone,) = session.run(None, {"pixels": image[None]})
        np.testing.assert_allclose(activations.item(i), alone[0], rtol=1e-5)
        np.testing.assert_allclose(activations.rows[i], alone[0], rtol=1e-5)


def test_sounds_are_padded_to_the_length_that_the_graph_takes(fake_card, tmp_path):
    card = replace(fake_card, modality="audio", taps={"block1": (6, 4)}, recipe=FIXED)
    session = ort.InferenceSession(_graph(SOUND.replace("[n, t]", "[n, 60]"), kernel=_random(4, 1, 10)))
    tap = Tap(Plain(card, BatchLimits(10_000, 8)), "block1", session)
    sounds = [_random(length) for length in (20, 60, 33)]
    activations = stream(tap, sounds, tmp_path)
    for i, sound in enumerate(sounds):
        padded = np.concatenate([sound, np.full(60 - len(sound), 2, np.float32)])
        (alone,) = session.run(None, {"samples": padded[None]})
        np.testing.assert_allclose(activations.item(i), alone[0], atol=1e-5)


def test_sounds_are_as_long_as_the_graph_makes_them(fake_card, tmp_path):
    card = replace(fake_card, modality="audio", taps={"block1": (AS_LONG, 4)}, recipe=ANY)
    session = ort.InferenceSession(_graph(SOUND, kernel=_random(4, 1, 10)))
    tap = Tap(Plain(card, BatchLimits(10_000, 8)), "block1", session)
    sounds = [_random(length) for length in (100, 40, 255)]
    activations = stream(tap, sounds, tmp_path)
    assert [activations.item(i).shape for i in range(3)] == [(10, 4), (4, 4), (25, 4)]
    for i, sound in enumerate(sounds):
        (alone,) = session.run(None, {"samples": sound[None]})
        np.testing.assert_allclose(activations.item(i), alone[0], atol=1e-5)


@pytest.mark.parametrize("name", ["block2", "pooled", "../pooled"])
def test_a_tap_that_is_not_hosted_is_refused_with_what_there_is(tapped, name):
    with pytest.raises(BackboneUnknown, match=r"it has block1\. Host it again"):
        open_tap(*tapped, name, threads=1)


def test_a_backbone_without_further_taps_says_so(hosted_folder, fake_card):
    with pytest.raises(BackboneUnknown, match="none but pooled"):
        open_tap(hosted_folder, fake_card.digest, "block1", threads=1)


def test_a_damaged_tap_is_refused(tapped, tmp_path):
    folder, digest = tapped
    shutil.copytree(folder / digest, tmp_path / digest)
    (tmp_path / digest / "block1.onnx").write_bytes(b"other")
    with pytest.raises(WeightsCorrupt):
        open_tap(tmp_path, digest, "block1", threads=1)
