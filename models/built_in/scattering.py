"""``scatter-2d``: images described by wavelets, colours and edges. Nothing in it was learned from data.

    (n, 32, 32, 3) uint8
      luma -> Morlet wavelets, 3 scales x 8 directions -> |.| -> once more, coarser -> means on a 4 x 4 grid -> log
      RGB  -> histogram of 4 x 4 x 4 colours, soft, on a 4 x 4 grid -> square root
      luma -> gradients by 8 directions in cells of 4 px -> blocks of 2 x 2 cells, each of about unit length
    all of it at fixed weights -> L2 norm -> (n, 6064)

Wavelet moduli keep what a small shift leaves as it is and lose where exactly it lies; the second round gives back how
they vary. All scales use one kernel of 9 x 9 on halved images instead of ever larger kernels, which is what makes
it fast. Weights and offsets were set once, by held-out images of the training part of CIFAR-10.

Sources: Bruna & Mallat, Invariant Scattering Convolution Networks, IEEE TPAMI 35(8), 2013; Swain & Ballard, Color
Indexing, IJCV 7(1), 1991; Dalal & Triggs, Histograms of Oriented Gradients, CVPR 2005.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from models.built_in.gradients import oriented_gradients
from models.built_in.histogram import colour_histogram
from models.catalog import Entry
from models.export import OPSET, Case, Exported, Inputs, Progress, check_parity, export_module
from models.images.backbone import INPUT, OUTPUT
from models.images.pixels import stretched
from models.session import GRAPH_NAME

if TYPE_CHECKING:
    import torch

EDGE_PX: Final = 32
"""The whole image is stretched to a square of this edge, bilinear: 64 would take four times as long."""

WIDTH: Final = 6064

_SCALES: Final = 3
_DIRECTIONS: Final = 8
_GRID: Final = 4
_KERNEL_PX: Final = 9
_LUMA: Final = (0.299, 0.587, 0.114)

_SIGMA_PX: Final = 1.0
_FREQUENCY: Final = 2.2
_SLANT: Final = 0.5
_BLUR_PX: Final = 0.8

_MEAN_WEIGHT: Final = 4.0
_COLOUR_WEIGHT: Final = 8.0
_EDGE_WEIGHT: Final = 4.0
_LOG_WEIGHT: Final = 1.5
_FLOORS: Final = (5e-3, 5e-4)
"""Added to moduli of the first and second order before the logarithm: flat regions are alike, whatever their noise."""
_MIDDLES: Final = (0.019, 0.0016)
"""About the median of a modulus and its floor, whose logarithm becomes zero."""
_TINY: Final = 1e-12


def export_scatter(entry: Entry, folder: Path, on_progress: Progress) -> Exported:  # noqa: ARG001  # every builder takes one
    """Write ``pooled.onnx`` into a folder: the same bytes every time.

    Cost: 4 s; embedding an image takes 0.4 ms on one core.

    Raises:
        ExportMismatch: The graph does not compute what the module does.
    """
    on_progress("export", 0.1)
    module, inputs = scatter_2d(), Inputs((INPUT,), ("batch",), _cases())
    export_module(module, inputs, OUTPUT, folder / GRAPH_NAME)
    on_progress("compare with torch", 0.8)
    parity = check_parity(module, inputs, OUTPUT, folder / GRAPH_NAME)
    recipe = {
        "pixels": stretched(EDGE_PX).to_dict(),
        "front_end": f"Morlet scattering of luma, {_SCALES} scales, {_DIRECTIONS} directions, 2 orders; "
        "soft RGB histogram; oriented gradients",
        "pooling": f"means on a {_GRID} x {_GRID} grid",
        "normalisation": "L2",
        "precision": "float32",
        "opset": OPSET,
        "difference_from_torch": parity.difference,
    }
    return Exported({"pooled": (WIDTH,)}, recipe)


def scatter_2d() -> "torch.nn.Module":
    """(n, 32, 32, 3) uint8 -> (n, 6064) float32 of unit L2 norm, finite for every image."""
    import torch

    class Scatter2d(torch.nn.Module):
        wavelets: torch.Tensor
        blur: torch.Tensor
        luma: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            for name, constant in {"wavelets": _morlet(), "blur": _gauss(), "luma": np.array(_LUMA)}.items():
                self.register_buffer(name, torch.from_numpy(constant.astype(np.float32)), persistent=False)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            rgb = inputs[0].permute(0, 3, 1, 2).to(torch.float32) / 255
            luma = (rgb * self.luma.reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
            parts = [
                *self.scattering(luma),
                _COLOUR_WEIGHT * colour_histogram(rgb, grid=_GRID),
                _EDGE_WEIGHT * oriented_gradients(luma),
            ]
            return torch.nn.functional.normalize(torch.cat([part.flatten(1) for part in parts], dim=1), dim=1)

        def scattering(self, luma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            """(n, 1, 32, 32) -> orders 0, 1 and 2: (n, 1, 4, 4), (n, 24, 4, 4) and (n, 192, 4, 4)."""
            first, second = [], []
            image = luma
            for scale in range(_SCALES):
                modulus = self.modulus(image)
                first.append(_on_grid(modulus))
                for _ in range(scale + 1, _SCALES):
                    modulus = self.halved(modulus)
                    second.append(_on_grid(self.modulus(modulus)))
                image = self.halved(image) if scale + 1 < _SCALES else image
            return (
                _MEAN_WEIGHT * (_on_grid(luma) - 0.5),
                _logarithm(torch.cat(first, dim=1), _FLOORS[0], _MIDDLES[0]),
                _logarithm(torch.cat(second, dim=1), _FLOORS[1], _MIDDLES[1]),
            )

        def modulus(self, maps: torch.Tensor) -> torch.Tensor:
            """(n, c, h, w) -> (n, 8·c, h, w): how strongly each direction swings at each place."""
            _, channels, height, width = maps.shape
            both = _filtered(maps, self.wavelets)
            real, imaginary = both[:, :_DIRECTIONS], both[:, _DIRECTIONS:]
            square = (real.square() + imaginary.square()).clamp(min=_TINY)
            return square.sqrt().reshape(-1, channels * _DIRECTIONS, height, width)

        def halved(self, maps: torch.Tensor) -> torch.Tensor:
            """(n, c, h, w) -> (n, c, h/2, w/2), blurred first."""
            _, channels, height, width = maps.shape
            return _filtered(maps, self.blur, stride=2).reshape(-1, channels, height // 2, width // 2)

    return Scatter2d().eval()


def _filtered(maps: "torch.Tensor", kernels: "torch.Tensor", stride: int = 1) -> "torch.Tensor":
    """Every map by every kernel (k, 1, s, s), mirrored at the border: (n, c, h, w) -> (n·c, k, h/stride, w/stride)."""
    import torch

    alone = maps.reshape(-1, 1, *maps.shape[2:])
    border = kernels.shape[-1] // 2
    mirrored = torch.nn.functional.pad(alone, (border,) * 4, mode="reflect")
    return torch.nn.functional.conv2d(mirrored, kernels, stride=stride)


def _on_grid(maps: "torch.Tensor") -> "torch.Tensor":
    """(n, c, h, w) -> (n, c, 4, 4) means."""
    import torch

    return torch.nn.functional.avg_pool2d(maps, maps.shape[-1] // _GRID)


def _logarithm(modulus: "torch.Tensor", floor: float, middle: float) -> "torch.Tensor":
    """At least -2, where nothing swings, and bounded above: no part of an image can drown the others."""
    return _LOG_WEIGHT * ((modulus + floor) / middle).log()


def _morlet() -> npt.NDArray[np.float64]:
    """(16, 1, 9, 9): real parts of the wavelets of 8 directions, then imaginary ones; moduli of each sum to 1.

    exp(i·ξ·u) under a Gauss bell that is twice as long across its direction u as along, less what makes its mean zero.
    """
    half = _KERNEL_PX // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    wavelets = []
    for angle in np.arange(_DIRECTIONS) * math.pi / _DIRECTIONS:
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        bell = np.exp(-(along**2 + (across * _SLANT) ** 2) / (2 * _SIGMA_PX**2))
        wave = bell * np.exp(1j * _FREQUENCY * along)
        wave -= bell * (wave.sum() / bell.sum())
        wavelets.append(wave / np.abs(wave).sum())
    stacked = np.stack(wavelets)
    return np.concatenate([stacked.real, stacked.imag])[:, None]


def _gauss() -> npt.NDArray[np.float64]:
    """(1, 1, 5, 5), sum 1: what is blurred by it loses little that half the resolution can show."""
    line = np.exp(-(np.arange(-2, 3) ** 2) / (2 * _BLUR_PX**2))
    line /= line.sum()
    return np.outer(line, line)[None, None]


def _cases() -> tuple[Case, ...]:
    """Random pixels, and images that are all of one colour, or nearly, or nothing but edges."""
    rng = np.random.default_rng(0)
    shape = (EDGE_PX, EDGE_PX, 3)
    noise = rng.integers(0, 256, (3, *shape), dtype=np.uint8)
    plain = np.broadcast_to(np.array([0, 1, 127, 255], dtype=np.uint8)[:, None, None, None], (4, *shape))
    stripes = np.broadcast_to((np.arange(EDGE_PX) % 2 * 255).astype(np.uint8)[:, None, None], shape)
    dot = np.zeros(shape, dtype=np.uint8)
    dot[9, 9] = 255
    edges = np.stack([stripes, stripes.transpose(1, 0, 2), dot, 255 - dot])
    return (noise,), (plain.copy(),), (edges,), (noise[:1] // 128,)
