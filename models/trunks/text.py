"""Text encoders of transformers: token ids in, one embedding out.

    mean         mean of the last hidden states over real tokens
    cls          state of the first token
    last         state of the last real token (of networks that look back only, the one that has seen all)
    pooler       what the network's own pooler makes of the first token
    projection   what a two-tower network (CLIP, SigLIP) compares with images

Where nothing is said, sentence-transformers' files in the folder decide, then the architecture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.catalog import Options
from models.errors import SourceRefused
from models.export import Case, Inputs
from models.text import INPUTS, OUTPUT, TOKENIZER_NAME
from models.trunks.network import Network, longest_list, with_projection
from models.trunks.sentence_transformers import SentenceUse, sentence_use
from models.trunks.tokenizer_file import padding_token
from models.trunks.transformers_network import Loaded, read_json

if TYPE_CHECKING:
    import torch

MAX_TOKENS = 512
"""Of encoders that state no limit, or one that few texts need."""

_STATED_AT_MOST = 1024
"""A tokenizer's own limit counts up to here; beyond, it stands for none or costs more than it gives."""

_LEAST_TOKENS = 8
_PADDED_BY_TRAINING = ("siglip", "siglip_text_model")
"""Saw no mask while they were trained, only texts padded to one length: the padding is part of what they compute."""

Embed = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""Ids and mask, both (n, t) -> (n, d)."""


def text_network(loaded: Loaded, folder: Path, options: Options) -> Network:
    """The text encoder of a folder.

    Raises:
        SourceRefused: It takes no text, or is not used as the options say.
    """
    tower = _tower(loaded)
    use = sentence_use(folder, pooled=bool(options.pooling))
    config = getattr(loaded.config, "text_config", loaded.config)
    max_tokens = _max_tokens(tower, config, folder, options, use)
    pooling = options.pooling or use.pooling or _usual_pooling(loaded, tower)
    normalise = (use.normalise or pooling == "projection") if options.normalise is None else options.normalise
    recipe: dict[str, Any] = {"tokenizer": TOKENIZER_NAME, "truncation": max_tokens}
    if prefix := options.prefix or use.prefix:
        recipe["prefix"] = prefix
    cases = text_cases(vocabulary_of(loaded), max_tokens)
    return Network(
        architecture=loaded.architecture,
        module=with_projection(tower, loaded.model, "text_projection"),
        embed=_fixed_length(_embed(loaded, tower, pooling), loaded, folder),
        blocks=longest_list(tower),
        inputs=Inputs(INPUTS, ("batch", "tokens"), cases),
        output=OUTPUT,
        pooling=pooling,
        normalise=normalise,
        recipe=recipe,
        missing=loaded.missing,
        max_tokens=max_tokens,
    )


def text_cases(vocabulary: int, longest: int) -> tuple[Case, ...]:
    """Random ids, whole and padded, from one token to the longest; then all zeros, all ones, all the last id."""
    rng = np.random.default_rng(0)
    cases = [_random_ids(rng, rows, tokens, vocabulary) for rows, tokens in ((2, 8), (1, 1), (1, 16), (5, 33))]
    cases.append(_random_ids(rng, 2, longest, vocabulary))
    cases += [(np.full((2, 7), value), np.ones((2, 7), np.int64)) for value in (0, 1, vocabulary - 1)]
    return tuple(tuple(array[:, :longest] for array in case) for case in cases)


def vocabulary_of(loaded: Loaded) -> int:
    """Rows of the network's table of tokens."""
    return int(_tower(loaded).get_input_embeddings().num_embeddings)


def _tower(loaded: Loaded) -> Any:
    """The part that reads text.

    Raises:
        SourceRefused: There is none.
    """
    model = loaded.model
    if hasattr(model, "get_text_features") and hasattr(model, "text_model"):
        return model.text_model
    if loaded.config.is_encoder_decoder and hasattr(model, "get_encoder"):
        model = model.get_encoder()
    if model.main_input_name != "input_ids":
        raise SourceRefused(
            f"{loaded.architecture} takes {model.main_input_name}, not text. Host it with another modality."
        )
    return model


