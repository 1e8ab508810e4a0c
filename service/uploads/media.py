"""Is a file an image or a sound? Decided by its first bytes; by its name only where they say nothing."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Medium = Literal["image", "audio"]

HEAD_BYTES = 64
"""As many bytes are enough to tell."""

NOUNS: dict[str, str] = {"image": "image", "audio": "sound"}
"""What an item is called in a sentence."""

_SIGNATURES: tuple[tuple[int, bytes, Medium, str], ...] = (
    (0, b"\xff\xd8\xff", "image", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image", "png"),
    (0, b"GIF87a", "image", "gif"),
    (0, b"GIF89a", "image", "gif"),
    (8, b"WEBP", "image", "webp"),
    (0, b"II*\x00", "image", "tiff"),
    (0, b"MM\x00*", "image", "tiff"),
    (0, b"\x00\x00\x00\x0cjP  ", "image", "jpeg2000"),
    (4, b"ftypavif", "image", "avif"),
    (8, b"WAVE", "audio", "wav"),
    (0, b"fLaC", "audio", "flac"),
    (0, b"OggS", "audio", "ogg"),
    (0, b"ID3", "audio", "mp3"),
    (8, b"AIFF", "audio", "aiff"),
)
_CONTAINERS = {b"RIFF", b"FORM"}
_SUFFIXES: dict[Medium, frozenset[str]] = {
    "image": frozenset(
        {
            *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
            *(".heic", ".avif", ".jp2", ".ppm", ".pgm"),
        }
    ),
    "audio": frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".aac", ".wma"}),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is.

    Attributes:
        medium: Image or sound.
        format: Such as ``jpeg``; empty where only its name speaks for it.
    """

    medium: Medium
    format: str = ""


def kind_of(head: bytes, name: str) -> Kind | None:
    """What a file is; None where it is neither an image nor a sound, nor called as one.

    Args:
        head: Its first `HEAD_BYTES`.
        name: Its path.
    """
    for start, magic, medium, form in _SIGNATURES:
        if head[start : start + len(magic)] == magic and (start != 8 or head[:4] in _CONTAINERS):
            return Kind(medium, form)
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # BM alone could be a word
        return Kind("image", "bmp")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08:
        return Kind("audio", "mp3")  # a frame of layer III; the second bits are its version, of which one is not used
    suffix = PurePosixPath(name.lower()).suffix
    return next((Kind(medium) for medium, suffixes in _SUFFIXES.items() if suffix in suffixes), None)
