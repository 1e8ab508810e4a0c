"""Images and sounds in a call's inputs: base64, data addresses, or bytes; whatever else is pointed at."""

import base64
from types import SimpleNamespace

import pytest

from models.errors import Problem, WrongInput
from service.errors import BodyInvalid
from service.serving.media_inputs import INLINE_CHARS, LISTED_PROBLEMS, bytes_of
from service.serving.taps import Taps

DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()
IMAGE = SimpleNamespace(
    name="x",
    number=1,
    modality="image",
    backbone="b",
    backbone_digest="d",
    tap="pooled",
    parts=(),
    backbones=(),
    long="truncate",
)
AUDIO = SimpleNamespace(
    name="x",
    number=1,
    modality="audio",
    backbone="b",
    backbone_digest="d",
    tap="pooled",
    parts=(),
    backbones=(),
    long="chunk",
)


@pytest.mark.parametrize(
    "value",
    [
        TEXT,
        f"data:image/png;base64,{TEXT}",
        f"DATA:;Base64,{TEXT}",
        base64.encodebytes(DATA).decode(),
        f" {TEXT}\n",
    ],
)
async def test_base64_in_its_usual_forms(value):
    assert await bytes_of(IMAGE, [{"image": value}]) == [DATA]


async def test_bytes_are_taken_as_they_are_and_large_ones_elsewhere():
    assert await bytes_of(IMAGE, [DATA, b""]) == [DATA, b""]
    large = bytes(INLINE_CHARS)
    assert await bytes_of(AUDIO, [{"audio": base64.b64encode(large).decode()}]) == [large]


@pytest.mark.parametrize(
    ("wrong", "words", "pointer"),
    [
        ("text", "is not an object with an image in it", ""),
        (None, "is not an object", ""),
        ({}, "has no field 'image'", ""),
        ({"audio": TEXT}, "is a sound, and not an image", ""),
        ({"image": TEXT, "id": 1}, "has the field 'id' beside 'image', which is not known", "/image"),
        ({"image": 7}, "is not base64 (a JSON string)", "/image"),
        ({"image": "no base64!"}, "is not base64 (", "/image"),
        ({"image": TEXT[:-1]}, "is not base64 (", "/image"),
        ({"image": TEXT.replace("A", "\u0410")}, "is not base64 (", "/image"),
        ({"image": "https://example.org/cat.png"}, "nothing is fetched from one", "/image"),
        ({"image": "FILE:///etc/passwd"}, "nothing is fetched from one", "/image"),
        ({"image": "data:image/png,abc"}, "without base64", "/image"),
        ({"image": "data:image/png"}, "without base64", "/image"),
    ],
)
async def test_what_cannot_be_used_is_pointed_at(wrong, words, pointer):
    with pytest.raises(BodyInvalid) as caught:
        await bytes_of(IMAGE, [{"image": TEXT}, wrong])
    (problem,) = caught.value.problems
    assert problem.pointer == f"/inputs/1{pointer}"
    assert words in problem.detail
    assert caught.value.message.startswith(f"Input 1 {problem.detail}; x:1 takes")


async def test_many_wrong_inputs_are_counted_and_the_first_listed():
    with pytest.raises(BodyInvalid, match=r"and 29 more cannot be used") as caught:
        await bytes_of(AUDIO, ["no"] * 30)
    assert len(caught.value.problems) == LISTED_PROBLEMS


class _Encoder:
    def __init__(self, error=None):
        self.error = error
        self.asked = None

    async def embed(self, items, long, tenant=None):
        self.asked = (list(items), long)
        if self.error:
            raise self.error
        import numpy as np

        return np.ones((len(items), 2), np.float32), np.array([False, True])


def _taps(encoder):
    async def found(name, digest, tap):
        assert (name, digest, tap) == ("b", "d", "pooled")
        return encoder

    return Taps(SimpleNamespace(encoder=found))


async def test_taps_embed_files_and_say_whose_end_was_left_out():
    encoder = _Encoder()
    tapped = await _taps(encoder).bring(AUDIO, [{"audio": TEXT}, {"audio": TEXT}], None)
    assert encoder.asked == ([DATA, DATA], "chunk")
    assert tapped.at.shape == (2, 2)
    assert tapped.cut == {1}
    await _taps(encoder).bring(AUDIO, [DATA, DATA], "truncate")
    assert encoder.asked[1] == "truncate"


async def test_an_undecodable_file_is_pointed_at():
    error = WrongInput("Input 1: broken", problems=[Problem("broken", pointer="/inputs/1")])
    with pytest.raises(WrongInput) as caught:
        await _taps(_Encoder(error)).bring(IMAGE, [{"image": TEXT}, {"image": TEXT}], None)
    assert [problem.pointer for problem in caught.value.problems] == ["/inputs/1/image"]
    with pytest.raises(WrongInput) as caught:
        await _taps(_Encoder(error)).bring(IMAGE, [DATA, DATA], None)
    assert [problem.pointer for problem in caught.value.problems] == ["/inputs/1"]


async def test_images_have_no_length():
    with pytest.raises(BodyInvalid, match=r"'long' is for texts and sounds, and x:1 takes image inputs"):
        await _taps(_Encoder()).bring(IMAGE, [{"image": TEXT}], "chunk")
