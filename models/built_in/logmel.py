"""``logmel-stats``: sounds described by their cepstra over time. Nothing in it was learned from data.

    samples -> peak to 1 -> pre-emphasis -> frames of 25 ms every 10 ms -> 40 mel bands -> log -> 20 cepstra a frame
    frames 30 dB under the loudest left out -> means over ten equal stretches of the rest, mean and deviation of all of
    it, and of the change from frame to frame -> 280 numbers

Leaving quiet frames out puts the sound's own beginning and end at the first and last stretch, which is what makes
classes separable: a word said after half a second of silence is the same word. How much of a frame counts goes from
none to all over 5 dB instead of at once, so that no rounding can move a whole frame in or out; frames of padding count
nothing, so a row does not depend on its neighbours.
Sources: Davis & Mermelstein, IEEE TASSP 28(4), 1980 (cepstra); Young et al., The HTK Book, 2006 (liftering).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from models.audio.backbone import GRAPH_NAME, INPUT, OUTPUT
from models.audio.spectrogram import SoundRecipe, fourier, frames_of, mel_of, power_mel, triangles
from models.catalog import Entry
from models.export import OPSET, Case, Exported, Inputs, Progress, check_parity, export_module

if TYPE_CHECKING:
    import torch

RATE = 16_000
BANDS = 40
CEPSTRA = 20
STRETCHES = 10
WIDTH = STRETCHES * CEPSTRA + 4 * CEPSTRA

_MAX_SAMPLES = 30 * RATE
_FFT = 512
_LIFTER = 22
_SCALE = 1 / 500
"""Brings speech to a length of about 1."""

_QUIET = 1e-4
"""Peak under which a sound is not made louder: the noise of silence would become the item."""
_TINY = 1e-20
_FLOOR = 1e-8
_KEPT = 1e-3


def export_logmel(entry: Entry, folder: Path, on_progress: Progress) -> Exported:  # noqa: ARG001  # every builder takes one
    """Write ``pooled.onnx`` into a folder.

    Cost: 5 s; embedding half a second of sound takes 0.6 ms.

    Raises:
        ExportMismatch: The graph does not compute what the module does.
    """
    on_progress("export", 0.1)
    module, inputs = log_mel_stats(), Inputs((INPUT,), ("batch", "samples"), _cases())
    export_module(module, inputs, OUTPUT, folder / GRAPH_NAME)
    on_progress("compare with torch", 0.8)
    parity = check_parity(module, inputs, OUTPUT, folder / GRAPH_NAME)
    recipe = SoundRecipe(RATE, _MAX_SAMPLES, ragged=True).to_dict() | {
        "front_end": f"{BANDS} mel bands, {CEPSTRA} cepstra, frames 30 dB under the loudest left out",
        "pooling": f"means over {STRETCHES} stretches; mean and deviation of cepstra and of their change",
        "normalisation": "none",
        "precision": "float32",
        "opset": OPSET,
        "difference_from_torch": parity.difference,
    }
    return Exported({"pooled": (WIDTH,)}, recipe)


def log_mel_stats() -> "torch.nn.Module":
    """(n, t) float32 samples at 16 kHz, zeros behind a sound's end -> (n, 280) float32.

    Silence is a row like any other; a sound of one sample as well.
    """
    import torch

    class LogMelStats(torch.nn.Module):
        kernel: torch.Tensor
        mel: torch.Tensor
        cosines: torch.Tensor
        edges: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            for name, constant in _constants().items():
                self.register_buffer(name, torch.from_numpy(constant), persistent=False)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            frames = _loud_frames(inputs[0])
            cepstra = self.cepstra(frames)
            change = torch.nn.functional.pad(cepstra[:, 2:] - cepstra[:, :-2], (0, 0, 1, 1)) / 2
            counts = _counts(frames)
            parts = [self.stretches(counts) @ cepstra, *_mean_and_deviation(counts, cepstra)]
            return torch.cat([*parts, *_mean_and_deviation(counts, change)], dim=1).flatten(1) * _SCALE

        def cepstra(self, frames: torch.Tensor) -> torch.Tensor:
            """(n, f, 400) -> (n, f, 20); powers are cut 80 dB under the sound's largest."""
            powers = power_mel(frames, self.kernel, self.mel)
            relative = powers / powers.amax(dim=(1, 2), keepdim=True).clamp(min=_TINY)
            return relative.clamp(min=_FLOOR).log() @ self.cosines

        def stretches(self, counts: torch.Tensor) -> torch.Tensor:
            """(n, f) -> (n, 10, f): the share that each frame has in each tenth of what counts; rows sum to 1."""
            ends = counts.cumsum(dim=1)
            share = ends.unsqueeze(1) / ends[:, -1:].unsqueeze(1)
            start = (ends - counts).unsqueeze(1) / ends[:, -1:].unsqueeze(1)
            low, high = self.edges[:-1, None], self.edges[1:, None]
            return (torch.minimum(share, high) - torch.maximum(start, low)).clamp(min=0) * STRETCHES

    return LogMelStats().eval()


