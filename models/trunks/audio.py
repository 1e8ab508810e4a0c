"""Sound encoders of transformers: samples in, one embedding out. Spectra of the samples are part of the graph.

mean     mean of the last hidden states over frames
pooler   what the network's own pooler makes of them (AST's two tokens for the whole sound)
cls      state of the first token (AST)
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.audio.backbone import FEWEST_SAMPLES, INPUT, OUTPUT
from models.audio.spectrogram import SoundRecipe, log_mel, sound_recipe, takes_spectra
from models.catalog import Options
from models.errors import SourceRefused
from models.export import Case, Inputs
from models.trunks.network import Network, longest_list
from models.trunks.transformers_network import Loaded, read_json

if TYPE_CHECKING:
    import torch

PROCESSOR_NAME = "preprocessor_config.json"
_TRACED_S = 0.5

Read = Callable[["torch.Tensor"], "torch.Tensor"]


def audio_network(loaded: Loaded, folder: Path, options: Options) -> Network:
    """The sound encoder of a folder.

    Raises:
        SourceRefused: It takes no sounds, or is not used as the options say.
        ExportFailed: Its spectra are not computed here.
    """
    import torch

    encoder = _encoder(loaded)
    config = read_json(folder / PROCESSOR_NAME)
    if not config:
        raise SourceRefused(f"The folder has no {PROCESSOR_NAME}: it says the sample rate and the front-end. Fetch it.")
    recipe = _with_rate(sound_recipe(config, options.max_seconds), options.preprocess)
    pooling = options.pooling or ("pooler" if hasattr(encoder, "pooler") or _has_pooled_tokens(encoder) else "mean")
    front = log_mel(config) if takes_spectra(config) else torch.nn.Identity()
    return Network(
        architecture=loaded.architecture,
        module=torch.nn.ModuleList([front, encoder]),
        embed=_embed(loaded, encoder, front, pooling),
        blocks=longest_list(encoder),
        inputs=sound_inputs(recipe),
        output=OUTPUT,
        pooling=pooling,
        normalise=bool(options.normalise),
        recipe=recipe.to_dict(),
        missing=loaded.missing,
    )


def sound_inputs(recipe: SoundRecipe) -> Inputs:
    """What a sound's graph is tried on: noise, whole and padded, silence, full swing; the shortest and the longest.

    No constant but silence: a network that norms each channel over time divides rounding errors by nothing there.
    """
    rng = np.random.default_rng(0)
    usual = recipe.fixed_samples or min(round(_TRACED_S * recipe.rate), recipe.max_samples)

    def noise(rows: int, samples: int) -> Case:
        return (np.clip(rng.normal(0, 0.2, (rows, samples)), -1, 1).astype(np.float32),)

    padded = noise(2, usual)
    padded[0][1, usual // 2 :] = recipe.padding
    swing = np.where(np.arange(usual) // 40 % 2, 1, -1)
    cases = [padded, (np.stack([np.zeros(usual), swing, -swing]).astype(np.float32),)]
    lengths = [usual] if recipe.fixed_samples else [FEWEST_SAMPLES, recipe.max_samples]
    cases += [noise(1, length) for length in lengths]
    return Inputs((INPUT,), ("batch",) if recipe.fixed_samples else ("batch", "samples"), tuple(cases))


def _with_rate(recipe: SoundRecipe, preprocess: Mapping[str, Any]) -> SoundRecipe:
    if unknown := sorted(set(preprocess) - {"rate"}):
        raise SourceRefused(f"Sounds have no setting {unknown[0]!r}. Known is rate, in Hz.")
    rate = preprocess.get("rate", recipe.rate)
    if not isinstance(rate, int) or not 1000 <= rate <= 192_000:
        raise SourceRefused(f"rate is {rate!r}; it must be a whole number of Hz from 1,000 to 192,000.")
    return replace(recipe, rate=rate)


def _encoder(loaded: Loaded) -> Any:
    """The part that hears.

    Raises:
        SourceRefused: There is none.
    """
    model = loaded.model.get_encoder() if loaded.config.is_encoder_decoder else loaded.model
    if model.main_input_name not in ("input_values", "input_features"):
        raise SourceRefused(
            f"{loaded.architecture} takes {model.main_input_name}, not sounds. Host it with another modality."
        )
    return model


def _embed(loaded: Loaded, encoder: Any, front: "torch.nn.Module", pooling: str) -> Read:
    def pooler(samples: "torch.Tensor") -> "torch.Tensor":
        pooled: torch.Tensor | None = getattr(encoder(front(samples)), "pooler_output", None)
        if pooled is None:
            raise SourceRefused(f"{loaded.architecture} has no pooler. State pooling mean.")
        return pooled

    known: dict[str, Read] = {
        "mean": lambda samples: encoder(front(samples)).last_hidden_state.mean(1),
        "pooler": pooler,
        "cls": lambda samples: encoder(front(samples)).last_hidden_state[:, 0],
    }
    if pooling not in known:
        raise SourceRefused(
            f"{loaded.architecture} has no pooling {pooling!r} for sounds. Choose one of: {', '.join(known)}."
        )
    return known[pooling]


def _has_pooled_tokens(encoder: Any) -> bool:
    """Tokens for the whole sound beside those of its frames."""
    return any("cls_token" in name for name, _ in encoder.named_parameters())
