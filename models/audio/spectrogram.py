"""Spectra of sounds as torch modules that export: what AST's and Whisper's own feature extractors compute in numpy.

    samples -> frames -> one matrix (centring, pre-emphasis, window, Fourier) -> power -> mel -> logarithm -> scaling

Everything up to the power is linear, so it is one product in float64: in float32 a quiet band beside a loud one is off
by up to 6e-4 after the logarithm. Powers and what follows are float32 and equal to the extractors' within 1e-4.
Sources: Gong, Chung & Glass, AST, Interspeech 2021; Radford et al., Whisper, ICML 2023.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from models.errors import ExportFailed

if TYPE_CHECKING:
    import torch

F64 = npt.NDArray[np.float64]

PADDING = 2.0
"""Stands behind a sound's end where the graph has to know the end: a value that no sample in [-1, 1] has."""

_FRAME = 400
_HOP = 160
_BLOCK = 80
"""Samples that every frame and every hop is a whole number of."""

_DEFAULT_SECONDS = 30.0


@dataclass(frozen=True)
class SoundRecipe:
    """What becomes of a sound before its backbone's graph; lies in `Card.recipe`, followed by `models.audio.backbone`.

    Attributes:
        rate: Samples a second.
        max_samples: Most samples that are taken at once; what lies beyond becomes further pieces.
        fixed_samples: Length that the graph takes, shorter sounds are padded to; None = any length.
        padding: Value behind a sound's end.
        normalise_samples: Whether each piece is brought to zero mean and unit variance before it is padded.
        ragged: Whether the graph sees no difference between zeros behind a sound's end and nothing, so that sounds of
            unlike length can share a batch.

    Raises:
        ValueError: A length is below 1.
    """

    rate: int
    max_samples: int
    fixed_samples: int | None = None
    padding: float = 0.0
    normalise_samples: bool = False
    ragged: bool = False

    def __post_init__(self) -> None:
        if min(self.rate, self.max_samples, self.fixed_samples or self.max_samples) < 1:
            raise ValueError(f"{self} takes less than one sample.")

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """What `to_dict` gave, among other entries of a recipe."""
        return cls(**{field.name: fields[field.name] for field in dataclass_fields(cls) if field.name in fields})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sound_recipe(config: Mapping[str, Any], max_seconds: float | None = None) -> SoundRecipe:
    """What a backbone's ``preprocessor_config.json`` asks of a sound.

    Args:
        config: As read from the file.
        max_seconds: Longest sound taken at once, where the graph takes any length; None = 30 s.
    """
    rate = int(config.get("sampling_rate", 16000))
    kind = _kind(config)
    if kind == "ASTFeatureExtractor":
        samples = _FRAME + (int(config.get("max_length", 1024)) - 1) * _HOP
        return SoundRecipe(rate, samples, samples, padding=PADDING)
    if kind == "WhisperFeatureExtractor":
        samples = int(config.get("chunk_length", 30)) * rate
        return SoundRecipe(rate, samples, samples)
    normalise = bool(config.get("do_normalize", True))
    return SoundRecipe(rate, round((max_seconds or _DEFAULT_SECONDS) * rate), normalise_samples=normalise)


def log_mel(config: Mapping[str, Any]) -> "torch.nn.Module":
    """The front-end that stands before an architecture that takes spectra.

    Args:
        config: ``preprocessor_config.json`` of an AST or of a Whisper.

    Returns:
        A module without parameters: (n, t) float32 samples, `SoundRecipe.fixed_samples` of them and padded as the
        recipe says, to AST's ``input_values`` (n, frames, bins) or Whisper's ``input_features`` (n, bins, frames).

    Raises:
        ExportFailed: Another kind of extractor, or one with settings that are not computed here.
    """
    kind = _kind(config)
    if kind == "ASTFeatureExtractor":
        return _ast(config)
    if kind == "WhisperFeatureExtractor":
        return _whisper(config)
    raise ExportFailed(
        f"The spectra of {kind or 'an extractor without a type'} are not computed here; known are those of "
        "ASTFeatureExtractor and WhisperFeatureExtractor."
    )


def takes_spectra(config: Mapping[str, Any]) -> bool:
    """Whether `log_mel` knows the extractor; the others take samples."""
    return _kind(config) in ("ASTFeatureExtractor", "WhisperFeatureExtractor")


def frames_of(samples: "torch.Tensor", count: int) -> "torch.Tensor":
    """(n, t) samples -> (n, count, 400) frames that begin every 160 samples; t is at least 160 · count + 240.

    By slices of blocks of 80: the graph holds neither a table of positions nor an operator that CUDA lacks.
    """
    import torch

    hop, width = _HOP // _BLOCK, _FRAME // _BLOCK
    used = (count - 1) * hop + width
    blocks = samples[:, : used * _BLOCK].reshape(samples.shape[0], used, _BLOCK)
    return torch.cat([blocks[:, j : j + (count - 1) * hop + 1 : hop] for j in range(width)], dim=-1)


def fourier(length: int, bins: int) -> F64:
    """(2 · bins, 400): the real and, below, the imaginary rows of a Fourier transform of frames padded to a length."""
    angle = 2 * np.pi * np.outer(np.arange(bins), np.arange(_FRAME)) / length
    return np.concatenate([np.cos(angle), -np.sin(angle)])


