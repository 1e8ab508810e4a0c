"""How sentence-transformers uses a text encoder: `modules.json` and what it points to, read without that library.

Source: Reimers & Gurevych, Sentence-BERT, EMNLP 2019.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.errors import SourceRefused
from models.trunks.transformers_network import read_json

_MODES: Final = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
_WORDS: Final = {"cls": "cls", "mean": "mean", "last": "last", "lasttoken": "last"}
_STEPS: Final = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True)
class SentenceUse:
    """What its makers do with an encoder; empty where the folder does not say.

    Attributes:
        pooling: A word of `models.catalog.Pooling`.
        normalise: Whether the embedding is brought to unit length.
        max_tokens: Longest text in tokens.
        prefix: Put before every text.
    """

    pooling: str = ""
    normalise: bool = False
    max_tokens: int | None = None
    prefix: str = ""


def sentence_use(folder: Path, *, pooled: bool) -> SentenceUse:
    """Read a folder of weights.

    Args:
        folder: In Hugging Face layout.
        pooled: Whether the caller chose a pooling, so that nothing behind the encoder matters.

    Raises:
        SourceRefused: Something stands behind the encoder that no graph here has: another pooling, a dense layer.
    """
    limit = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    use = SentenceUse(max_tokens=limit if isinstance(limit, int) else None, prefix=_prefix(folder))
    steps = _steps(folder)
    if pooled or not steps:
        return SentenceUse("", "Normalize" in steps, use.max_tokens, use.prefix)
    if unknown := sorted(set(steps) - set(_STEPS)):
        raise SourceRefused(
            f"Behind its encoder this backbone has {unknown[0]}, which is not exported. "
            "State pooling (mean, cls, last) to take the encoder alone."
        )
    return SentenceUse(_pooling(folder / steps["Pooling"]), "Normalize" in steps, use.max_tokens, use.prefix)


def _steps(folder: Path) -> dict[str, str]:
    """Subfolder of each step behind one another, by the last part of its class's name."""
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    try:
        steps = {
            str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in json.loads(path.read_text("utf-8"))
        }
    except (ValueError, TypeError, KeyError) as error:
        raise SourceRefused(f"modules.json cannot be read: {error!r}. Fetch it again.") from error
    if any(Path(place).is_absolute() or ".." in Path(place).parts for place in steps.values()):
        raise SourceRefused("modules.json points outside its folder. Fetch it again.")
    return steps if "Pooling" in steps else {}


def _pooling(folder: Path) -> str:
    config = read_json(folder / "config.json")
    mode = config.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else [word for key, word in _MODES.items() if config.get(key)]
    if len(modes) != 1 or modes[0] not in _WORDS:
        raise SourceRefused(
            f"This backbone pools by {' and '.join(map(str, modes)) or 'nothing that is named'}; mean, cls and last "
            "are exported. State pooling to choose one of them."
        )
    return _WORDS[modes[0]]


def _prefix(folder: Path) -> str:
    """The prompt that is put before a text of which nothing else is said."""
    config: Mapping[str, Any] = read_json(folder / "config_sentence_transformers.json")
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    return str(prompts.get(name, "")) if isinstance(prompts, Mapping) and name else ""
