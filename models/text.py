"""A text backbone that is served: `tokenizers` in front, one ONNX Runtime session behind. Never loads torch.

Graph contract: inputs ``input_ids`` and ``attention_mask``, both (n, t) int64; output ``sentence_embedding``, (n, d)
float32 of unit L2 norm.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from models.base import BatchLimits, Card, Embedding, Encoded, Item
from models.errors import WeightsCorrupt, WrongInput
from models.session import open_session, provider_of

if TYPE_CHECKING:
    import onnxruntime as ort

GRAPH_NAME = "pooled.onnx"
TOKENIZER_NAME = "tokenizer.json"
LIMITS = BatchLimits(size=384, items=32)
"""On a CPU. MiniLM: 256 to 512 padded tokens are within 3 %; 64 and 1,024 lose 10 %, long texts or short."""

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "sentence_embedding"


class TextBackbone:
    """Text in, sentence embedding out.

    Thread-safe: the tokenizer is only read after it was opened, and a session may be run from several threads.
    """

    def __init__(self, card: Card, tokenizer: Tokenizer, session: "ort.InferenceSession") -> None:
        self._card = card
        self._tokenizer = tokenizer
        self._session = session

    @classmethod
    def open(cls, card: Card, folder: Path, *, threads: int) -> "TextBackbone":
        """Load tokenizer and graph from a hosted folder whose files were already checked.

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
        return cls(card, tokenizer, open_session(folder / GRAPH_NAME, threads=threads))

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
        return provider_of(self._session)

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """Tokenise, long texts in pieces of `Card.max_tokens`. The empty string is a text like any other.

        Cost: 25 µs for a text of 18 tokens.

        Raises:
            WrongInput: An item is not a string, or holds a lone surrogate, which no encoding can carry.
        """
        for index, item in enumerate(items):
            _check_text(index, item)
        encodings = self._tokenizer.encode_batch_fast(items)
        return [Encoded(_ids(e), tuple(_ids(piece) for piece in e.overflowing)) for e in encodings]

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch, padded to its longest item.

        Returns:
            (n, d) float32 rows of unit L2 norm, in the order given; (0, d) for an empty batch.
        """
        if not batch:
            return np.empty((0, *self._card.taps["pooled"]), dtype=np.float32)
        embedding: Embedding = self._session.run([OUTPUT], pad(batch))[0]
        return embedding


def pad(batch: Sequence[Encoded]) -> dict[str, npt.NDArray[np.int64]]:
    """Inputs of the graph for one batch: (n, t) ids, zero after an item's end, and the mask that hides the zeros."""
    sizes = np.array([item.size for item in batch], dtype=np.int64)
    mask = (np.arange(sizes.max()) < sizes[:, None]).astype(np.int64)
    ids = np.zeros_like(mask)
    for row, item in zip(ids, batch, strict=True):
        row[: item.size] = item.values
    return dict(zip(INPUTS, (ids, mask), strict=True))


def _ids(encoding: Encoding) -> npt.NDArray[np.int64]:
    return np.array(encoding.ids, dtype=np.int64)


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