def mel_of(hertz: npt.ArrayLike) -> F64:
    """Mels of frequencies. Source: O'Shaughnessy, Speech Communication, 1987 (as Kaldi and HTK write it)."""
    return np.asarray(1127 * np.log(1 + np.asarray(hertz) / 700))


def triangles(at: F64, edges: F64) -> F64:
    """(len(at), len(edges) - 2): triangle k rises from edge k to 1 at edge k + 1 and falls to edge k + 2."""
    rise = (at[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - at[:, None]) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rise, fall), 0, None)


def power_mel(frames: "torch.Tensor", kernel: "torch.Tensor", mel: "torch.Tensor") -> "torch.Tensor":
    """(n, f, 400) -> (n, f, bands): powers of the spectrum, summed into mel bands.

    Args:
        frames: float32.
        kernel: (400, 2 · bins) float64: window and Fourier transform.
        mel: (bins, bands) float32.
    """
    spectrum = (frames.double() @ kernel).float()
    bins = mel.shape[0]
    return (spectrum[..., :bins].square() + spectrum[..., bins:].square()) @ mel


def _ast(config: Mapping[str, Any]) -> "torch.nn.Module":
    """Kaldi's filter bank. Frames behind a sound's end are zero before the scaling, so the end has to be known."""
    import torch

    rate, count = int(config.get("sampling_rate", 16000)), int(config.get("max_length", 1024))
    mean, std = float(config.get("mean", -4.2677393)), float(config.get("std", 4.5689974))
    if not config.get("do_normalize", True):
        mean, std = 0.0, 0.5
    mel = _kaldi_mel(int(config.get("num_mel_bins", 128)), rate)
    floor = float(np.finfo(np.float32).eps)

    class AstLogMel(torch.nn.Module):
        kernel: torch.Tensor
        mel: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.from_numpy(_kaldi_kernel()), persistent=False)
            self.register_buffer("mel", torch.from_numpy(mel.astype(np.float32)), persistent=False)

        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            real = samples < (1 + PADDING) / 2
            frames = frames_of(torch.where(real, samples, 0.0), count)
            logs = power_mel(frames, self.kernel, self.mel).clamp(min=floor).log()
            whole = real[:, _FRAME - 1 :: _HOP][:, :count].unsqueeze(-1)
            return (torch.where(whole, logs, 0.0) - mean) / (2 * std)

    return AstLogMel().eval()


def _whisper(config: Mapping[str, Any]) -> "torch.nn.Module":
    """Log10 powers, cut 8 below the sound's loudest. Frames are centred; the sound's ends are mirrored."""
    import torch

    rate, length = int(config.get("sampling_rate", 16000)), int(config.get("n_fft", _FRAME))
    if length != _FRAME or int(config.get("hop_length", _HOP)) != _HOP or config.get("dither"):
        raise ExportFailed(
            f"This Whisper's spectra have n_fft {length}, hop_length {config.get('hop_length')} and dither "
            f"{config.get('dither')}; {_FRAME}, {_HOP} and none are computed here."
        )
    count = int(config.get("chunk_length", 30)) * rate // _HOP
    mel = _slaney_mel(int(config.get("feature_size", 80)), rate)
    kernel = (fourier(_FRAME, _FRAME // 2 + 1) * np.hanning(_FRAME + 1)[:-1]).T

    class WhisperLogMel(torch.nn.Module):
        kernel: torch.Tensor
        mel: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kernel", torch.from_numpy(kernel.copy()), persistent=False)
            self.register_buffer("mel", torch.from_numpy(mel.astype(np.float32)), persistent=False)

        def forward(self, samples: torch.Tensor) -> torch.Tensor:
            mirrored = torch.nn.functional.pad(samples, (_FRAME // 2, _FRAME // 2), mode="reflect")
            powers = power_mel(frames_of(mirrored, count), self.kernel, self.mel)
            logs = powers.clamp(min=1e-10).log10()
            logs = torch.maximum(logs, logs.amax(dim=(1, 2), keepdim=True) - 8.0)
            return ((logs + 4.0) / 4.0).transpose(1, 2)

    return WhisperLogMel().eval()


def _kaldi_kernel() -> F64:
    """(400, 2 · 257): centring, pre-emphasis of 0.97, Hann window and the Fourier transform of 512, as one matrix."""
    centring = np.eye(_FRAME) - 1 / _FRAME
    emphasis = np.eye(_FRAME) - 0.97 * np.eye(_FRAME, k=-1)
    emphasis[0, 0] = 1 - 0.97
    kernel: F64 = ((fourier(512, 257) * np.hanning(_FRAME)) @ emphasis @ centring).T
    return kernel.copy()


def _kaldi_mel(bands: int, rate: int) -> F64:
    """(257, bands): triangles that are straight in mels, from 20 Hz to half the rate."""
    edges = np.linspace(mel_of(20), mel_of(rate // 2), bands + 2)
    return triangles(mel_of(np.arange(257) * rate / 512), edges)


def _slaney_mel(bands: int, rate: int) -> F64:
    """(201, bands): triangles that are straight in Hz, of one area, from 0 to 8,000 Hz.

    The scale is straight below 1,000 Hz and logarithmic above.
    Source: Slaney, Auditory Toolbox, Interval Research technical report 1998-010.
    """
    mels = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), bands + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    bank: F64 = triangles(np.linspace(0, rate // 2, 201), edges) * 2 / (edges[2:] - edges[:-2])
    return bank


def _kind(config: Mapping[str, Any]) -> str:
    return str(config.get("feature_extractor_type") or config.get("processor_class") or "")
