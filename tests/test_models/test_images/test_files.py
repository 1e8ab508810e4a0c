import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from models.errors import WrongInput
from models.images.pixels import ImageLimits, open_image

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corners():
    """4 x 3 pixels (w x h), all unlike."""
    return Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7)


def png_of(width, height):
    """A PNG that says it is that large, with the data of next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_formats_without_loss_give_every_pixel(kind):
    image = corners()
    np.testing.assert_array_equal(open_image(encoded(image, kind)), np.asarray(image))


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_formats_give_about_the_pixels(kind, options):
    image = Image.new("RGB", (40, 30), (200, 100, 50))
    pixels = open_image(encoded(image, kind, **options))
    assert pixels.shape == (30, 40, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[15, 20], (200, 100, 50), atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_as_they_were_held(orientation):
    """What the camera writes for each way of holding it, from the definition: where row 0 and column 0 lie."""
    upright = np.asarray(corners())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    np.testing.assert_array_equal(open_image(encoded(image, exif=exif)), upright)
    np.testing.assert_array_equal(open_image(encoded(image, "TIFF", exif=exif)), upright)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0"])
def test_a_damaged_exif_block_does_no_harm(exif):
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=exif)
    assert open_image(data).shape == (8, 8, 3)


MODES = {"PNG": ("1", "L", "P", "LA", "RGBA", "I;16"), "TIFF": ("PA", "I", "F", "CMYK", "YCbCr")}


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_every_mode_becomes_rgb(kind, mode):
    pixels = open_image(encoded(Image.new(mode, (5, 4)), kind))
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8


def test_colours_already_multiplied_by_alpha_are_not_multiplied_again():
    half = Image.new("RGBA", (1, 1), (128, 0, 0, 128))
    extra_samples = b"\x52\x01\x03\x00\x01\x00\x00\x00"  # TIFF's tag 338: 2 says "alpha", 1 "multiplied by it"
    data = encoded(half, "TIFF").replace(extra_samples + b"\x02", extra_samples + b"\x01")
    assert open_image(encoded(half, "TIFF"))[0].tolist() == [[191, 127, 127]]
    assert open_image(data)[0].tolist() == [[255, 127, 127]]


def test_grey_is_three_alike():
    grey = np.array([[0, 7, 255]], dtype=np.uint8)
    np.testing.assert_array_equal(open_image(encoded(Image.fromarray(grey))), np.repeat(grey[..., None], 3, axis=2))


def test_what_is_transparent_lies_over_white():
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 128))
    pixels = open_image(encoded(image))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == [255, 127, 127]


def test_transparency_of_a_palette_grey_and_colour_lies_over_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([*BLUE, *GREEN])
    palette.putdata([0, 1])
    assert open_image(encoded(palette, transparency=0))[0].tolist() == [list(WHITE), list(GREEN)]
    assert open_image(encoded(palette, transparency=b"\x00\xff"))[0].tolist() == [list(WHITE), list(GREEN)]
    grey = Image.fromarray(np.array([[9, 10]], dtype=np.uint8))
    assert open_image(encoded(grey, transparency=9))[0].tolist() == [list(WHITE), [10, 10, 10]]
    colour = Image.new("RGB", (1, 1), RED)
    assert open_image(encoded(colour, transparency=RED))[0].tolist() == [list(WHITE)]


def test_alpha_is_as_the_processors_take_it():
    from models.trunks.torchvision_ops import complete

    complete()
    from transformers.image_transforms import convert_to_rgb

    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (40, 30, 4), dtype=np.uint8), "RGBA")
    np.testing.assert_array_equal(open_image(encoded(image)), convert_to_rgb(image, return_numpy=True))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    deep = np.array([[0, 257 * 3, 32768, 65535]], dtype=np.uint16)
    assert open_image(encoded(Image.fromarray(deep), kind))[0, :, 0].tolist() == [0, 3, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 3, 255], [0, 3, 255]),
        ([0, 32768, 65535], [0, 128, 255]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 2.5e5, 1e6], [0, 64, 255]),
        ([5, 5, 5], [5, 5, 5]),
        ([-5, -5, -5], [0, 0, 0]),
        ([float("nan"), 0, 1], [0, 0, 255]),
    ],
)
def test_numbers_that_are_no_integers(values, expected):
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert open_image(encoded(image, "TIFF"))[0, :, 0].tolist() == expected


def test_wide_integers_are_stretched_where_they_leave_sixteen_bits():
    image = Image.fromarray(np.array([[-100, 0, 100]], dtype=np.int32))
    assert open_image(encoded(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_photographs_have_their_colours():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    np.testing.assert_allclose(open_image(data)[8, 8], RED, atol=6)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (6, 6), colour) for colour in (RED, GREEN, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(open_image(data)[3, 3], RED, atol=2)


def test_one_pixel_is_an_image():
    assert open_image(encoded(Image.new("RGB", (1, 1), RED))).tolist() == [[list(RED)]]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"hello", "5 bytes.*b'hello'.*JPEG, PNG"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (b"RIFF\0\0\0\0WAVEfmt ", "WAV sound"),
        (b" <SVG width='3'>", "an SVG drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\xff\xd8\xff", "3 bytes"),
    ],
)
def test_what_is_no_image_is_refused_with_what_it_is(data, words):
    with pytest.raises(WrongInput, match=words):
        open_image(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM"])
def test_files_cut_off_anywhere_are_refused(kind):
    rng = np.random.default_rng(0)
    data = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(WrongInput, match=r"damaged or cut off|not an image"):
            open_image(data[: int(share * len(data))])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF"])
def test_damaged_bytes_end_in_pixels_or_in_a_sentence(kind):
    rng = np.random.default_rng(1)
    whole = np.frombuffer(encoded(Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)), kind), np.uint8)
    for _ in range(60):
        damaged = whole.copy()
        where = rng.integers(0, len(damaged), 4)
        damaged[where] = rng.integers(0, 256, 4)
        try:
            assert open_image(damaged.tobytes(), ImageLimits(pixels=10_000)).dtype == np.uint8
        except WrongInput as error:
            assert "image" in error.message  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        (20_000, "has 400,000,000 pixels; at least 1 and at most 80,000,000"),
        (9_500, "1 and at most 80,000,000"),
        (400, "400 x"),
    ],
)
def test_too_large_is_refused_before_it_is_decoded(edge, words):
    limits = ImageLimits(pixels=100_000) if edge == 400 else ImageLimits(pixels=80_000_000)
    with pytest.raises(WrongInput, match=words):
        open_image(png_of(edge, edge), limits)


def test_a_limit_beyond_pillows_own_is_told_as_what_it_is():
    with pytest.raises(WrongInput, match="has 400,000,000 pixels; at least 1 and at most 178,956,970"):
        open_image(png_of(20_000, 20_000), ImageLimits(pixels=10**9))


def test_the_limit_is_that_of_the_product():
    data = encoded(Image.new("RGB", (20, 5)))
    assert open_image(data, ImageLimits(pixels=100)).shape == (5, 20, 3)
    with pytest.raises(WrongInput, match="20 x 5 pixels; at least 1 and at most 99"):
        open_image(data, ImageLimits(pixels=99))
