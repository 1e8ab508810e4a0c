"""Directions of edges in each part of an image, as a torch function that exports to ONNX.

Source: Dalal & Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005.
"""

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

DIRECTIONS: Final = 8
CELL_PX: Final = 4

_SHARPNESS: Final = 8
"""Power of cos² that a gradient counts by: at 22.5 degrees, half-way to the next direction but one, it is 0.28."""
_FLOOR: Final = 0.01
"""Root mean square of a block's numbers under which it is not brought to unit length: noise would look like edges."""
_TINY: Final = 1e-12


def oriented_gradients(luma: "torch.Tensor") -> "torch.Tensor":
    """Histograms of 8 directions in cells of 4 x 4 pixels, in overlapping blocks of 2 x 2 cells of about unit length.

    Args:
        luma: (n, 1, h, w) in [0, 1]; h and w are multiples of 4.

    Returns:
        (n, 32, h/4 - 1, w/4 - 1); 0 where nothing changes.
    """
    import torch

    padded = torch.nn.functional.pad(luma, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    square = (across.square() + down.square()).clamp(min=_TINY)
    # cos and sin of twice the angle: a gradient and its opposite are one direction.
    cosine, sine = (across.square() - down.square()) / square, 2 * across * down / square
    twice = 2 * math.pi * torch.arange(DIRECTIONS, dtype=torch.float32).reshape(1, -1, 1, 1) / DIRECTIONS
    alike = ((1 + cosine * twice.cos() + sine * twice.sin()) / 2).clamp(min=0)
    for _ in range(_SHARPNESS.bit_length() - 1):
        alike = alike.square()
    cells = torch.nn.functional.avg_pool2d(alike * square.sqrt(), CELL_PX)
    corners = [cells[:, :, y : cells.shape[2] - 1 + y, x : cells.shape[3] - 1 + x] for y in (0, 1) for x in (0, 1)]
    blocks = torch.cat(corners, dim=1)
    length = (blocks.square().sum(dim=1, keepdim=True) + blocks.shape[1] * _FLOOR**2).sqrt()
    return blocks / length
