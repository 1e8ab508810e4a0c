"""Files are read and decoded in order, by one pool, a few ahead of what is asked for."""

import threading

import pytest

from service.cores import available_cores
from service.errors import UploadTooLarge, UploadUnreadable
from service.uploads import decoding
from service.uploads.cells import Bad
from service.uploads.decoding import Candidate, Decoded, decode_all
from service.uploads.limits import Limits


def _candidate(data, name="x"):
    return Candidate(name, lambda limit: data[:limit])


def test_results_come_in_order(image):
    files = [image(at, size=(1 + 40 * (at % 3), 8)) for at in range(60)]
    found = list(decode_all([_candidate(data) for data in files], "image", Limits()))
    assert [item.data for item in found] == files
    assert [item.size for item in found] == [8 * (1 + 40 * (at % 3)) for at in range(60)]


def test_files_are_read_a_few_ahead_of_the_answer(image):
    read = []

    def candidates():
        for at in range(1_000):
            read.append(at)
            yield _candidate(image())

    first = next(iter(decode_all(candidates(), "image", Limits())))
    assert isinstance(first, Decoded)
    assert len(read) <= 4 * available_cores() + 2


def test_what_cannot_be_read_is_bad(image):
    def damaged(limit):
        raise UploadUnreadable("It is damaged.")

    candidates = [Candidate("a", damaged), Candidate("b", Bad("is not there")), _candidate(image()), _candidate(b"x")]
    found = list(decode_all(candidates, "image", Limits()))
    assert found[:2] == [Bad("It is damaged."), Bad("is not there")]
    assert isinstance(found[2], Decoded)
    assert isinstance(found[3], Bad)


def test_a_file_over_the_limit_is_read_no_further(image):
    asked = []

    def endless(limit):
        asked.append(limit)
        return bytes(limit)

    (found,) = decode_all([Candidate("x", endless)], "image", Limits(file_bytes=1_000))
    assert found == Bad("the file has more than 1000 bytes, which is the limit for one")
    assert asked == [1_001]


def test_all_together_have_a_limit(image):
    data = image()
    with pytest.raises(UploadTooLarge, match="together"):
        list(decode_all([_candidate(data)] * 3, "image", Limits(bytes=2 * len(data))))


def test_large_images_are_decoded_one_at_a_time(image, monkeypatch):
    monkeypatch.setattr(decoding, "_LARGE_PIXELS", 100)
    inside, most, lock = 0, 0, threading.Lock()
    from models.images import files as image_files

    real = image_files.open_image

    def counted(data, limits):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        try:
            return real(data, limits)
        finally:
            with lock:
                inside -= 1

    monkeypatch.setattr(image_files, "open_image", counted)
    large = image(size=(400, 400))
    assert len(list(decode_all([_candidate(large)] * 20, "image", Limits()))) == 20
    assert most == 1


def test_pixels_and_seconds_over_the_limit_are_bad(image, sound):
    (found,) = decode_all([_candidate(image(size=(20, 20)))], "image", Limits(pixels=399))
    assert isinstance(found, Bad)
    (found,) = decode_all([_candidate(sound(seconds=1))], "audio", Limits(seconds=0.5))
    assert isinstance(found, Bad)
