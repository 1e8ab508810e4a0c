"""An audio backbone that is served: libsndfile and soxr in front, one ONNX Runtime session behind. Never loads torch.

    file -> mono samples at the backbone's rate -> pieces -> (zero mean, unit variance) -> padded -> graph

Graph contract: input ``samples``, (n, t) float32; output ``item_embedding``, (n, d) float32.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from models.audio.sounds import DEFAULT_LIMITS, Samples, SoundLimits, open_sound
from models.audio.spectrogram import SoundRecipe
from models.base import BatchLimits, Card, Embedding, Encoded, Item
from models.errors import WeightsCorrupt, WrongInput
from models.feeds import SAMPLES, feed
from models.session import POOLED, open_pooled

if TYPE_CHECKING:
    import onnxruntime as ort

GRAPH_NAME: Final = "pooled.onnx"
INPUT: Final = SAMPLES
OUTPUT: Final = "item_embedding"

FEWEST_SAMPLES: Final = 400
"""What a shorter piece is padded to: one frame of every front-end, and one step of wav2vec2's convolutions."""

RAGGED_LIMITS = BatchLimits(size=4 * 16_000, items=16)
"""For graphs to which padding is nothing. ``logmel-stats`` on a CPU: half-second sounds take 0.66 ms each alone, 0.56
in batches of 4 to 16."""
FIXED_LIMITS = BatchLimits(size=2**31 - 1, items=1)
"""For graphs of one length, on a CPU: a second sound takes as long as the first, and as much memory again."""
FIXED_LIMITS_CUDA = BatchLimits(size=2**31 - 1, items=8)
"""The same on a GPU. Not measured."""
ALONE = BatchLimits(size=2**31 - 1, items=1)
"""For graphs to which padding is sound: sounds of unlike length would change each other's embedding."""


class AudioBackbone:
    """The bytes of a sound file in, an embedding out.

    Thread-safe: decoding keeps nothing, and a session may be run from several threads. Decoding, resampling and ONNX
    Runtime let other Python threads run while they work.
    """

    def __init__(
        self, card: Card, session: "ort.InferenceSession", provider: str, limits: SoundLimits = DEFAULT_LIMITS
    ) -> None:
        self._card = card
        self._recipe = SoundRecipe.from_dict(card.recipe)
        self._session = session
        self._provider = provider
        self._limits = limits

    @classmethod
    def open(
        cls,
        card: Card,
        folder: Path,
        *,
        threads: int,
        gpu_memory_bytes: int = 0,
        tap: str = POOLED,
        sound_limits: SoundLimits = DEFAULT_LIMITS,
    ) -> "AudioBackbone":
        """Load the graph from a hosted folder whose files were already checked.

        Args:
            card: Of the backbone; its recipe is a `SoundRecipe`.
            folder: Where its files lie.
            threads: CPU threads within one operation.
            gpu_memory_bytes: See `models.session.open_session`.
            tap: ``pooled`` or ``blocks``; the card's shape for ``pooled`` is that of the embedding.
            sound_limits: What is too long to decode.

        Raises:
            WeightsCorrupt: The recipe is none, or the graph takes another length than it says.
        """
        session, provider = open_pooled(card, folder, threads=threads, gpu_memory_bytes=gpu_memory_bytes, tap=tap)
        try:
            backbone = cls(card, session, provider, sound_limits)
        except (TypeError, ValueError) as error:
            raise _corrupt(card, f"its recipe says how no sound is prepared ({error})") from error
        taken = session.get_inputs()[0].shape[1]
        if backbone._recipe.fixed_samples != (taken if isinstance(taken, int) else None):
            said = backbone._recipe.fixed_samples or "any number of"
            raise _corrupt(card, f"its graph takes {taken} samples, but its card says {said}")
        return backbone

    @property
    def card(self) -> Card:
        """What was recorded when it was exported."""
        return self._card

    @property
    def limits(self) -> BatchLimits:
        """How large a batch may be."""
        if self._recipe.ragged:
            return RAGGED_LIMITS
        if self._recipe.fixed_samples is None:
            return ALONE
        return FIXED_LIMITS_CUDA if self._provider.startswith("cuda") else FIXED_LIMITS

    @property
    def provider(self) -> str:
        """What runs it."""
        return self._provider

    def prepare(self, items: Sequence[Item]) -> list[Encoded]:
        """Decode, resample and cut into pieces of as much as the backbone takes at once, in the calling thread.

        What pads a sound to a fixed length is added in `run`: of half a second, thirty would be held otherwise.

        Cost: See `models.audio.sounds.open_sound`.

        Raises:
            WrongInput: An item is not bytes, or not a sound that can be decoded.
        """
        return [self._prepare(index, item) for index, item in enumerate(items)]

    def run(self, batch: Sequence[Encoded]) -> Embedding:
        """Embed one batch, padded to the graph's length or to its longest item.

        Returns:
            (n, d) float32, in the order given; (0, d) for an empty batch.
        """
        if not batch:
            return np.empty((0, *self._card.taps["pooled"]), dtype=np.float32)
        embedding: Embedding = self._session.run([OUTPUT], feed(self._card, batch))[0]
        return embedding

    def _prepare(self, index: int, item: Item) -> Encoded:
        if not isinstance(item, bytes):
            raise WrongInput(
                f"Item {index} is a {type(item).__name__}; this backbone takes sounds. Send the bytes of a sound file."
            )
        try:
            samples = open_sound(item, self._recipe.rate, self._limits)
        except WrongInput as error:
            raise WrongInput(f"Item {index}: {error.message}") from error
        first, *rest = self._pieces(samples)
        return Encoded(first, tuple(rest))

    def _pieces(self, samples: Samples) -> Iterator[Samples]:
        """Each as it would be if it were a sound of its own."""
        fewest = min(FEWEST_SAMPLES, self._recipe.max_samples)
        for start in range(0, len(samples), self._recipe.max_samples):
            piece = samples[start : start + self._recipe.max_samples]
            if self._recipe.normalise_samples:
                piece = (piece - piece.mean()) / np.sqrt(piece.var() + np.float32(1e-7))
            yield np.pad(piece, (0, max(0, fewest - len(piece))))


def _corrupt(card: Card, what: str) -> WeightsCorrupt:
    return WeightsCorrupt(f"The backbone {card.id} cannot be opened: {what}. Delete its folder and host it again.")
