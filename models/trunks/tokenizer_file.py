"""The tokenizer of a folder of weights -> the ``tokenizer.json`` that is served: the network's cut, no padding."""

from pathlib import Path
from typing import Any

from models.errors import SourceRefused
from models.text import TOKENIZER_NAME
from models.trunks.transformers_network import read_json

_VOCABULARIES = ("vocab.txt", "vocab.json")


def write_tokenizer(folder: Path, target: Path, max_tokens: int, vocabulary: int) -> int | None:
    """Write a folder's tokenizer with its cut set to `max_tokens` and its padding off.

    Files in circulation carry the padding and cut of whoever saved them (MiniLM's: 128 and 128). With the cut inside
    the file, the backbone's digest covers it. A folder with only a vocabulary or a sentencepiece model is converted.

    Args:
        folder: Of the weights.
        target: The file.
        max_tokens: Longest text, special tokens included.
        vocabulary: Rows of the network's table of tokens.

    Returns:
        The token that stands for the empty text, where the tokenizer makes no token of it (GPT-2's); else None.

    Raises:
        SourceRefused: There is no tokenizer, or it has tokens that the network does not know.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_NAME
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _converted(folder)
    except Exception as error:  # tokenizers raises Exception itself
        raise SourceRefused(f"The tokenizer cannot be read: {str(error)[:300]} Fetch tokenizer.json again.") from error
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if highest >= vocabulary:
        raise SourceRefused(
            f"The tokenizer has tokens up to number {highest}, the network {vocabulary} of them. They are not of one "
            "backbone; take both from one source."
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    target.write_text(tokenizer.to_str(), encoding="utf-8")
    return None if tokenizer.encode("").ids else _token(tokenizer, folder, ("bos_token", "eos_token", "pad_token"), 0)


def padding_token(folder: Path, default: int) -> int:
    """Number of the token that a folder's tokenizer pads with.

    Args:
        folder: Of the weights.
        default: Where the folder does not say.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER_NAME
    return _token(Tokenizer.from_file(str(path)), folder, ("pad_token",), default) if path.is_file() else default


def _converted(folder: Path) -> Any:
    """The tokenizer of a folder without ``tokenizer.json``, from its vocabulary or its sentencepiece model."""
    from transformers import AutoTokenizer

    # Without any, transformers makes up an empty vocabulary.
    if not any(path.name in _VOCABULARIES or path.suffix == ".model" for path in folder.iterdir()):
        raise SourceRefused(f"The folder has neither {TOKENIZER_NAME} nor a vocabulary or sentencepiece model.")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise SourceRefused("The folder has no tokenizer.json, and its tokenizer cannot be converted to one.")
    return tokenizer.backend_tokenizer


def _token(tokenizer: Any, folder: Path, names: tuple[str, ...], default: int) -> int:
    """Number of the first special token that ``tokenizer_config.json`` names and the tokenizer has."""
    config = read_json(folder / "tokenizer_config.json")
    for name in names:
        token = config.get(name)
        content = token.get("content") if isinstance(token, dict) else token
        if isinstance(content, str) and (number := tokenizer.token_to_id(content)) is not None:
            return int(number)
    return default
