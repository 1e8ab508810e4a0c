"""A way into a hosted network. What holds for every architecture is in ``tests/contract/test_architectures.py``."""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from models.base import Encoded
from models.catalog import Entry, entry
from models.errors import SourceRefused
from models.sources import Folder
from models.trunks.tuning import open_tuning

TEXTS = ["my card", "where is my lost parcel my parcel", "", "lost", "where is my card"]


def nothing(*_args):
    pass


def bring(tuning, k, **more):
    tuning.bring(k, **{"on_progress": nothing, "check": nothing, **more})


@pytest.fixture(scope="module")
def tuning(deep, tmp_path_factory):
    """With the last block and the whole network brought."""
    folder = shutil.copytree(deep.folder, tmp_path_factory.mktemp("tuned") / "backbones")
    opened = open_tuning(
        deep.entry, folder, deep.card.digest, TEXTS, scratch=tmp_path_factory.mktemp("scratch"), threads=1
    )
    for k in (1, None):
        bring(opened, k)
    return opened


class Scorer(torch.nn.Module):
    def __init__(self, trunk):
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.head = trunk, torch.nn.Linear(16, 3)

    def forward(self, *inputs):
        return self.head(self.trunk(*inputs))


def run(module, feed):
    with torch.inference_mode():
        return module(*map(torch.from_numpy, feed.values())).numpy()


def hosted(tuning, at):
    prepared = tuning.backbone.prepare([TEXTS[i] for i in at])
    return tuning.backbone.run(prepared)


def test_it_knows_its_backbone(tuning, deep):
    assert (len(tuning), tuning.depth, tuning.tap(1), tuning.tap(2)) == (5, 3, "block2", "block1")
    assert tuning.tap(None) == "input"
    assert tuning.block_weights == 4 * (16 * 16 + 16) + 2 * 16 * 32 + 32 + 16 + 4 * 16
    assert tuning.sizes().tolist() == [2, 7, 1, 1, 4]
    assert "block2" in tuning.card.taps
    assert tuning.card.digest == deep.card.digest


@pytest.mark.parametrize("k", [1, None])
@pytest.mark.parametrize("at", [[0, 1, 2, 3, 4], [4, 1], [2]])
def test_a_module_computes_the_hosted_embedding(tuning, k, at):
    np.testing.assert_allclose(run(tuning.module(k), tuning.batch(k, at)), hosted(tuning, at), atol=1e-5)


def test_a_batch_is_padded_to_its_longest(tuning):
    states, ids = tuning.batch(1, [1, 0]), tuning.batch(None, [1, 0])
    assert {name: (array.shape, array.dtype) for name, array in states.items()} == {
        "hidden_states": ((2, 7, 16), np.float32),
        "attention_mask": ((2, 7), np.int64),
    }
    assert list(ids) == ["input_ids", "attention_mask"]
    assert ids["attention_mask"].sum(axis=1).tolist() == [7, 2]
    assert all(array.flags.writeable for array in (*states.values(), *ids.values()))


def test_a_part_has_the_weights_behind_the_cut_alone(tuning):
    names = dict(tuning.module(1).named_parameters())
    assert {name.rsplit(".", 2)[0].split(".")[1] for name in names} == {"2"}
    assert all(name.startswith("blocks.2.") for name in names)
    assert sum(weight.numel() for weight in names.values()) == tuning.block_weights
    everything = dict(tuning.module(None).named_parameters())
    assert {name.split(".")[1] for name in everything if name.startswith("blocks.")} == {"0", "1", "2"}
    assert "network.embeddings.word_embeddings.weight" in everything
    assert not any("pooler" in name for name in everything)  # the mean is taken instead
    assert all(weight.requires_grad for weight in everything.values())


@pytest.mark.parametrize("k", [1, None])
def test_each_module_is_a_copy_and_can_be_copied(tuning, k):
    feed, before = tuning.batch(k, [0, 1]), run(tuning.module(k), tuning.batch(k, [0, 1]))
    changed = tuning.module(k)
    again = copy.deepcopy(changed)
    with torch.no_grad():
        for weight in changed.parameters():
            weight.add_(torch.linspace(0, 1, weight.numel()).reshape(weight.shape))
    assert np.abs(run(changed, feed) - before).max() > 1e-3
    np.testing.assert_array_equal(run(again, feed), before)
    np.testing.assert_array_equal(run(tuning.module(k), feed), before)


def test_a_layer_of_a_block_can_be_replaced(tuning):
    module, feed = tuning.module(1), tuning.batch(1, [0, 1])
    before = run(module, feed)
    module.blocks["2"].output.dense = torch.nn.Linear(32, 16)
    assert np.abs(run(module, feed) - before).max() > 1e-4


@pytest.mark.parametrize("k", [1, None])
def test_gradients_reach_every_weight(tuning, k):
    module = tuning.module(k)
    module(*map(torch.from_numpy, tuning.batch(k, [0, 1]).values())).square()[:, :3].sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())


