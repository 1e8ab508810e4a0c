"""Trunks are opened once, as many as there is room for, and only from the files that were recorded."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import numpy_helper, parser

from models.catalog import entry
from models.durable import replace_file
from models.errors import WeightsCorrupt
from models.feeds import feed
from models.hosted import host, open_backbone
from models.weights import sha256_file
from service.errors import NotReady
from service.serving import trunks as module
from service.serving.trunks import Trunks

TABLE = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
SOURCE = """
<ir_version: 10, opset_import: ["": 20]>
g (int64[n, t] input_ids, int64[n, t] attention_mask) => (float[n, t, 4] hidden_states)
{ hidden_states = Gather (table, input_ids) }
"""


@pytest.fixture
def card(tmp_path):
    """The fake backbone with two blocks, which are alike."""
    card = host(entry("fake"), tmp_path, lambda *_: None)
    home = tmp_path / card.digest
    graph = parser.parse_model(SOURCE)
    graph.graph.initializer.append(numpy_helper.from_array(TABLE, "table"))
    blocks = ("block1", "block2")
    for block in blocks:
        (home / f"{block}.onnx").write_bytes(graph.SerializeToString())
    tapped = dataclasses.replace(
        card,
        taps=card.taps | dict.fromkeys(blocks, (-1, 4)),
        extras={f"{block}.onnx": sha256_file(home / f"{block}.onnx") for block in blocks},
    )
    replace_file(home / "card.json", dataclasses.asdict(tapped))
    return card


@pytest.fixture
def size_bytes(card, tmp_path):
    return Trunks(tmp_path).open(card.digest, "block1").size_bytes


def test_it_gives_activations_and_what_the_backbone_takes(card, tmp_path):
    batch = open_backbone(tmp_path, card.digest, threads=1).prepare(["some text", "x"])
    given = Trunks(tmp_path).open(card.digest, "block1").run(batch)
    assert set(given) == {"input_ids", "attention_mask", "hidden_states"}
    for row, item in zip(given["hidden_states"], batch, strict=True):
        np.testing.assert_array_equal(row[: item.size], TABLE[item.values])


def test_before_all_blocks_nothing_is_opened(card, tmp_path):
    batch = open_backbone(tmp_path, card.digest, threads=1).prepare(["some text", "x"])
    trunks = Trunks(tmp_path)
    given = trunks.at(card, "input").run(batch)
    for name, array in feed(card, batch).items():
        np.testing.assert_array_equal(given[name], array)
    assert len(trunks) == 0


def test_threads_that_come_at_once_open_it_once(card, tmp_path, monkeypatch):
    opened, real, together = [], module.open_session, threading.Barrier(4)
    monkeypatch.setattr(module, "open_session", lambda *a, **k: opened.append(a) or real(*a, **k))
    trunks = Trunks(tmp_path)

    def come(_):
        together.wait(10)
        return trunks.at(card, "block1")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(come, range(4)))
    assert len(opened) == 1
    assert all(trunk is found[0] for trunk in found)


def test_the_least_recently_used_leaves(card, tmp_path, size_bytes):
    trunks = Trunks(tmp_path, size_bytes)
    trunks.open(card.digest, "block1")
    trunks.open(card.digest, "block2")
    assert trunks._open.held() == [(card.digest, "block2")]
    assert trunks.at(card, "block1").run
    assert trunks._open.held() == [(card.digest, "block1")]
    assert size_bytes >= (tmp_path / card.digest / "block1.onnx").stat().st_size


def test_those_of_one_backbone_can_be_let_go(card, tmp_path):
    trunks = Trunks(tmp_path)
    trunks.open(card.digest, "block1")
    trunks.drop("0" * 64)
    assert len(trunks) == 1
    trunks.drop(card.digest)
    assert len(trunks) == 0


def test_a_tap_that_is_not_here_says_what_to_do(card, tmp_path):
    with pytest.raises(NotReady, match=r"has no tap 'block3' here; restore the folder"):
        Trunks(tmp_path).open(card.digest, "block3")


def test_a_file_that_is_not_the_recorded_one_is_refused(card, tmp_path):
    with (tmp_path / card.digest / "block1.onnx").open("ab") as file:
        file.write(b"more")
    trunks = Trunks(tmp_path)
    with pytest.raises(WeightsCorrupt):
        trunks.open(card.digest, "block1")
    assert trunks.open(card.digest, "block2")
