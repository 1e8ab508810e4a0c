"""Image encoders of timm: architectures that transformers lacks, with weights in one safetensors file.

The embedding is what timm's own `reset_classifier(0)` leaves. timm is an extra: nothing else needs it.
"""

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.catalog import Options
from models.errors import SourceRefused
from models.images.backbone import OUTPUT
from models.images.pixels import PixelRecipe
from models.trunks.images import image_inputs, scaled
from models.trunks.network import Network, listed, longest_list, weight_count
from models.trunks.torchvision_ops import complete
from models.trunks.transformers_network import CONFIG_NAME, outside, read_json
from models.weights import WEIGHTS_NAME

if TYPE_CHECKING:
    import torch

_OURS = frozenset(
    {
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "checkpoint_path",
        "cache_dir",
        "features_only",
        "num_classes",
        "in_chans",
        "scriptable",
        "exportable",
        "no_jit",
    }
)
"""Arguments that fetch files, run code or change what an embedding is."""

_MEASURES = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")


def timm_network(architecture: str, arguments: Mapping[str, Any], folder: Path, options: Options) -> Network:
    """An architecture of timm, filled with a folder's weights.

    Args:
        architecture: Its name in timm, such as ``mobilenetv2_100``.
        arguments: More of what timm's builder takes, such as ``{"pad_type": "same"}``; the folder's own where empty.
        folder: Holds ``model.safetensors``, and timm's ``config.json`` where it comes from the hub.
        options: What was chosen.

    Raises:
        SourceRefused: timm is not installed, has no such architecture, or the weights are of another one.
    """
    config = read_json(folder / CONFIG_NAME)
    model = _build(architecture, arguments or config.get("model_args") or {})
    _fill(model, folder / WEIGHTS_NAME, architecture)
    if options.pooling not in ("", "pooler"):
        raise SourceRefused(f"timm pools {architecture} as its makers do; leave pooling {options.pooling!r} out.")
    recipe = _recipe({**model.pretrained_cfg, **(config.get("pretrained_cfg") or {})}, options.preprocess)
    return Network(
        architecture=architecture,
        module=model,
        embed=scaled(model, recipe),
        blocks=_blocks(model),
        inputs=image_inputs(recipe),
        output=OUTPUT,
        pooling="pooler",
        normalise=bool(options.normalise),
        recipe={"pixels": recipe.to_dict()},
    )


def architecture_of(folder: Path) -> str:
    """Architecture of timm that a folder's ``config.json`` names; empty where it is not timm's."""
    config = read_json(folder / CONFIG_NAME)
    return "" if "model_type" in config else str(config.get("architecture", ""))


def _build(architecture: str, arguments: Mapping[str, Any]) -> Any:
    complete()
    if find_spec("timm") is None:
        raise SourceRefused(
            f"{architecture} is an architecture of timm, which is not installed where jobs run. Install the extra "
            "`timm` there, or choose a backbone that transformers has."
        )
    import timm

    # A name with a scheme ("hf-hub:...") would make timm fetch it.
    if ":" in architecture or "/" in architecture or not timm.is_model(architecture):
        raise SourceRefused(f"timm {timm.__version__} has no architecture {architecture!r}. See timm.list_models().")
    for name, value in arguments.items():
        if name in _OURS or not isinstance(value, str | int | float | bool | None):
            raise SourceRefused(
                f"The option {name!r} of {architecture} cannot be set to {json.dumps(value, default=str)[:100]}: "
                "options are plain strings, numbers and booleans that change the architecture alone."
            )
    try:
        model = timm.create_model(architecture, pretrained=False, **arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        raise SourceRefused(f"timm cannot build {architecture} with {dict(arguments)}: {str(error)[:300]}") from error
    return model.eval()


def _fill(model: Any, path: Path, architecture: str) -> None:
    """Load the weights; those of the classifier are left out with it.

    Raises:
        SourceRefused: They lack something, or hold something that the network has no place for.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise SourceRefused(f"{path.name} cannot be read: {error}. Fetch it again.") from error
    heads = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    model.reset_classifier(0)
    try:
        result = model.load_state_dict(
            {name: tensor for name, tensor in weights.items() if not (heads and name.startswith(heads))}, strict=False
        )
    except RuntimeError as error:
        raise SourceRefused(f"The weights are not of {architecture}: {' '.join(str(error).split())[:300]}") from error
    # Counts of training steps, which some converters leave out.
    missing = {name for name in result.missing_keys if not name.endswith("num_batches_tracked")}
    if missing:
        raise SourceRefused(f"The weights do not fill {architecture}: {listed(missing)} missing.")
    if left := outside(set(result.unexpected_keys), model, ""):
        raise SourceRefused(
            f"The weights are not of {architecture}: {listed(left)} in the file, but it has no place for that."
        )


def _recipe(measures: Mapping[str, Any], preprocess: Mapping[str, Any]) -> PixelRecipe:
    """What timm's own evaluation does to an image."""
    size, share, mode, resample, mean, std = (measures.get(name) for name in _MEASURES)
    if mode not in (None, "center", "squash"):
        raise SourceRefused(f"timm prepares images by {mode!r}, which is not supported; state preprocess yourself.")
    height, width = size[1:] if size else (224, 224)
    resized = [math.floor(edge / (share or 0.875)) for edge in (height, width)]
    recipe = PixelRecipe(
        size=(height, width),
        resize=(resized[0], resized[1]) if mode == "squash" else min(resized),
        resample=resample or "bicubic",
        mean=_of_255(mean or (0.485, 0.456, 0.406)),
        std=_of_255(std or (0.229, 0.224, 0.225)),
        crop=True,
    )
    return recipe.replaced(preprocess)


def _of_255(numbers: Any) -> tuple[float, float, float]:
    red, green, blue = (255 * float(number) for number in numbers)
    return red, green, blue


def _blocks(model: Any) -> "list[torch.nn.Module]":
    """What timm's architectures call their blocks, else the stages that it names, else its longest list."""
    import torch

    for name in ("blocks", "stages", "features"):
        part = getattr(model, name, None)
        if isinstance(part, torch.nn.Sequential | torch.nn.ModuleList):
            return [block for block in part if weight_count(block)]
    layers = [getattr(model, f"layer{k}", None) for k in range(1, 5)]
    return [layer for layer in layers if layer is not None] or longest_list(model)