@pytest.mark.parametrize("k", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_what_is_exported_computes_the_scores_for_any_batch(tuning, k):
    scorer = Scorer(tuning.module(k))
    graph = tuning.export(scorer, k)
    assert tuning.export(Scorer(tuning.module(k)), k) == graph
    session = ort.InferenceSession(graph)
    assert [value.name for value in session.get_inputs()] == list(tuning.batch(k, [0]))
    assert [value.name for value in session.get_outputs()] == ["scores"]
    for at in ([0], [2], [4, 3, 2, 1, 0]):
        feed = tuning.batch(k, at)
        np.testing.assert_allclose(session.run(None, feed)[0], run(scorer, feed), atol=1e-5)


@pytest.mark.slow
def test_one_item_is_enough_to_export(deep, tuning, tmp_path):
    one = open_tuning(deep.entry, tuning.folder, deep.card.digest, ["lost"], scratch=tmp_path, threads=1)
    bring(one, 1)
    session = ort.InferenceSession(one.export(Scorer(one.module(1)), 1))
    feed = tuning.batch(1, [0, 1])
    assert session.run(None, feed)[0].shape == (2, 3)


def test_bringing_is_watched_and_can_be_stopped(tuning, deep, tmp_path):
    other = open_tuning(deep.entry, tuning.folder, deep.card.digest, TEXTS, scratch=tmp_path, threads=1)

    def stop():
        raise TimeoutError

    for k in (1, None):
        with pytest.raises(TimeoutError):
            bring(other, k, check=stop)
        shares = []
        bring(other, k, on_progress=shares.append)
        assert shares[-1] == 1
        bring(other, k, check=stop)
    assert other._trunks == {}  # each would be the backbone once more in memory
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [0, 3, 9])
def test_a_cut_that_leaves_nothing_on_one_side_is_refused(tuning, k):
    with pytest.raises(SourceRefused, match=f"has 3 blocks, so the last 1 to 2 can be trained, not {k}"):
        tuning.tap(k)


def test_what_has_no_weights_cannot_be_opened(deep, tmp_path):
    source = replace(deep.entry, source=entry("fake").source)
    with pytest.raises(SourceRefused, match="fixed transform"):
        open_tuning(source, deep.folder, deep.card.digest, TEXTS, scratch=tmp_path, threads=1)


def test_weights_of_another_backbone_are_refused(deep, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = shutil.copytree(deep.entry.source.path, tmp_path / "weights")
    path = weights / "model.safetensors"
    save_file({name: tensor * 2 for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    other = Entry("deep", "text", "", "", Folder(str(weights)))
    with pytest.raises(SourceRefused, match="weights of 'deep' have changed"):
        open_tuning(other, deep.folder, deep.card.digest, TEXTS, scratch=tmp_path, threads=1)


def test_sounds_of_unlike_length_are_refused(tuning):
    card = replace(tuning.backbone.card, modality="audio")
    backbone = type("Listening", (), {"card": card})()
    listening = replace(tuning, backbone=backbone)
    brought = tuning._brought[1]
    with pytest.raises(SourceRefused, match="sounds of unlike length cannot be trained on together"):
        listening._check_lengths(brought)
    listening._check_lengths(replace(brought, ragged=False))


def test_sounds_of_one_length_cost_that_length_and_are_not_decoded_for_it(tuning):
    card = replace(tuning.backbone.card, modality="audio", recipe={"fixed_samples": 480_000})
    listening = replace(tuning, backbone=type("Listening", (), {"card": card})(), _sizes=None)
    assert listening.sizes().tolist() == [480_000] * 5


EXPORTING = """
import hashlib, sys
from pathlib import Path
from models.catalog import Entry
from models.sources import Folder
from models.trunks.tuning import open_tuning

nothing = lambda *_args: None
folder, scratch = Path(sys.argv[2]), Path(sys.argv[4])
entry = Entry("deep", "text", "", "", Folder(sys.argv[1]))
tuning = open_tuning(entry, folder, sys.argv[3], ["my card", "lost"], scratch=scratch, threads=1)
tuning.bring(1, on_progress=nothing, check=nothing)
print(hashlib.sha256(tuning.export(tuning.module(1), 1)).hexdigest(), tuning.card.extras["block2.onnx"])
"""


@pytest.mark.slow
def test_every_process_exports_the_same_bytes(deep, tmp_path):
    seen = set()
    for seed in ("1", "2"):
        folder = shutil.copytree(deep.folder, tmp_path / seed)
        arguments = [deep.entry.source.path, str(folder), deep.card.digest, str(tmp_path)]
        seen.add(
            subprocess.run(
                [sys.executable, "-c", EXPORTING, *arguments],
                cwd=Path(__file__).parents[3],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    [digests] = seen
    assert len(digests.split()) == 2


def test_prepared_items_are_kept_as_they_are(tuning):
    kept = tuning._brought[None]
    for i, item in enumerate(tuning.backbone.prepare(TEXTS)):
        assert isinstance(item, Encoded)
        np.testing.assert_array_equal(kept.item(i), item.values)
    assert kept.rows.dtype == np.int64
