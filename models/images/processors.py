"""What transformers' image processors do to an image, read from ``preprocessor_config.json`` without transformers.

A processor's own defaults hold where its file is silent, so they are written down here: files in circulation leave out
whatever their author did not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.errors import SourceRefused

Triple = tuple[float, float, float]
Size = tuple[int, int]

_CODES: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's filters by their numbers, as the files give them."""

_HALF: Final[Triple] = (0.5, 0.5, 0.5)
_CLIP: Final[Triple] = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final[Triple] = (0.26862954, 0.26130258, 0.27577711)

_WARPED_FROM_PX: Final = 384
"""ConvNext's processor crops below this edge and squeezes the whole image from it on."""


@dataclass(frozen=True)
class _Defaults:
    """A processor where its file is silent.

    Attributes:
        resize: (height, width), or the shortest edge.
        cropped: Whether the centre is cut out.
        resample: Pillow's number of the filter.
        mean: Of pixels 0..1.
        std: Of pixels 0..1.
        crop: Edge of that centre.
        square: A `size` that is one number means a square, not the shortest edge.
    """

    resize: Size | int
    cropped: bool = False
    resample: int = 3
    mean: Triple = _HALF
    std: Triple = _HALF
    crop: int = 224
    square: bool = False


_KNOWN: Final[Mapping[str, _Defaults]] = {
    "ViT": _Defaults((224, 224), resample=2, square=True),
    "DeiT": _Defaults((256, 256), cropped=True, square=True),
    "Beit": _Defaults((224, 224), square=True),
    "CLIP": _Defaults(224, cropped=True, mean=_CLIP, std=_CLIP_STD),
    "Siglip": _Defaults((224, 224)),
    "Bit": _Defaults(224, cropped=True, mean=_CLIP, std=_CLIP_STD),
    "ConvNext": _Defaults(384),
    "MobileNetV1": _Defaults(256, cropped=True, resample=2),
    "MobileNetV2": _Defaults(256, cropped=True, resample=2),
    "EfficientNet": _Defaults((346, 346), crop=289, square=True),
}

_OF_MODEL: Final = {
    "vit": "ViT",
    "swin": "ViT",
    "swinv2": "ViT",
    "deit": "DeiT",
    "beit": "Beit",
    "clip": "CLIP",
    "siglip": "Siglip",
    "bit": "Bit",
    "dinov2": "Bit",
    "convnext": "ConvNext",
    "convnextv2": "ConvNext",
    "resnet": "ConvNext",
    "regnet": "ConvNext",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet": "EfficientNet",
}
"""Processor of an architecture, for files that do not name theirs."""


@dataclass(frozen=True)
class Steps:
    """What a processor does; the fields of `models.images.pixels.PixelRecipe`, mean and std of pixels 0..255."""

    size: Size
    resize: Size | int | None
    resample: str
    mean: Triple
    std: Triple
    crop: bool


def processor_steps(config: Mapping[str, Any], model_type: str) -> Steps:
    """Read a ``preprocessor_config.json``.

    Args:
        config: The file's content.
        model_type: Of the weights' ``config.json``, for files that do not name their processor.

    Raises:
        SourceRefused: The processor is unknown, or does something that no recipe can say.
    """
    name = _name(config, model_type)
    defaults = _KNOWN[name]
    if config.get("do_flip_channel_order") or config.get("do_pad"):
        raise SourceRefused(f"{name}ImageProcessor is set to flip channels or to pad, which is not supported.")
    try:
        size, resize = _geometry(name, config, defaults)
        mean, std = _scaling(name, config, defaults)
        resample = _CODES[int(config.get("resample", defaults.resample))]
    except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        raise SourceRefused(f"preprocessor_config.json of {name}ImageProcessor cannot be read: {error!r}.") from error
    return Steps(size, resize, resample, mean, std, crop=resize != size)


def _name(config: Mapping[str, Any], model_type: str) -> str:
    given = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    name = given.removesuffix("Fast").removesuffix("Pil")
    name = name.removesuffix("ImageProcessor").removesuffix("FeatureExtractor") or _OF_MODEL.get(model_type, "")
    if name not in _KNOWN:
        raise SourceRefused(
            f"How the image processor {given or 'of ' + model_type!r} prepares images is not known; known are "
            f"{', '.join(_KNOWN)}. State it yourself as preprocess: size, resize, resample, mean, std, crop."
        )
    return name


def _geometry(name: str, config: Mapping[str, Any], defaults: _Defaults) -> tuple[Size, Size | int | None]:
    """Size that the graph takes, and what the image is resized to before the centre crop."""
    resize = _resize(config.get("size"), defaults) if config.get("do_resize", True) else None
    if name == "ConvNext" and isinstance(resize, int):
        size = (resize, resize)
        return size, size if resize >= _WARPED_FROM_PX else int(resize / (config.get("crop_pct") or 224 / 256))
    if config.get("do_center_crop", defaults.cropped):
        return _exact(config.get("crop_size", defaults.crop)), resize
    if not isinstance(resize, tuple):
        raise SourceRefused(
            f"{name}ImageProcessor is set to give images of unlike sizes (no exact size, no centre crop), which no "
            "graph takes. State the size yourself as preprocess."
        )
    return resize, resize


def _resize(size: Any, defaults: _Defaults) -> Size | int:
    if size is None:
        return defaults.resize
    if isinstance(size, int):
        return (size, size) if defaults.square else size
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"])
    return _exact(size)


def _exact(size: Any) -> Size:
    """(height, width) of one number, a pair, or a mapping.

    Raises:
        KeyError: A mapping says something else.
    """
    if isinstance(size, int):
        return size, size
    height, width = (size["height"], size["width"]) if isinstance(size, Mapping) else size
    return int(height), int(width)


def _scaling(name: str, config: Mapping[str, Any], defaults: _Defaults) -> tuple[Triple, Triple]:
    """(x·factor - mean)/std of pixels 0..255, written as (x - mean/factor)/(std/factor)."""
    factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    mean, std = triple(0.0), triple(1.0)
    if config.get("do_normalize", True):
        mean = triple(config.get("image_mean") or defaults.mean)
        std = triple(config.get("image_std") or defaults.std)
    if name == "EfficientNet":
        again = triple(config.get("image_std") or defaults.std) if config.get("include_top", True) else triple(1.0)
        offset = 1.0 if config.get("rescale_offset", False) else 0.0
        mean = triple([m + offset for m in mean])
        std = triple([s * t for s, t in zip(std, again, strict=True)])
    return triple([m / factor for m in mean]), triple([s / factor for s in std])


def triple(numbers: Any) -> Triple:
    """Three numbers, one for red, green and blue; one number stands for three.

    Raises:
        TypeError, ValueError: It is something else.
    """
    listed = [numbers] if isinstance(numbers, int | float) else list(numbers)
    red, green, blue = listed * 3 if len(listed) == 1 else listed
    return float(red), float(green), float(blue)
