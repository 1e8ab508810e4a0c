"""The processors compared with are those of the installed transformers, in their Pillow form."""

import importlib

import numpy as np
import pytest
from PIL import Image

from models.errors import SourceRefused
from models.images.pixels import PixelRecipe, pixels_of, stretched

SIZES = [(1, 1), (3, 7), (31, 17), (97, 143), (224, 224), (301, 223), (255, 640), (480, 333)]
"""(height, width): smaller than every crop and larger, odd and even, upright and lying."""

PROCESSORS = {
    "vit": ("vit", "ViT", {}),
    "vit-384": ("vit", "ViT", {"size": {"height": 384, "width": 300}, "resample": 3}),
    "vit-number": ("vit", "ViT", {"size": 96, "rescale_factor": 1 / 127.5}),
    "deit": ("deit", "DeiT", {}),
    "beit": ("beit", "Beit", {}),
    "clip": ("clip", "CLIP", {}),
    "clip-number": ("clip", "CLIP", {"size": 97, "crop_size": 95}),
    "siglip": ("siglip", "Siglip", {}),
    "convnext-224": ("convnext", "ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "resnet-number": ("convnext", "ConvNext", {"size": 160, "crop_pct": 0.95, "resample": 2}),
    "convnext-384": ("convnext", "ConvNext", {}),
    "dinov2": ("bit", "Bit", {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}),
    "bit": ("bit", "Bit", {}),
    "mobilenet-v1": ("mobilenet_v1", "MobileNetV1", {"size": {"shortest_edge": 146}, "crop_size": [128, 128]}),
    "mobilenet-v2": ("mobilenet_v2", "MobileNetV2", {}),
    "efficientnet": ("efficientnet", "EfficientNet", {"size": {"height": 224, "width": 224}, "resample": 0}),
    "efficientnet-offset": ("efficientnet", "EfficientNet", {"rescale_factor": 1 / 127.5, "rescale_offset": True}),
    "efficientnet-once": ("efficientnet", "EfficientNet", {"include_top": False, "do_center_crop": True}),
    "crop-only": ("clip", "CLIP", {"do_resize": False, "crop_size": {"height": 64, "width": 90}}),
    "box": ("vit", "ViT", {"size": {"height": 50, "width": 60}, "resample": 4}),
    "hamming": ("vit", "ViT", {"size": {"height": 50, "width": 60}, "resample": 5}),
    "lanczos": ("vit", "ViT", {"size": {"height": 50, "width": 60}, "resample": 1}),
    "not-rescaled": ("vit", "ViT", {"do_rescale": False}),
    "not-normalised": ("vit", "ViT", {"do_normalize": False}),
}


def photograph(height, width, seed=0):
    """Smooth colours and noise, as photographs have both."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((width, height))
    return np.clip(np.asarray(coarse) + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def make_processor():
    """Makes a processor by its key, as transformers does: the class on Pillow."""
    from models.trunks.torchvision_ops import complete

    complete()

    def make(key):
        module, name, options = PROCESSORS[key]
        found = importlib.import_module(f"transformers.models.{module}.image_processing_pil_{module}")
        return getattr(found, f"{name}ImageProcessorPil")(**options)

    return make


@pytest.mark.parametrize("key", PROCESSORS)
def test_pixels_are_those_of_the_processor(make_processor, key):
    processor = make_processor(key)
    recipe = PixelRecipe.from_processor(processor.to_dict())
    unscaled = {"do_rescale": False, "do_normalize": False}
    unscaled |= {"include_top": False} if "include_top" in processor.to_dict() else {}
    for height, width in SIZES:
        image = photograph(height, width)
        expected = processor([image], **unscaled, input_data_format="channels_last", return_tensors="np")
        pixels = pixels_of(image, recipe)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, expected["pixel_values"][0].transpose(1, 2, 0), err_msg=f"{image.shape}")


@pytest.mark.parametrize("key", PROCESSORS)
def test_mean_and_std_are_those_of_the_processor(make_processor, key):
    processor = make_processor(key)
    recipe = PixelRecipe.from_processor(processor.to_dict())
    image = photograph(120, 150)
    expected = processor([image], return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    scaled = (pixels_of(image, recipe) - np.array(recipe.mean)) / np.array(recipe.std)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("key", [key for key, (_, _, options) in PROCESSORS.items() if options])
def test_what_a_file_leaves_out_is_the_processors_default(make_processor, key):
    _, name, options = PROCESSORS[key]
    recipe = PixelRecipe.from_processor({**options, "image_processor_type": f"{name}ImageProcessor"})
    assert recipe == PixelRecipe.from_processor(make_processor(key).to_dict())


@pytest.mark.parametrize(
    ("config", "model_type"),
    [
        ({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224}, ""),
        ({"image_processor_type": "ConvNextImageProcessorFast", "size": 224, "crop_pct": None}, ""),
        ({"size": 224}, "resnet"),
    ],
)
def test_older_files_are_read(config, model_type):
    recipe = PixelRecipe.from_processor(config, model_type)
    assert (recipe.size, recipe.resize, recipe.resample, recipe.crop) == ((224, 224), 256, "bicubic", True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "Siglip2ImageProcessor' prepares images is not known"),
        ({}, "'of '"),
        ({"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}, "flip channels"),
        ({"image_processor_type": "ViTImageProcessor", "do_pad": True}, "pad"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "unlike sizes"),
        ({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}}, "cannot be read.*height"),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [1, 2]}, "cannot be read"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 9}, "cannot be read"),
        ({"image_processor_type": "ViTImageProcessor", "size": 100_000}, "1 to 4096"),
        ({"image_processor_type": "ViTImageProcessor", "rescale_factor": 0}, "cannot be read"),
    ],
)
def test_what_no_recipe_can_say_is_refused(config, words):
    with pytest.raises(SourceRefused, match=words):
        PixelRecipe.from_processor(config)


def test_a_dict_and_back():
    recipe = PixelRecipe((3, 4), 5, "lanczos", (1.5, 2, 3), (4, 5, 6), crop=True)
    assert PixelRecipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.to_dict() == {
        "size": [3, 4],
        "resize": 5,
        "resample": "lanczos",
        "mean": [1.5, 2, 3],
        "std": [4, 5, 6],
        "crop": True,
    }


@pytest.mark.parametrize(
    ("resize", "size", "expected"), [(256, 128, 146), ((224, 224), 128, (128, 128)), (None, 100, None)]
)
def test_another_size_keeps_the_proportion(resize, size, expected):
    recipe = PixelRecipe((224, 224), resize, crop=resize != (224, 224)).replaced({"size": size})
    assert (recipe.size, recipe.resize) == ((size, size), expected)


def test_settings_of_the_callers():
    recipe = PixelRecipe((224, 224), 256, crop=True)
    given = {"size": [8, 9], "resize": 12, "resample": "box", "mean": [127.5], "std": 3, "crop": True}
    expected = PixelRecipe((8, 9), 12, "box", (127.5,) * 3, (3.0,) * 3, crop=True)
    assert recipe.replaced(given) == expected
    assert recipe.replaced({}) == recipe


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sise": 3}, "no setting 'sise'"),
        ({"mean": "dark"}, "cannot be read"),
        ({"std": [1, 0, 1]}, "std above 0"),
        ({"std": [float("nan")]}, "finite"),
        ({"size": 0}, "1 to 4096"),
        ({"resample": "best"}, "nearest, bilinear"),
        ({"crop": False}, "Set crop"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, words):
    with pytest.raises(SourceRefused, match=words):
        PixelRecipe((224, 224), 256, crop=True).replaced(given)


@pytest.mark.parametrize("shape", [(1, 300_000), (300_000, 1)])
def test_a_thread_of_pixels_takes_no_gigabytes(shape):
    image = np.full((*shape, 3), 9, dtype=np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 200
    pixels = pixels_of(image, PixelRecipe((224, 224), 256, crop=True))
    assert pixels.shape == (224, 224, 3)
    assert pixels[112, 112, 0] > 100  # its middle is in the middle


def test_stretched_takes_all_of_an_image():
    image = np.zeros((10, 40, 3), dtype=np.uint8)
    image[:, 20:] = 255
    pixels = pixels_of(image, stretched(8))
    assert pixels[0, :, 0].tolist()[0] == 0
    assert pixels[7, :, 0].tolist()[-1] == 255
