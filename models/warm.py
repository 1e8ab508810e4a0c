"""Opening a hosted folder, and the items that it is tried on first."""

import io
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, assert_never, cast

import numpy as np

from models.base import Backbone, Card, Item, Modality
from models.errors import ExportMismatch
from models.session import POOLED


@dataclass(frozen=True)
class Limits:
    """What an opened backbone may take of the machine; None is the default of its modality.

    Attributes:
        gpu_memory_bytes: Most memory of a GPU for one session; 0 = no cap.
        image_pixels: Most pixels of an image.
        sound_s: Longest sound.
    """

    gpu_memory_bytes: int = 0
    image_pixels: int | None = None
    sound_s: float | None = None


NO_LIMITS: Final = Limits()


def open_card(card: Card, home: Path, *, threads: int, limits: Limits = NO_LIMITS, tap: str = POOLED) -> Backbone:
    """Load the files of a hosted folder, already checked, by what its items are.

    Args:
        card: Of the backbone.
        home: Its folder.
        threads: CPU threads within one operation.
        limits: What it may take of the machine.
        tap: Which of its embeddings it gives: ``pooled`` or ``blocks``. The opened backbone's card then has that one's
            shape for ``pooled``, so that whoever works with embeddings need not know.

    Raises:
        WeightsCorrupt: The files do not go together.
    """
    modality = cast("Modality", card.modality)
    card = replace(card, taps={**card.taps, POOLED: card.taps[tap]})
    memory = limits.gpu_memory_bytes
    match modality:
        case "text":
            from models.text import TextBackbone

            return TextBackbone.open(card, home, threads=threads, gpu_memory_bytes=memory, tap=tap)
        case "image":
            from models.images.backbone import ImageBackbone
            from models.images.pixels import ImageLimits

            pixels = ImageLimits() if limits.image_pixels is None else ImageLimits(limits.image_pixels)
            return ImageBackbone.open(
                card, home, threads=threads, gpu_memory_bytes=memory, tap=tap, image_limits=pixels
            )
        case "audio":
            from models.audio.backbone import AudioBackbone
            from models.audio.sounds import SoundLimits

            length = SoundLimits() if limits.sound_s is None else SoundLimits(limits.sound_s)
            return AudioBackbone.open(
                card, home, threads=threads, gpu_memory_bytes=memory, tap=tap, sound_limits=length
            )
        case _:
            assert_never(modality)


def warm(backbone: Backbone) -> None:
    """Run one item through all of it.

    Raises:
        ExportMismatch: Its embedding has another shape than the card says, or a number that is not finite.
    """
    card = backbone.card
    z = backbone.run(backbone.prepare(sample_items(card.modality)[:1]))
    if z.shape != (1, *card.taps["pooled"]) or not np.isfinite(z).all():
        raise ExportMismatch(
            f"The backbone {card.id!r} gives one plain item an embedding of shape {z.shape} with "
            f"{int((~np.isfinite(z)).sum())} numbers that are not finite; finite {card.taps['pooled']} was expected."
        )


TEXTS: Final = (
    "I lost my card yesterday and need a new one.",
    "",
    "ok",
    "The quarterly report shows that revenue grew by 12.5 % while costs stayed flat.",
    "Où est ma commande ? Elle devait arriver lundi.",
    "Der Zug nach München hat heute vierzig Minuten Verspätung.",
    "我的快递在哪里？",
    "WARNING!!! click here >>> http://example.com/?a=1&b=2 <<<",
    "def area(r): return 3.14159 * r ** 2",
    "😀 great, thanks " * 12,
)
SIDES_PX: Final = ((64, 64), (1, 1), (33, 250), (480, 320))
NOISY_HZ: Final = 60
TONES_HZ: Final = (440, NOISY_HZ, 3000, 0)


def sample_items(modality: str) -> list[Item]:
    """Items of many kinds, the first a plain one: what a backbone is tried on where there is no data of anybody's.

    Texts in several languages, of none to a hundred words; pictures of shades and noise, of one to 150,000 pixels;
    half seconds of tones, one in noise, and silence. The same every time.
    """
    if modality == "text":
        return list(TEXTS)
    if modality == "image":
        return [picture for sides in SIDES_PX for picture in _pictures(*sides)]
    return [_tone(hertz) for hertz in TONES_HZ]


def _pictures(height: int, width: int) -> list[bytes]:
    """Shades, and noise of the same size."""
    from PIL import Image

    rows, columns = (np.linspace(0, 255, edge).astype(np.uint8) for edge in (height, width))
    shades = np.stack(np.broadcast_arrays(rows[:, None], columns[None, :], np.uint8(128)), axis=-1)
    noise = np.random.RandomState(0).randint(0, 256, shades.shape).astype(np.uint8)
    files = []
    for pixels in (shades, noise):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    return files


def _tone(hertz: float, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        time_s = np.arange(rate // 2) / rate
        noise = np.random.RandomState(0).uniform(-400, 400, len(time_s)) if hertz == NOISY_HZ else 0.0
        sound.writeframes((8000 * np.sin(2 * np.pi * hertz * time_s) + noise).astype("<i2").tobytes())
    return file.getvalue()
