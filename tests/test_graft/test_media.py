"""Images and sounds are told by their first bytes, whatever they are called."""

import pytest

from graft._media import HEAD_BYTES, medium_of


@pytest.mark.parametrize(
    ("head", "kind", "media_type"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "image", "image/png"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image", "image/webp"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio", "audio/wav"),
        (b"BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00", "image", "image/bmp"),
        (b"fLaC\x00\x00\x00\x22", "audio", "audio/flac"),
        (b"OggS\x00\x02", "audio", "audio/ogg"),
        (b"\xff\xfb\x90\x64", "audio", "audio/mpeg"),
        (b"\x00\x00\x00\x1cftypavif", "image", "image/avif"),
    ],
)
def test_known(head, kind, media_type):
    found = medium_of(head[:HEAD_BYTES])
    assert found is not None
    assert (found.kind, found.media_type) == (kind, media_type)


@pytest.mark.parametrize(
    "head",
    [b"", b"B", b"BMW is a car maker", b"RIFF of a guitar", b"PK\x03\x04", b"\xff", b"text,label\n", b"%PDF-1.7"],
)
def test_everything_else_is_neither(head):
    assert medium_of(head) is None
