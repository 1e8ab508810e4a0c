"""Opening a hosted folder, and the first item that goes through it."""

import io
import math
import struct
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never, cast

import numpy as np

from models.base import Backbone, Card, Item, Modality
from models.errors import ExportMismatch


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


def open_card(card: Card, home: Path, *, threads: int, limits: Limits = NO_LIMITS) -> Backbone:
    """Load the files of a hosted folder, already checked, by what its items are.

    Raises:
        WeightsCorrupt: The files do not go together.
    """
    modality = cast("Modality", card.modality)
    memory = limits.gpu_memory_bytes
    match modality:
        case "text":
            from models.text import TextBackbone

            return TextBackbone.open(card, home, threads=threads, gpu_memory_bytes=memory)
        case "image":
            from models.images import ImageBackbone
            from models.pixels import ImageLimits

            pixels = ImageLimits() if limits.image_pixels is None else ImageLimits(limits.image_pixels)
            return ImageBackbone.open(card, home, threads=threads, gpu_memory_bytes=memory, image_limits=pixels)
        case "audio":
            from models.audio import AudioBackbone
            from models.sounds import SoundLimits

            length = SoundLimits() if limits.sound_s is None else SoundLimits(limits.sound_s)
            return AudioBackbone.open(card, home, threads=threads, gpu_memory_bytes=memory, sound_limits=length)
        case _:
            assert_never(modality)


def warm(backbone: Backbone) -> None:
    """Run one item through all of it.

    Raises:
        ExportMismatch: Its embedding has another shape than the card says, or a number that is not finite.
    """
    card = backbone.card
    z = backbone.run(backbone.prepare([first_item(card.modality)]))
    if z.shape != (1, *card.taps["pooled"]) or not np.isfinite(z).all():
        raise ExportMismatch(
            f"The backbone {card.id!r} gives one plain item an embedding of shape {z.shape} with "
            f"{int((~np.isfinite(z)).sum())} numbers that are not finite; finite {card.taps['pooled']} was expected."
        )


def first_item(modality: str) -> Item:
    """A short text, a picture of 64 x 64 px, or half a second of a tone."""
    if modality == "text":
        return "A first item."
    return _picture() if modality == "image" else _tone()


def _picture() -> bytes:
    from PIL import Image

    shades = np.arange(64, dtype=np.uint8) * 4
    picture = np.stack(np.broadcast_arrays(shades[:, None], shades[None, :], np.uint8(128)), axis=-1)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _tone(rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        heights = (int(8000 * math.sin(2 * math.pi * 440 * i / rate)) for i in range(rate // 2))
        sound.writeframes(b"".join(struct.pack("<h", height) for height in heights))
    return file.getvalue()
