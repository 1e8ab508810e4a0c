"""A text backbone that is served: `tokenizers` in front, one ONNX Runtime session behind. Never loads torch.

Graph contract: inputs ``input_ids`` and ``attention_mask``, both (n, t) int64; output ``sentence_embedding``, (n, d)
float32. Whether its rows have unit length stands in the card's recipe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from models.base import BatchLimits, Card, Embedding, Encoded, Item
from models.errors import WeightsCorrupt, WrongInput
from models.feeds import IDS, MASK, feed
from models.session import POOLED, open_pooled

if TYPE_CHECKING:
    import onnxruntime as ort

GRAPH_NAME = "pooled.onnx"
TOKENIZER_NAME = "tokenizer.json"
LIMITS = BatchLimits(size=384, items=32)
"""On a CPU. MiniLM: 256 to 512 padded tokens are within 3 %; 64 and 1,024 lose 10 %, long texts or short."""

INPUTS = (IDS, MASK)
OUTPUT = "sentence_embedding"


class TextBackbone:
    """Text in, sentence embedding out.

    Thread-safe: the tokenizer is only read after it was opened, and a session may be run from several threads.
    """

    def __init__(self, card: Card, tokenizer: Tokenizer, session: "ort.InferenceSession", provider: str) -> None:
        self._card = card
        self._tokenizer = tokenizer
        self._session = session
        self._provider = provider

    @classmethod
    def open(
        cls, card: Card, folder: Path, *, threads: int, gpu_memory_bytes: int = 0, tap: str = POOLED
    ) -> "TextBackbone":
        """Load tokenizer and graph from a hosted folder whose files were already checked.

        Args:
            card: Of the backbone.
            folder: Where its files lie.
            threads: CPU threads within one operation.
            gpu_memory_bytes: See `models.session.open_session`.
            tap: ``pooled`` or ``blocks``; the card's shape for ``pooled`` is that of the embedding.

        Raises:
            WeightsCorrupt: The tokenizer cuts at another length than the card says, or pads.
        """
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_NAME))
        cut = (tokenizer.truncation or {}).get("max_length")
        if cut != card.max_tokens or tokenizer.padding is not None:
            raise WeightsCorrupt(
                f"The tokenizer of {card.id} cuts at {cut} tokens (padding: {tokenizer.padding}), but its card says "
                f"{card.max_tokens} and no padding. Delete the folder and host the backbone again."
            )
        session, provider = open_pooled(card, folder, threads=threads, gpu_memory_bytes=gpu_memory_bytes, tap=tap)
        return cls(card, tokenizer, session, provider)

    @property
    def card(self) -> Card:
        """What was recorded when it was exported."""
        return self._card

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be."""
        return LIMITS

    @property
    def provider(self) -> str:
        """What runs it."""
        return self._provider

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """Tokenise, long texts in pieces of `Card.max_tokens`. The empty string is a text like any other.

        The recipe's ``prefix`` is put before each text, and counts as part of it: the pieces of a long text begin with
        it once. Where a tokenizer makes no token of a text, the recipe's ``empty_token`` stands for it.

        Cost: 25 µs for a text of 18 tokens.

        Raises:
            WrongInput: An item is not a string, or holds a lone surrogate, which no encoding can carry.
        """
        for index, item in enumerate(items):
            _check_text(index, item)
        prefix = self._card.recipe.get("prefix", "")
        texts = [f"{prefix}{item!s}" for item in items] if prefix else items
        empty = self._card.recipe.get("empty_token", 0)
        encodings = self._tokenizer.encode_batch_fast(texts)
        return [Encoded(_ids(e, empty), tuple(_ids(piece, empty) for piece in e.overflowing)) for e in encodings]

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch, padded to its longest item.

        Returns:
            (n, d) float32, in the order given; (0, d) for an empty batch.
        """
        if not batch:
            return np.empty((0, *self._card.taps["pooled"]), dtype=np.float32)
        embedding: Embedding = self._session.run([OUTPUT], feed(self._card, batch))[0]
        return embedding


def _ids(encoding: Encoding, empty: int) -> npt.NDArray[np.int64]:
    return np.array(encoding.ids or [empty], dtype=np.int64)


def _check_text(index: int, item: object) -> None:
    if not isinstance(item, str):
        raise WrongInput(f"Item {index} is a {type(item).__name__}; this backbone takes text. Send a string.")
    try:
        item.encode()
    except UnicodeEncodeError as error:
        raise WrongInput(
            f"Item {index} holds half a surrogate pair (U+{ord(item[error.start]):04X}) at character {error.start}, "
            "which is not valid Unicode. Send the whole character or leave it out."
        ) from None
