import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from adapters.adapt import adapt
from adapters.base import Task
from adapters.methods import parse_method
from models.base import Backbone, Card, Encoded
from models.batching import embed
from models.built_in.gradients import oriented_gradients
from models.built_in.histogram import colour_histogram
from models.built_in.scattering import EDGE_PX, WIDTH, export_scatter, scatter_2d
from models.catalog import entry
from models.hosted import host, open_backbone
from models.images.backbone import ImageBackbone

RECORDED = {
    0: -0.024359,
    9: 0.005392,
    16: -0.018790,
    200: -0.002708,
    400: -0.017605,
    1000: -0.013198,
    2500: -0.010184,
    3471: 0.003475,
    3472: 0.071819,
    4000: 0.014102,
    4496: 0.000617,
    5000: 0.022288,
}
"""Of the embedding of `pattern`, by place: every part of it is seen."""


def no_progress(_stage, _share):
    """Nobody watches."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("backbones")


@pytest.fixture(scope="module")
def card(folder) -> Card:
    return host(entry("scatter-2d"), folder, no_progress)


@pytest.fixture(scope="module")
def backbone(folder, card) -> Backbone:
    return open_backbone(folder, card.digest, threads=1)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pattern(height=40, width=48):
    """Rings in three colours, by a formula in whole numbers."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x * x + 2 * y * y) // 9, (x * y) // 3, 5 * x + 3 * y], axis=-1).astype(np.uint8)


def rows(backbone, *images):
    return backbone.run([Encoded(image) for image in images])


def random_images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, EDGE_PX, EDGE_PX, 3), dtype=np.uint8)


def plain(value):
    return np.full((EDGE_PX, EDGE_PX, 3), value, dtype=np.uint8)


def test_the_card(card, backbone):
    assert isinstance(backbone, ImageBackbone)
    assert (card.modality, card.trained, card.taps) == ("image", False, {"pooled": (WIDTH,)})
    assert card.recipe["pixels"]["size"] == [EDGE_PX, EDGE_PX]
    assert card.recipe["normalisation"] == "L2"
    assert card.recipe["difference_from_torch"] < 1e-5


def test_the_recorded_vector(backbone):
    """Adapters fitted elsewhere hold only for this embedding."""
    [z] = backbone.run(backbone.prepare([png(pattern())]))
    np.testing.assert_allclose([z[i] for i in RECORDED], list(RECORDED.values()), atol=2e-6)


@pytest.mark.slow
def test_the_same_bytes_every_time(card, folder, tmp_path):
    export_scatter(entry("scatter-2d"), tmp_path, no_progress)
    assert (tmp_path / "pooled.onnx").read_bytes() == (folder / card.digest / "pooled.onnx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["pooled.onnx"]


def test_a_row_does_not_depend_on_its_batch(backbone):
    images = [*random_images(29), plain(0), plain(255), plain(7)]
    alone = np.concatenate([rows(backbone, image) for image in images])
    np.testing.assert_allclose(rows(backbone, *images), alone, atol=1e-6)


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_images_of_one_colour_are_finite_and_of_unit_length(backbone, value):
    z = rows(backbone, plain(value))
    assert np.isfinite(z).all()
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-4)


def test_the_graph_computes_what_torch_does(backbone):
    extreme = [
        plain(0),
        plain(255),
        random_images(1)[0] // 255 * 255,
        pattern(32, 32),
        plain(0) + np.eye(32)[..., None],
    ]
    images = np.stack([*random_images(3, seed=5), *extreme]).astype(np.uint8)
    with torch.inference_mode():
        expected = scatter_2d()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(rows(backbone, *images), expected, atol=1e-6)


def test_noise_in_a_flat_image_is_no_edge(backbone):
    """Without floors the embedding of a blank wall would be that of its noise."""
    wall = plain(100)
    noisy = wall + np.random.default_rng(0).integers(0, 2, wall.shape, dtype=np.uint8)
    [a, b, c] = rows(backbone, wall, noisy, pattern(32, 32))
    assert a @ b > 0.99
    assert a @ c < 0.8


