import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import parser
from PIL import Image

from models.base import Card
from models.errors import WeightsCorrupt, WrongInput
from models.images.backbone import CUDA_IMAGE_LIMITS, IMAGE_LIMITS, ImageBackbone
from models.images.pixels import ImageLimits, PixelRecipe, open_image, pixels_of

RECIPE = PixelRecipe((6, 4), 8, crop=True)

# The mean of each column of pixels in red: what goes in can be told from what comes out.
GRAPH = """
<ir_version: 10, opset_import: ["": 20]>
columns (uint8[batch, 6, 4, 3] pixels) => (float[batch, 4] item_embedding)
{
  start = Constant <value_ints = [0]> ()
  end = Constant <value_ints = [1]> ()
  axis = Constant <value_ints = [3]> ()
  means = Constant <value_ints = [1, 3]> ()
  numbers = Cast <to = 1> (pixels)
  red = Slice (numbers, start, end, axis)
  item_embedding = ReduceMean <keepdims = 0> (red, means)
}
"""


@pytest.fixture(scope="module")
def card():
    return Card("columns", "image", "0" * 64, {"pooled": (4,)}, "MIT", "", None, {}, {"pixels": RECIPE.to_dict()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    onnx.save(parser.parse_model(GRAPH), folder / "pooled.onnx")
    return folder


@pytest.fixture(scope="module")
def backbone(card, folder):
    return ImageBackbone.open(card, folder, threads=1)


def png(seed, height=20, width=31):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_images_are_embedded_in_the_order_given(backbone):
    items = [png(seed, 20 + seed, 40 - seed) for seed in range(9)]
    expected = np.stack([pixels_of(open_image(item), RECIPE)[:, :, 0].mean(0) for item in items])
    np.testing.assert_allclose(backbone.run(backbone.prepare(items)), expected, rtol=1e-6)


def test_what_is_prepared_is_small(backbone):
    [encoded] = backbone.prepare([png(0, 200, 300)])
    assert (encoded.values.shape, encoded.values.dtype) == ((6, 4, 3), np.uint8)
    assert (encoded.size, encoded.cut) == (6, False)


def test_nothing_in_nothing_out(backbone):
    assert backbone.prepare([]) == []
    z = backbone.run([])
    assert (z.shape, z.dtype) == ((0, 4), np.float32)


@pytest.mark.parametrize("item", ["a text", 3, None, bytearray(b"x"), np.zeros((2, 2, 3))])
def test_what_is_not_bytes_is_refused_with_its_place(backbone, item):
    with pytest.raises(WrongInput, match=f"Item 1 is a {type(item).__name__}; this backbone takes images"):
        backbone.prepare([png(0), item])


@pytest.mark.parametrize(("item", "words"), [(b"", "empty"), (b"hello", "not an image"), (png(0)[:500], "cut off")])
def test_a_bad_image_is_refused_with_its_place(backbone, item, words):
    with pytest.raises(WrongInput, match=f"Item 2: .*{words}"):
        backbone.prepare([png(0), png(1), item])


def test_the_limit_on_pixels_is_the_callers(card, folder):
    small = ImageBackbone.open(card, folder, threads=1, image_limits=ImageLimits(pixels=100))
    with pytest.raises(WrongInput, match=r"Item 0: The image has 31 x 20 pixels.*at most 100"):
        small.prepare([png(0)])


def test_threads_share_one_backbone(backbone):
    items = [png(seed) for seed in range(32)]
    alone = [backbone.run(backbone.prepare([item])) for item in items]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda item: backbone.run(backbone.prepare([item])), items))
    np.testing.assert_array_equal(together, alone)


def test_batches_are_larger_on_a_gpu(card, folder, backbone):
    assert backbone.provider == "cpu"
    assert backbone.limits == IMAGE_LIMITS
    on_gpu = ImageBackbone(card, RECIPE, backbone._session, "cuda float16")
    assert on_gpu.limits == CUDA_IMAGE_LIMITS


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"pixels": {**RECIPE.to_dict(), "size": [4, 6]}}, r"takes \[6, 4, 3\] pixels, but its card says \[4, 6, 3\]"),
        ({"pixels": {**RECIPE.to_dict(), "resample": "best"}}, "no filter 'best'"),
        ({"pixels": None}, "says how no image"),
        ({}, "says how no image.*'pixels'"),
    ],
)
def test_a_card_that_disagrees_with_its_graph_is_not_opened(card, folder, recipe, words):
    with pytest.raises(WeightsCorrupt, match=words):
        ImageBackbone.open(replace(card, recipe=recipe), folder, threads=1)
