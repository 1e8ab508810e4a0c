"""The way into backbones with weights that people use: what a part of them is trained on is what it will see."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.catalog import Entry, Options, entry
from models.hosted import add_tap, host, open_backbone
from models.sources import Folder
from models.trunks.tuning import open_tuning

pytestmark = pytest.mark.slow

BY_255 = {"size": 128, "mean": [127.5], "std": [127.5], "resample": "bilinear"}
K = 2
STEPS = 3


def nothing(*_args):
    pass


def cifar(bench_data: Path, count: int) -> list[bytes]:
    import pyarrow.parquet as pq

    table = pq.read_table(bench_data / "cifar10" / "train.parquet").slice(0, count)
    return [row["bytes"] if isinstance(row, dict) else row for row in table["image"].to_pylist()]


def mobilenet_v1(bench_data):
    return Entry("v1", "image", "", "", Folder(str(bench_data / "weights" / "mobilenetv1_0.25_128_imagenet_hf")))


def mobilenet_v2(bench_data):
    source = Folder(str(bench_data / "weights" / "mobilenetv2_100_imagenet"), "mobilenetv2_100", {"pad_type": "same"})
    return Entry("v2", "image", "", "", source, Options(preprocess=BY_255))


@pytest.fixture(scope="module", params=["minilm-l6", mobilenet_v1, mobilenet_v2], ids=["minilm", "v1", "v2"])
def tuning(request, tmp_path_factory):
    """Four items, brought to the last blocks."""
    torch.set_num_threads(1)
    if callable(request.param):
        bench_data = request.getfixturevalue("bench_data")
        chosen, items = request.param(bench_data), cifar(bench_data, 4)
    else:
        chosen, items = entry(request.param), ["lost card", "", "where is my parcel? " * 9, "a word " * 300]
    home = tmp_path_factory.mktemp("real")
    card = host(chosen, home, nothing, pointer=False)
    opened = open_tuning(chosen, home, card.digest, items, scratch=tmp_path_factory.mktemp("scratch"), threads=1)
    opened.bring(K, on_progress=nothing, check=nothing)
    return opened


class Scorer(torch.nn.Module):
    def __init__(self, trunk, width):
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.head = trunk, torch.nn.Linear(width, 2)

    def forward(self, *inputs):
        return self.head(self.trunk(*inputs))


def close(seen, reference):
    return seen.shape == reference.shape and np.abs(seen - reference).max() <= 1e-4 * np.abs(reference).max()


def arrays(tuning, at):
    return [torch.from_numpy(array) for array in tuning.batch(K, at).values()]


def test_a_part_computes_the_hosted_embedding_of_items_together(tuning):
    with torch.inference_mode():
        seen = tuning.module(K)(*arrays(tuning, [0, 1, 2, 3])).numpy()
    alone = [tuning.backbone.run([item]) for item in tuning.backbone.prepare(tuning.items)]
    assert close(seen, np.concatenate(alone))


def test_training_moves_the_last_blocks_alone_and_what_is_exported_computes_the_same(tuning):
    [width] = tuning.card.taps["pooled"]
    scorer, before = Scorer(tuning.module(K), width), tuning.module(K)
    inputs, classes = arrays(tuning, [0, 1, 2, 3]), torch.tensor([0, 1, 0, 1])
    optimiser = torch.optim.AdamW(scorer.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        losses.append(torch.nn.functional.cross_entropy(scorer(*inputs), classes))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    places = {name.split(".")[1] for name, _ in scorer.trunk.named_parameters() if name.startswith("blocks.")}
    assert places == {str(tuning.depth - 1 - place) for place in range(K)}
    for name, buffer in before.named_buffers():  # the statistics of batch norms among them
        assert torch.equal(buffer, scorer.trunk.get_buffer(name))
    [seen] = ort.InferenceSession(tuning.export(scorer, K)).run(None, tuning.batch(K, [3, 0]))
    with torch.inference_mode():
        assert close(seen, scorer(*arrays(tuning, [3, 0])).numpy())


def test_the_pieces_of_all_blocks_are_named_as_they_stand(tuning):
    digest = tuning.card.digest
    card = add_tap(tuning.entry, tuning.folder, digest, "blocks", nothing)
    assert list(card.parts) == [*(f"block{index}" for index in range(1, tuning.depth + 1)), "pooled"]
    backbone = open_backbone(tuning.folder, digest, threads=1, tap="blocks")
    assert backbone.card.parts == card.parts
    ends = dict(zip(backbone.card.parts, np.cumsum(list(backbone.card.parts.values())).tolist(), strict=True))
    tap = tuning.tap(K)
    [z] = backbone.run(backbone.prepare(tuning.items[:1]))
    states = tuning.batch(K, [0])["hidden_states"][0]
    mean = states.mean(0) if states.ndim == 2 else states.mean((1, 2))
    assert close(z[ends[tap] - card.parts[tap] : ends[tap]], mean)
    assert close(z[-card.parts["pooled"] :], tuning.backbone.run(tuning.backbone.prepare(tuning.items[:1]))[0])
