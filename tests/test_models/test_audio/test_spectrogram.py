import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor

from models.audio.spectrogram import PADDING, SoundRecipe, log_mel, sound_recipe, takes_spectra
from models.errors import ExportFailed
from models.export import Inputs, export_module
from models.session import open_session

RATE = 16000
TOLERANCE = 1e-4

EXTRACTORS = {
    "ast": (ASTFeatureExtractor, {}),
    "ast-short-64": (ASTFeatureExtractor, {"num_mel_bins": 64, "max_length": 100, "mean": -5.0, "std": 3.0}),
    "ast-unscaled": (ASTFeatureExtractor, {"max_length": 50, "do_normalize": False}),
    "whisper-80": (WhisperFeatureExtractor, {}),
    "whisper-128": (WhisperFeatureExtractor, {"feature_size": 128}),
    "whisper-2s": (WhisperFeatureExtractor, {"chunk_length": 2}),
}

# AST's own filter bank has an empty band.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter")


def extractor_of(name: str):
    make, options = EXTRACTORS[name]
    return make(**options)


def sweep(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.9 * np.sin(2 * np.pi * (20 * t + 3900 * t * t / seconds))).astype(np.float32)


def sounds() -> dict[str, np.ndarray]:
    noise = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    impulse = np.zeros(3500, dtype=np.float32)
    impulse[500] = 1
    return {
        "sweep": sweep(1.7),
        "longer than taken": sweep(31),
        "noise": noise,
        "quiet noise": noise * np.float32(1e-4),
        "silence": np.zeros(5000, dtype=np.float32),
        "constant": np.full(8000, 0.7, dtype=np.float32),
        "impulse": impulse,
        "clipped": np.sign(sweep(0.5)),
        "one frame": noise[:400],
        "less than a frame": noise[:399],
        "15 ms": noise[:240],
    }


def padded(sound: np.ndarray, recipe: SoundRecipe) -> np.ndarray:
    row = np.full(recipe.fixed_samples, recipe.padding, dtype=np.float32)
    kept = sound[: recipe.fixed_samples]
    row[: len(kept)] = kept
    return row


@pytest.mark.parametrize("name", EXTRACTORS)
def test_the_spectra_are_the_extractors_own(name):
    extractor = extractor_of(name)
    config = extractor.to_dict()
    recipe, module = sound_recipe(config), log_mel(config)
    for title, sound in sounds().items():
        expected = extractor(sound, sampling_rate=RATE, return_tensors="np")[extractor.model_input_names[0]]
        seen = module(torch.from_numpy(padded(sound, recipe)[None])).numpy()
        assert seen.shape == expected.shape
        assert seen.dtype == np.float32
        assert np.abs(seen - expected).max() <= TOLERANCE, title


@pytest.mark.parametrize("name", ["ast-short-64", "whisper-2s"])
def test_the_graph_computes_the_same_in_any_batch(name, tmp_path):
    config = extractor_of(name).to_dict()
    recipe, module = sound_recipe(config), log_mel(config)
    batch = np.stack([padded(sound, recipe) for sound in sounds().values()])
    export_module(whole(module), Inputs(("samples",), ("batch",), ((batch,),)), "features", tmp_path / "graph.onnx")
    session = open_session(tmp_path / "graph.onnx", threads=1)
    seen = session.run(None, {"samples": batch})[0]
    assert np.abs(seen - module(torch.from_numpy(batch)).numpy()).max() <= 1e-6
    assert all((session.run(None, {"samples": row[None]})[0][0] == seen[i]).all() for i, row in enumerate(batch))


def whole(front_end: torch.nn.Module) -> torch.nn.Module:
    """A backbone that is its front-end alone."""

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.front_end = front_end

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.front_end(inputs[0])

    return Whole().eval()


def test_the_recipe_follows_the_extractor():
    assert sound_recipe(extractor_of("ast").to_dict()) == SoundRecipe(RATE, 164080, 164080, padding=PADDING)
    assert sound_recipe(extractor_of("whisper-2s").to_dict()) == SoundRecipe(RATE, 32000, 32000)


def test_an_extractor_of_samples_normalises_them_unless_it_says_otherwise():
    config = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 8000}
    assert sound_recipe(config) == SoundRecipe(8000, 240_000, normalise_samples=True)
    assert sound_recipe({**config, "do_normalize": False}, max_seconds=5) == SoundRecipe(8000, 40_000)
    assert not takes_spectra(config)
    assert takes_spectra(extractor_of("ast").to_dict())


def test_a_recipe_is_written_without_what_it_lacks():
    assert SoundRecipe(8000, 100).to_dict() == {
        "rate": 8000,
        "max_samples": 100,
        "padding": 0.0,
        "normalise_samples": False,
        "ragged": False,
    }


def test_a_recipe_is_read_from_among_other_entries():
    recipe = SoundRecipe(8000, 100, 100, padding=PADDING, ragged=True)
    assert SoundRecipe.from_dict({"opset": 20, **recipe.to_dict()}) == recipe
    with pytest.raises(ValueError, match="less than one sample"):
        SoundRecipe(8000, 0)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"feature_extractor_type": "ClapFeatureExtractor"}, "ClapFeatureExtractor"),
        ({}, "without a type"),
        ({"feature_extractor_type": "WhisperFeatureExtractor", "n_fft": 512}, "n_fft 512"),
        ({"feature_extractor_type": "WhisperFeatureExtractor", "dither": 0.1}, "dither 0.1"),
    ],
)
def test_other_spectra_are_refused(config, word):
    with pytest.raises(ExportFailed, match=word):
        log_mel(config)
