"""An image -> the pixels that a graph takes, the same that the backbone's own image processor gives.

    file -> decoded (models/images/files.py) -> resized -> centre crop -> (h, w, 3) uint8

Scaling by mean and standard deviation is part of the graph. Resizing is Pillow's, whose filters widen as they shrink
(antialiasing): other libraries' "bilinear" moves embeddings.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, Self, get_args

import numpy as np
from PIL import Image

from models.errors import SourceRefused
from models.images.files import DEFAULT_LIMITS, ImageLimits, Pixels, decode, open_image
from models.images.processors import Size, Triple, processor_steps, triple

__all__ = [
    "DEFAULT_LIMITS",
    "ImageLimits",
    "PixelRecipe",
    "Pixels",
    "open_image",
    "pixels_of",
    "read_pixels",
    "stretched",
]

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

LARGEST_EDGE_PX = 4096
"""Of what a graph takes, so that no recipe asks for gigabytes an item."""

_ELONGATED: Final = 16
"""Times as long as wide, from which an image's far ends are left out before it is resized by its shortest edge."""


@dataclass(frozen=True)
class PixelRecipe:
    """How an image becomes what a graph takes.

    Attributes:
        size: (height, width) that the graph takes.
        resize: What the image is resized to first: exactly (height, width), stretched; the shortest edge in pixels,
            in proportion; or None, not at all.
        resample: Filter of the resizing.
        mean: Of red, green and blue, pixels 0..255; the graph subtracts it.
        std: The same; the graph divides by it.
        crop: Whether `size` is then cut out of the middle; what an image lacks is black.

    Raises:
        SourceRefused: The fields do not go together.
    """

    size: Size
    resize: Size | int | None
    resample: Resample = "bilinear"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (255.0, 255.0, 255.0)
    crop: bool = False

    def __post_init__(self) -> None:
        edges = (*self.size, *_edges(self.resize))
        if not all(1 <= edge <= LARGEST_EDGE_PX for edge in edges):
            raise SourceRefused(
                f"Images would be made {edges} pixels; edges from 1 to {LARGEST_EDGE_PX} are supported."
            )
        if self.resample not in get_args(Resample):
            known = ", ".join(get_args(Resample))
            raise SourceRefused(f"There is no filter {self.resample!r} to resize with. Choose one of: {known}.")
        if not (all(map(math.isfinite, (*self.mean, *self.std))) and min(self.std) > 0):
            raise SourceRefused(f"mean {self.mean} and std {self.std} must be finite, and std above 0.")
        if not self.crop and self.resize != self.size:
            raise SourceRefused(
                f"Images resized to {self.resize} and not cropped do not have the {self.size} pixels that the graph "
                "takes. Set crop, or resize to exactly that size."
            )

    @classmethod
    def from_processor(cls, config: Mapping[str, Any], model_type: str = "") -> Self:
        """Read the ``preprocessor_config.json`` of a Hugging Face folder.

        Known are the processors of ViT, DeiT, BEiT, CLIP, SigLIP, BiT (which DINOv2 uses), ConvNeXt (and ResNet),
        MobileNetV1, MobileNetV2 and EfficientNet.

        Args:
            config: The file's content.
            model_type: Of ``config.json``, for files that do not name their processor.

        Raises:
            SourceRefused: The processor is unknown, or does something that no recipe can say.
        """
        steps = processor_steps(config, model_type)
        return cls(**{field.name: getattr(steps, field.name) for field in fields(steps)})

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """What `to_dict` gave.

        Raises:
            SourceRefused: It is something else.
        """
        return cls(**_parsed(given))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def replaced(self, preprocess: Mapping[str, Any]) -> "PixelRecipe":
        """The same with some fields of the caller's: ``{"size": 128, "mean": [127.5], "std": [127.5]}``.

        One number stands for a square, or for all three colours. With `size` and without `resize`, what the image is
        resized to keeps its proportion to the size: a shortest edge of 256 for 224 becomes 146 for 128.

        Raises:
            SourceRefused: A field is unknown or wrong, or they do not go together.
        """
        changes = _parsed(preprocess)
        if "size" in changes and "resize" not in changes:
            changes["resize"] = _in_proportion(self.resize, self.size, changes["size"])
        return replace(self, **changes)


def stretched(edge_px: int) -> PixelRecipe:
    """The whole image as a square whatever its shape, bilinear, pixels to 0..1: a start where nothing is known."""
    return PixelRecipe(size=(edge_px, edge_px), resize=(edge_px, edge_px))


def pixels_of(image: Pixels, recipe: PixelRecipe) -> Pixels:
    """What the graph takes, equal bit for bit to the backbone's own image processor on Pillow before it rescales.

    Only of images more than 16 times as long as wide, where a recipe resizes by the shortest edge, the far ends are
    left out first, which may shift the middle by half a pixel: resized whole, one row of 100,000 pixels would take
    gigabytes.

    Args:
        image: (h, w, 3) uint8.
        recipe: Of the backbone.

    Returns:
        (*recipe.size, 3) uint8.
    """
    return _fitted(Image.fromarray(image), recipe)


def read_pixels(data: bytes, recipe: PixelRecipe, limits: ImageLimits = DEFAULT_LIMITS) -> Pixels:
    """`pixels_of` of `open_image`, with a copy of the image less.

    Raises:
        WrongInput: See `open_image`.
    """
    return _fitted(decode(data, limits), recipe)


def _fitted(image: Image.Image, recipe: PixelRecipe) -> Pixels:
    if isinstance(recipe.resize, int):
        image = _without_far_ends(image, max(_ELONGATED, 2 * math.ceil(max(recipe.size) / recipe.resize)))
    if recipe.resize is not None:
        image = image.resize(_target(image.size, recipe.resize), Image.Resampling[recipe.resample.upper()])
    if recipe.crop:
        height, width = recipe.size
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image)


def _target(size: Size, resize: Size | int) -> Size:
    """(width, height) after resizing an image of (width, height); the longer edge is rounded down."""
    if isinstance(resize, tuple):
        return resize[1], resize[0]
    width, height = size
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize


def _without_far_ends(image: Image.Image, times: int) -> Image.Image:
    width, height = image.size
    most = times * min(image.size)
    if max(image.size) <= most:
        return image
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return image.crop((left, top, left + min(width, most), top + min(height, most)))


def _in_proportion(resize: Size | int | None, old: Size, new: Size) -> Size | int | None:
    if resize is None:
        return None
    if isinstance(resize, int):
        return round(resize * min(new) / min(old))
    return round(resize[0] * new[0] / old[0]), round(resize[1] * new[1] / old[1])


def _edges(resize: Size | int | None) -> tuple[int, ...]:
    return resize if isinstance(resize, tuple) else (resize,) if isinstance(resize, int) else ()


def _parsed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recipe from JSON values.

    Raises:
        SourceRefused: One is unknown or of the wrong kind.
    """
    read: dict[str, Callable[[Any], Any]] = {
        "size": _pair,
        "resize": _resize,
        "resample": str,
        "mean": triple,
        "std": triple,
        "crop": bool,
    }
    if unknown := sorted(set(given) - set(read)):
        raise SourceRefused(f"Images have no setting {unknown[0]!r}. Known are {', '.join(read)}.")
    try:
        return {name: read[name](value) for name, value in given.items()}
    except (TypeError, ValueError) as error:
        raise SourceRefused(f"The settings of images {dict(given)!r} cannot be read: {error}.") from error


def _pair(value: Any) -> Size:
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)


def _resize(value: Any) -> Size | int | None:
    return value if value is None or isinstance(value, int) else _pair(value)