def test_a_small_shift_changes_little(backbone):
    picture = np.asarray(Image.fromarray(pattern(80, 80)).resize((34, 34)))
    [here, there, other] = rows(backbone, picture[1:33, 1:33], picture[1:33, :32], random_images(1)[0])
    assert here @ there > 0.93
    assert here @ other < 0.8


def test_directions_of_stripes_are_told_apart():
    stripes = torch.zeros(2, 1, 16, 16)
    stripes[0, :, :, ::4] = 1
    stripes[1, :, ::4] = 1
    strength = oriented_gradients(stripes).reshape(2, 4, 8, 3, 3).sum(dim=(1, 3, 4))
    assert strength.argmax(dim=1).tolist() == [0, 4]
    assert oriented_gradients(torch.zeros(1, 1, 16, 16)).abs().max() < 1e-4


def test_shares_of_colours_sum_to_one_in_every_cell():
    rgb = torch.from_numpy(random_images(2).astype(np.float32) / 255).permute(0, 3, 1, 2)
    shares = colour_histogram(rgb, grid=4).square()
    assert shares.shape == (2, 16, 16, 4)
    torch.testing.assert_close(shares.sum(dim=(2, 3)), torch.ones(2, 16))


def test_each_colour_has_its_place_in_the_histogram():
    red = torch.tensor([1.0, 0.0, 1 / 3]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    shares = colour_histogram(red, grid=2).square()[0, 3]
    assert (shares > 0.99).nonzero().tolist() == [[12, 1]]


def accuracy(z, y, chosen, held_out):
    """Of `logistic` on some rows, as it is fitted and published."""
    count = len(np.unique(y))
    task = Task(z[chosen], y[chosen].astype(np.int64), tuple(map(str, range(count))), np.arange(len(chosen)))
    head = adapt(task, parse_method("logistic"), on_stage=no_progress, clock=lambda: 0.0).head
    return float((head.scores(z[held_out]).argmax(axis=1) == y[held_out]).mean())


def drawn(y, per_class, seed):
    """Indexes of some of each class, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(y))
    return np.concatenate([order[y[order] == label][:per_class] for label in np.unique(y)])


@pytest.mark.slow
def test_ten_digits_of_each_kind_are_enough(backbone):
    digits = load_digits()
    grey = np.rint(digits.images * 255 / 16).astype(np.uint8)
    z, _ = embed(backbone, [png(image) for image in grey])
    y, found = digits.target, []
    for seed in range(10):
        chosen = drawn(y, 10, seed)
        found.append(accuracy(z, y, chosen, np.setdiff1d(np.arange(len(y)), chosen)))
    assert np.mean(found) >= 0.935


@pytest.mark.slow
@pytest.mark.bench_data
@pytest.mark.parametrize(("per_class", "least"), [(10, 0.36), (50, 0.50)])
def test_few_photographs_of_each_kind(backbone, per_class, least):
    home = os.environ.get("BENCH_DATA")
    if home is None:
        pytest.skip("BENCH_DATA names no folder of public data")
    import pyarrow.parquet

    z, y = {}, {}
    for part in ("train", "test"):
        table = pyarrow.parquet.read_table(Path(home) / "cifar10" / f"{part}.parquet")
        y[part] = np.array(table["label"])
        # The training part is far larger than what is drawn of it.
        kept = np.arange(len(table)) if part == "test" else np.concatenate([drawn(y[part], 150, 99)])
        z[part], _ = embed(backbone, table["image"].take(kept).to_pylist())
        y[part] = y[part][kept]
    both, labels = np.concatenate([z["train"], z["test"]]), np.concatenate([y["train"], y["test"]])
    held_out = np.arange(len(y["train"]), len(both))
    found = [accuracy(both, labels, drawn(y["train"], per_class, seed), held_out) for seed in range(5)]
    assert np.mean(found) >= least
