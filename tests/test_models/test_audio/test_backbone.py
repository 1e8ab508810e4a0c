import io

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper
from transformers import Wav2Vec2FeatureExtractor

from models.audio.backbone import ALONE, FEWEST_SAMPLES, FIXED_LIMITS, FIXED_LIMITS_CUDA, RAGGED_LIMITS, AudioBackbone
from models.audio.sounds import SoundLimits
from models.audio.spectrogram import SoundRecipe
from models.base import Card, Encoded
from models.batching import embed
from models.errors import WeightsCorrupt, WrongInput

RATE = 8000
NOISE = (np.random.default_rng(0).standard_normal(RATE) * 0.1).astype(np.float32)


def file_of(samples: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def opened(tmp_path, recipe: SoundRecipe, *, taken: int | str | None = None, **options) -> AudioBackbone:
    """A backbone whose embedding is the sum, the sum of squares, and how many samples its graph saw."""
    length = taken or recipe.fixed_samples or "samples"
    samples = helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["n", length])
    output = helper.make_tensor_value_info("item_embedding", TensorProto.FLOAT, ["n", 3])
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    nodes = [
        helper.make_node("ReduceSum", ["samples", "axis"], ["sum"]),
        helper.make_node("ReduceSumSquare", ["samples", "axis"], ["squares"]),
        helper.make_node("Mul", ["samples", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("ReduceSum", ["ones", "axis"], ["count"]),
        helper.make_node("Concat", ["sum", "squares", "count"], ["item_embedding"], axis=1),
    ]
    graph = helper.make_graph(nodes, "sums", [samples], [output], [axis, zero, one])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "pooled.onnx")
    card = Card("sums", "audio", "0" * 64, {"pooled": (3,)}, "Apache-2.0", "", None, {}, recipe.to_dict())
    return AudioBackbone.open(card, tmp_path, threads=1, **options)


def test_a_sound_becomes_samples_at_the_backbones_rate(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(2 * RATE, 100_000))
    [encoded] = backbone.prepare([file_of(NOISE)])
    assert encoded.values.dtype == np.float32
    assert (encoded.size, encoded.cut) == (2 * RATE, False)


def test_a_graph_of_any_length_sees_the_sound_alone(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 100_000))
    z = embed(backbone, [file_of(NOISE), file_of(NOISE[:3000])])[0]
    assert z[:, 2].tolist() == [8000, 3000]
    assert np.allclose(z[:, 0], [NOISE.sum(), NOISE[:3000].sum()], atol=1e-3)


@pytest.mark.parametrize("padding", [0.0, 2.0])
def test_a_graph_of_one_length_sees_padding(tmp_path, padding):
    backbone = opened(tmp_path, SoundRecipe(RATE, 9000, 9000, padding))
    [encoded] = backbone.prepare([file_of(NOISE)])
    assert encoded.size == 8000
    [z] = backbone.run([encoded])
    assert z[2] == 9000
    assert np.isclose(z[0], NOISE.sum() + 1000 * padding, atol=1e-2)


def test_what_is_longer_becomes_pieces(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 3000, 3000))
    [encoded] = backbone.prepare([file_of(NOISE)])
    assert [len(piece) for piece in (encoded.values, *encoded.rest)] == [3000, 3000, 2000]
    assert np.array_equal(np.concatenate([encoded.values, *encoded.rest]), NOISE)


def test_pieces_are_normalised_each_as_the_extractor_does_it(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000, normalise_samples=True))
    [encoded] = backbone.prepare([file_of(NOISE + np.float32(0.1))])
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE)
    for piece, sound in ((encoded.values, NOISE[:5000]), (encoded.rest[0], NOISE[5000:])):
        expected = extractor(sound + np.float32(0.1), sampling_rate=RATE)["input_values"][0]
        assert np.abs(piece - expected).max() < 1e-5


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("samples", [1, 80, 399, 400])
def test_a_very_short_sound_is_padded_with_silence(tmp_path, samples, normalise):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000, normalise_samples=normalise))
    [encoded] = backbone.prepare([file_of(NOISE[:samples])])
    assert encoded.size == FEWEST_SAMPLES
    assert not encoded.values[samples:].any()
    assert np.isfinite(encoded.values).all()


def test_silence_is_normalised_to_silence(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000, normalise_samples=True))
    [encoded] = backbone.prepare([file_of(NOISE * 0)])
    assert not encoded.values.any()


def test_no_items_give_no_rows(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000))
    assert backbone.prepare([]) == []
    assert backbone.run([]).shape == (0, 3)


def test_sounds_share_a_batch_only_where_padding_is_nothing(tmp_path, monkeypatch):
    assert opened(tmp_path, SoundRecipe(RATE, 5000)).limits == ALONE
    assert opened(tmp_path, SoundRecipe(RATE, 5000, ragged=True)).limits == RAGGED_LIMITS
    fixed = opened(tmp_path, SoundRecipe(RATE, 5000, 5000))
    assert fixed.limits == FIXED_LIMITS
    monkeypatch.setattr(fixed, "_provider", "cuda float16")
    assert fixed.limits == FIXED_LIMITS_CUDA
    assert ALONE.items == 1


def test_a_batch_of_unlike_lengths_is_padded_to_the_longest(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000, ragged=True))
    z = backbone.run([Encoded(NOISE[:500]), Encoded(NOISE[:700])])
    assert z[:, 2].tolist() == [700, 700]
    assert np.allclose(z[:, 0], [NOISE[:500].sum(), NOISE[:700].sum()], atol=1e-4)


@pytest.mark.parametrize(("item", "words"), [("text", "Item 1 is a str"), (b"bytes", "Item 1: This file of 5 bytes")])
def test_what_is_no_sound_is_named_by_its_place(tmp_path, item, words):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000))
    with pytest.raises(WrongInput, match=words):
        backbone.prepare([file_of(NOISE), item])


def test_the_limit_of_seconds_is_the_callers(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000), sound_limits=SoundLimits(seconds=0.5))
    with pytest.raises(WrongInput, match=r"longer than 0\.5 s"):
        backbone.prepare([file_of(NOISE)])


@pytest.mark.parametrize(("recipe", "taken"), [(SoundRecipe(RATE, 5000, 5000), 4000), (SoundRecipe(RATE, 5000), 4000)])
def test_a_graph_of_another_length_than_the_recipes_is_refused(tmp_path, recipe, taken):
    with pytest.raises(WeightsCorrupt, match="4000 samples"):
        opened(tmp_path, recipe, taken=taken)


def test_a_recipe_without_a_rate_is_refused(tmp_path):
    backbone = opened(tmp_path, SoundRecipe(RATE, 5000))
    card = Card("sums", "audio", "0" * 64, {"pooled": (3,)}, "Apache-2.0", "", None, {}, {"max_samples": 5})
    with pytest.raises(WeightsCorrupt, match="rate"):
        AudioBackbone.open(card, tmp_path, threads=1)
    assert (backbone.provider, backbone.card.id) == ("cpu", "sums")
