"""Images through a real session: whatever they are embedded beside, their rows are the same."""

import io
from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper, parser
from PIL import Image

from models.base import BatchLimits
from models.batching import embed
from models.images.backbone import ImageBackbone
from models.images.pixels import PixelRecipe

SIZE = (40, 48)
GRAPH = """
<ir_version: 10, opset_import: ["": 20]>
pooled (uint8[n, 40, 48, 3] pixels) => (float[n, 16] item_embedding) {
  real = Cast <to = 1> (pixels)
  scale = Constant <value_float = 0.00784314> ()
  scaled = Mul (real, scale)
  first = Transpose <perm = [0, 3, 1, 2]> (scaled)
  one = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (first, kernel)
  rectified = Relu (one)
  two = Conv <pads = [1, 1, 1, 1], group = 32> (rectified, depthwise)
  averaged = GlobalAveragePool (two)
  flat = Flatten (averaged)
  item_embedding = MatMul (flat, weight)
}
"""


@pytest.fixture(scope="module")
def backbone(fake_card, tmp_path_factory):
    folder = tmp_path_factory.mktemp("convolutions")
    rng = np.random.default_rng(0)
    graph = parser.parse_model(GRAPH)
    for name, shape in (("kernel", (32, 3, 3, 3)), ("depthwise", (32, 1, 3, 3)), ("weight", (32, 16))):
        graph.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32) / 4, name))
    (folder / "pooled.onnx").write_bytes(graph.SerializeToString())
    card = replace(
        fake_card, modality="image", taps={"pooled": (16,)}, recipe={"pixels": PixelRecipe(SIZE, SIZE).to_dict()}
    )
    return ImageBackbone.open(card, folder, threads=2)


@pytest.fixture(scope="module")
def images():
    """23 pictures, PNG and JPEG, of unlike size."""
    rng, files = np.random.default_rng(1), []
    for number in range(23):
        pixels = rng.integers(0, 256, (10 + 3 * number, 90 - 2 * number, 3), dtype=np.uint8)
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "PNG" if number % 2 else "JPEG")
        files.append(sink.getvalue())
    return files


@pytest.mark.parametrize("limits", [BatchLimits(10**6, 1), BatchLimits(10**6, 7), BatchLimits(10**6, 23), None])
def test_an_embedding_does_not_depend_on_its_batch(backbone, images, limits):
    alone = np.concatenate([backbone.run(backbone.prepare([image])) for image in images])
    together, cut = embed(backbone, images, limits=limits)
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)
    order = np.random.default_rng(2).permutation(len(images))
    shuffled, _ = embed(backbone, [images[at] for at in order], limits=limits)
    np.testing.assert_allclose(shuffled, alone[order], rtol=1e-6, atol=1e-6)
    assert not cut.any()
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
