"""Images and sounds, told by their first bytes."""

from typing import Literal, NamedTuple

Kind = Literal["image", "audio"]


class Medium(NamedTuple):
    """What a file is: an image or a sound, its media type, and how its name should end."""

    kind: Kind
    media_type: str
    ending: str


HEAD_BYTES = 16
"""How much of a file tells what it is."""

_SIGNATURES: tuple[tuple[int, bytes, Medium], ...] = (
    (0, b"\xff\xd8\xff", Medium("image", "image/jpeg", "jpg")),
    (0, b"\x89PNG\r\n\x1a\n", Medium("image", "image/png", "png")),
    (0, b"GIF87a", Medium("image", "image/gif", "gif")),
    (0, b"GIF89a", Medium("image", "image/gif", "gif")),
    (0, b"II*\x00", Medium("image", "image/tiff", "tif")),
    (0, b"MM\x00*", Medium("image", "image/tiff", "tif")),
    (0, b"\x00\x00\x00\x0cjP  ", Medium("image", "image/jp2", "jp2")),
    (4, b"ftypavif", Medium("image", "image/avif", "avif")),
    (0, b"fLaC", Medium("audio", "audio/flac", "flac")),
    (0, b"OggS", Medium("audio", "audio/ogg", "ogg")),
    (0, b"ID3", Medium("audio", "audio/mpeg", "mp3")),
)
_CONTAINED = {
    (b"RIFF", b"WAVE"): Medium("audio", "audio/wav", "wav"),
    (b"RF64", b"WAVE"): Medium("audio", "audio/wav", "wav"),
    (b"RIFF", b"WEBP"): Medium("image", "image/webp", "webp"),
    (b"FORM", b"AIFF"): Medium("audio", "audio/aiff", "aiff"),
}
_BITMAP = Medium("image", "image/bmp", "bmp")
_MPEG = Medium("audio", "audio/mpeg", "mp3")
_MPEG_FRAMES = frozenset({b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2"})
"""How a frame of MPEG layer III begins, where no tag stands before it."""


def medium_of(head: bytes) -> Medium | None:
    """What bytes are the start of; None for anything but an image or a sound. The service decides what it takes."""
    if (contained := _CONTAINED.get((head[:4], head[8:12]))) is not None:
        return contained
    if head[:2] == b"BM" and head[6:10] == bytes(4):  # the two letters alone begin many a text
        return _BITMAP
    if head[:2] in _MPEG_FRAMES:
        return _MPEG
    found = (medium for place, mark, medium in _SIGNATURES if head[place : place + len(mark)] == mark)
    return next(found, None)
