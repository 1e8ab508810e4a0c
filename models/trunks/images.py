"""Image encoders of transformers: pixels in, one embedding out. Scaling of the pixels is part of the graph.

pooler       what the network itself pools: the mean over all places of a CNN, the first token of a ViT and a layer
cls          state of the first token, of networks that have one for the whole image (ViT, DeiT, DINOv2)
mean         mean over all places, or over the tokens of the image's patches
projection   what a two-tower network (CLIP, SigLIP) compares with texts
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.catalog import Options
from models.errors import SourceRefused
from models.export import Case, Inputs
from models.images.backbone import INPUT, OUTPUT
from models.images.pixels import PixelRecipe
from models.trunks.network import Network, longest_list, with_projection
from models.trunks.transformers_network import Loaded, read_json

if TYPE_CHECKING:
    import torch

PROCESSOR_NAME = "preprocessor_config.json"
_SCALING = ("size", "mean", "std")

Read = Callable[["torch.Tensor"], "torch.Tensor"]


def image_network(loaded: Loaded, folder: Path, options: Options) -> Network:
    """The image encoder of a folder.

    Raises:
        SourceRefused: It takes no images, or is not used as the options say.
    """
    tower = _tower(loaded)
    recipe = _recipe(folder, loaded.architecture, options.preprocess)
    pooling = options.pooling or _usual_pooling(loaded, tower, recipe)
    read = scaled(_embed(loaded, tower, pooling), recipe)
    return Network(
        architecture=loaded.architecture,
        module=with_projection(tower, loaded.model, "visual_projection"),
        embed=read,
        blocks=longest_list(tower),
        inputs=image_inputs(recipe),
        output=OUTPUT,
        pooling=pooling,
        normalise=pooling == "projection" if options.normalise is None else options.normalise,
        recipe={"pixels": recipe.to_dict()},
        missing=loaded.missing,
    )


def scaled(embed: Read, recipe: PixelRecipe) -> Read:
    """The same from pixels: (n, h, w, 3) uint8 become (n, 3, h, w) float32, less the mean, over the deviation."""
    import torch

    mean, std = (torch.tensor(triple).reshape(1, 3, 1, 1) for triple in (recipe.mean, recipe.std))

    def read(pixels: torch.Tensor) -> torch.Tensor:
        # Constants of the graph on the CPU, where it is exported; who trains may have moved the network.
        less, over = (mean, std) if pixels.device == mean.device else (mean.to(pixels.device), std.to(pixels.device))
        return embed((pixels.permute(0, 3, 1, 2).to(torch.float32) - less) / over)

    return read


def image_inputs(recipe: PixelRecipe) -> Inputs:
    """What an image's graph is tried on: random images, one and several, then black, nearly black and white ones."""
    rng = np.random.default_rng(0)
    cases: list[Case] = [(rng.integers(0, 256, (rows, *recipe.size, 3), np.uint8),) for rows in (2, 1, 3)]
    cases.append((np.stack([np.full((*recipe.size, 3), value, np.uint8) for value in (0, 1, 255)]),))
    return Inputs((INPUT,), ("batch",), tuple(cases))


def _recipe(folder: Path, architecture: str, preprocess: Mapping[str, Any]) -> PixelRecipe:
    config = read_json(folder / PROCESSOR_NAME)
    if config:
        return PixelRecipe.from_processor(config, architecture).replaced(preprocess)
    if not set(_SCALING) <= set(preprocess):
        raise SourceRefused(
            f"The folder has no {PROCESSOR_NAME}, so how its images are prepared is unknown. Fetch the file, or state "
            "preprocess: at least size, mean and std (of pixels 0..255)."
        )
    return PixelRecipe(size=(224, 224), resize=256, crop=True).replaced(preprocess)


def _tower(loaded: Loaded) -> Any:
    """The part that sees.

    Raises:
        SourceRefused: There is none.
    """
    model = loaded.model
    if hasattr(model, "get_image_features") and hasattr(model, "vision_model"):
        return model.vision_model
    if model.main_input_name != "pixel_values":
        raise SourceRefused(
            f"{loaded.architecture} takes {model.main_input_name}, not images. Host it with another modality."
        )
    return model


def _usual_pooling(loaded: Loaded, tower: Any, recipe: PixelRecipe) -> str:
    """A CNN pools itself; of tokens, the one for the whole image stands for it where there is one."""
    import torch

    if _projects(loaded):
        return "projection"
    try:
        with torch.inference_mode():
            output = tower(pixel_values=torch.zeros(1, 3, *recipe.size))
    except (ValueError, RuntimeError) as error:
        raise SourceRefused(
            f"{loaded.architecture} does not take images of {recipe.size}: {str(error)[:300]} "
            "Choose the size that its weights are for."
        ) from error
    if output.last_hidden_state.ndim == 3 and any("cls_token" in name for name, _ in tower.named_parameters()):
        return "cls"
    return "mean" if getattr(output, "pooler_output", None) is None else "pooler"


def _embed(loaded: Loaded, tower: Any, pooling: str) -> Read:
    known: dict[str, Read] = {
        "pooler": lambda x: _pooled(loaded, tower(pixel_values=x)),
        "cls": lambda x: _first(loaded, tower(pixel_values=x).last_hidden_state),
        "mean": lambda x: _mean(loaded, tower(pixel_values=x).last_hidden_state, x),
    }
    if _projects(loaded):
        two_towers = loaded.model is not tower
        known["projection"] = lambda x: _pooled(
            loaded, loaded.model.get_image_features(pixel_values=x) if two_towers else tower(pixel_values=x)
        )
    if pooling not in known:
        raise SourceRefused(
            f"{loaded.architecture} has no pooling {pooling!r} for images. Choose one of: {', '.join(known)}."
        )
    return known[pooling]


def _projects(loaded: Loaded) -> bool:
    return hasattr(loaded.model, "get_image_features") or loaded.architecture == "siglip_vision_model"


def _pooled(loaded: Loaded, output: Any) -> "torch.Tensor":
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise SourceRefused(f"{loaded.architecture} has no pooler. State another pooling: mean or cls.")
    flat: torch.Tensor = pooled.flatten(1)
    return flat


def _first(loaded: Loaded, states: "torch.Tensor") -> "torch.Tensor":
    if states.ndim != 3:
        raise SourceRefused(f"{loaded.architecture} has no token for the whole image. State pooling mean or pooler.")
    return states[:, 0]


def _mean(loaded: Loaded, states: "torch.Tensor", x: "torch.Tensor") -> "torch.Tensor":
    """Over places; of tokens, over those of patches, which come last."""
    if states.ndim == 4:
        return states.mean((2, 3))
    config = getattr(loaded.config, "vision_config", loaded.config)
    patch = getattr(config, "patch_size", None)
    patches = (x.shape[2] // patch) * (x.shape[3] // patch) if isinstance(patch, int) else states.shape[1]
    return states[:, -patches:].mean(1)
