import pytest

from service.uploads.media import HEAD_BYTES, Kind, kind_of


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_images_by_their_first_bytes(image, form):
    assert kind_of(image(form=form)[:HEAD_BYTES], "x.wav") == Kind("image", form.lower())


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_sounds_by_their_first_bytes(sound, form):
    assert kind_of(sound(form=form)[:HEAD_BYTES], "x.png") == Kind("audio", form.lower())


@pytest.mark.parametrize(
    ("head", "name", "medium"),
    [
        (b"", "a/b.PNG", "image"),
        (b"whatever", "a.b/c.wav", "audio"),
        (b"", "png", None),
        (b"BM is a word", "notes.txt", None),
        (b"RIFF\0\0\0\0AVI ", "film.avi", None),
        (b"12345678WEBP", "a.txt", None),
        (b"PK\x03\x04", "inner.zip", None),
        (b"\x89PNG", "short", None),
        (b"\xff\xfeh\0i\0", "utf-16.txt", None),
        (b"\xff\xf1\x50\x80", "adts", None),
    ],
)
def test_names_speak_where_bytes_do_not(head, name, medium):
    found = kind_of(head, name)
    assert (found.medium if found else None) == medium