def _embed(loaded: Loaded, tower: Any, pooling: str) -> Embed:
    import torch

    def states(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = _run(tower, ids, mask).last_hidden_state
        return hidden

    def mean(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = states(ids, mask)
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)

    def last(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return states(ids, mask)[torch.arange(ids.shape[0], device=ids.device), mask.sum(1) - 1]

    def projection(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if loaded.model is tower:
            return _pooler_output(loaded, _run(tower, ids, mask))
        return _pooler_output(loaded, loaded.model.get_text_features(input_ids=ids, attention_mask=mask))

    known: dict[str, Embed] = {
        "mean": mean,
        "cls": lambda ids, mask: states(ids, mask)[:, 0],
        "last": last,
        "pooler": lambda ids, mask: _pooler_output(loaded, _run(tower, ids, mask)),
        "projection": projection,
    }
    if pooling not in known or (pooling == "projection" and not _projects(loaded)):
        offered = ", ".join(name for name in known if name != "projection" or _projects(loaded))
        raise SourceRefused(f"{loaded.architecture} has no pooling {pooling!r} for texts. Choose one of: {offered}.")
    return known[pooling]


def _run(tower: Any, ids: "torch.Tensor", mask: "torch.Tensor") -> Any:
    """Networks that generate would also return what they need to go on, as long as the text in every layer."""
    going_on = {"use_cache": False} if getattr(tower.config, "use_cache", False) else {}
    return tower(input_ids=ids, attention_mask=mask, **going_on)


def _projects(loaded: Loaded) -> bool:
    return hasattr(loaded.model, "get_text_features") or loaded.architecture == "siglip_text_model"


def _pooler_output(loaded: Loaded, output: Any) -> "torch.Tensor":
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        raise SourceRefused(f"{loaded.architecture} has no pooler. State another pooling: mean, cls or last.")
    result: torch.Tensor = pooled
    return result


def _fixed_length(embed: Embed, loaded: Loaded, folder: Path) -> Embed:
    """For networks that know padded texts only, padding as they were trained on, and no mask."""
    import torch

    if loaded.architecture not in _PADDED_BY_TRAINING:
        return embed
    config = getattr(loaded.config, "text_config", loaded.config)
    length, padding = (
        config.max_position_embeddings,
        padding_token(folder, int(getattr(config, "pad_token_id", None) or 0)),
    )

    def padded(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        after = torch.full((ids.shape[0], length), padding, dtype=ids.dtype, device=ids.device)
        fixed = torch.cat([torch.where(mask > 0, ids, padding), after], dim=1)[:, :length]
        return embed(fixed, torch.ones_like(fixed))

    return padded


def _usual_pooling(loaded: Loaded, tower: Any) -> str:
    if _projects(loaded):
        return "projection"
    return "last" if _looks_back_only(tower) else "mean"


def _looks_back_only(tower: Any) -> bool:
    """Whether a token's state is the same whatever comes after it."""
    import torch

    with torch.inference_mode():
        mask = torch.ones(1, 2, dtype=torch.int64)
        one, other = (_run(tower, torch.tensor([[3, end]]), mask).last_hidden_state[0, 0] for end in (4, 5))
    return bool(torch.equal(one, other))


def _max_tokens(tower: Any, config: Any, folder: Path, options: Options, use: SentenceUse) -> int:
    limit = _positions(tower, config)
    stated = read_json(folder / "tokenizer_config.json").get("model_max_length")
    usual = stated if isinstance(stated, int) and stated <= _STATED_AT_MOST else MAX_TOKENS
    wanted = options.max_tokens or min(use.max_tokens or usual, limit)
    if not _LEAST_TOKENS <= wanted <= limit:
        raise SourceRefused(f"max_tokens is {wanted}; this backbone takes {_LEAST_TOKENS} to {limit} tokens.")
    return wanted


def _positions(tower: Any, config: Any) -> int:
    """Most tokens that the network has positions for. Some count positions from behind the padding token's number."""
    for name, part in tower.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            return int(part.num_embeddings - part.padding_idx - 1)
    return int(getattr(config, "max_position_embeddings", None) or MAX_TOKENS)


def _random_ids(rng: np.random.Generator, rows: int, tokens: int, vocabulary: int) -> Case:
    """(rows, tokens) ids and a mask that leaves the first row whole and cuts the others anywhere."""
    sizes = rng.integers(1, tokens + 1, rows)
    sizes[0] = tokens
    mask = (np.arange(tokens) < sizes[:, None]).astype(np.int64)
    return rng.integers(0, vocabulary, (rows, tokens)), mask
