"""How often each colour occurs in each part of an image, as a torch function that exports to ONNX.

Source: Swain & Ballard, Color Indexing, IJCV 7(1), 1991.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

LEVELS: Final = 4
"""Of red, green and blue each."""

_TINY: Final = 1e-12


def colour_histogram(rgb: "torch.Tensor", *, grid: int) -> "torch.Tensor":
    """Square roots of the shares of 4 x 4 x 4 colours in each cell of a grid.

    A pixel between two levels counts for both by how near it is, so that no small change of light moves it from one
    to the other. The square root makes plain products of histograms compare shares (Hellinger).

    Args:
        rgb: (n, 3, h, w) in [0, 1]; h and w are multiples of `grid`.
        grid: Cells along each side.

    Returns:
        (n, grid·grid, 16, 4): red and green by blue; the squares of a cell sum to 1.
    """
    import torch

    levels = torch.arange(LEVELS, dtype=torch.float32).reshape(1, 1, LEVELS, 1, 1)
    near = (1 - (rgb.unsqueeze(2) * (LEVELS - 1) - levels).abs()).clamp(min=0)
    red, green, blue = near[:, 0], near[:, 1], near[:, 2]
    both = (red.unsqueeze(2) * green.unsqueeze(1)).flatten(1, 2)
    # Counting a joint histogram is a product of matrices over the pixels of a cell.
    counts = _cells(both, grid) @ _cells(blue, grid).transpose(-1, -2)
    pixels = (rgb.shape[2] // grid) * (rgb.shape[3] // grid)
    return (counts / pixels).clamp(min=_TINY).sqrt()


def _cells(maps: "torch.Tensor", grid: int) -> "torch.Tensor":
    """(n, c, h, w) -> (n, grid·grid, c, pixels of a cell)."""
    _, channels, height, width = maps.shape
    split = maps.reshape(-1, channels, grid, height // grid, grid, width // grid)
    return split.permute(0, 2, 4, 1, 3, 5).reshape(-1, grid * grid, channels, height * width // grid**2)