def _loud_frames(samples: "torch.Tensor") -> "torch.Tensor":
    """(n, t) -> (n, f, 400) of peak 1 before pre-emphasis of 0.97; the last frame lies behind the end."""
    import torch

    peak = samples.abs().amax(dim=1, keepdim=True).clamp(min=_QUIET)
    padded = torch.nn.functional.pad(samples / peak, (1, 560))
    return frames_of(padded[:, 1:] - 0.97 * padded[:, :-1], samples.shape[1] // 160 + 2)


def _counts(frames: "torch.Tensor") -> "torch.Tensor":
    """(n, f) in [0, 1]: how much each frame counts, by its energy: nothing at -33 dB, half at -30, all at -28."""
    energy = frames.square().sum(dim=2).clamp(min=_TINY)
    return (energy / (energy.amax(dim=1, keepdim=True) * _KEPT) - 0.5).clamp(min=0, max=1)


def _mean_and_deviation(counts: "torch.Tensor", values: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
    """(n, f) weights, (n, f, k) -> twice (n, 1, k)."""
    weight = (counts / counts.sum(dim=1, keepdim=True)).unsqueeze(1)
    mean = weight @ values
    return mean, (weight @ (values - mean).square()).sqrt()


def _constants() -> dict[str, npt.NDArray[np.floating]]:
    """The Fourier transform with its window, the mel bands, the liftered cosine transform, the stretches' edges."""
    kernel = (fourier(_FFT, _FFT // 2 + 1) * np.hamming(400)).T
    bands = np.linspace(mel_of(20), mel_of(RATE // 2), BANDS + 2)
    mel = triangles(mel_of(np.arange(_FFT // 2 + 1) * RATE / _FFT), bands)
    k = np.arange(CEPSTRA)
    cosines = np.cos(np.pi * np.outer(np.arange(BANDS) + 0.5, k) / BANDS) * np.sqrt(2 / BANDS)
    cosines[:, 0] /= np.sqrt(2)
    cosines *= 1 + _LIFTER / 2 * np.sin(np.pi * k / _LIFTER)
    edges = np.arange(STRETCHES + 1) / STRETCHES
    exact = {"kernel": np.ascontiguousarray(kernel)}
    return exact | {name: a.astype(np.float32) for name, a in {"mel": mel, "cosines": cosines, "edges": edges}.items()}


def _cases() -> tuple[Case, ...]:
    """Sounds of several lengths: noise, silence, an impulse, clipping, padding, fewer samples than a frame."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (6, 8000)).astype(np.float32)
    noise[1] = 0
    noise[2, :4000] = 0
    noise[2, 4001:] = 0
    noise[3] = np.sign(noise[3])
    noise[4, 3000:] = 0
    noise[5] *= np.float32(1e-5)
    return ((noise,), (noise[:1, :1],), (noise[:2, :399],), (np.repeat(noise[:1], 6, axis=1),))
