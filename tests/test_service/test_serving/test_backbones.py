"""Backbones are opened as soon as a worker has hosted them."""

import asyncio

import pytest

from models.catalog import entry
from models.errors import BackboneUnknown, WeightsCorrupt
from models.hosted import host, hosted
from service.errors import NotReady
from service.serving import backbones as module
from service.serving.backbones import Backbones


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    backbones = Backbones(("fake",), tmp_path, lanes=1, max_waiting=100)
    yield backbones
    backbones.close()


def _host(folder):
    return host(entry("fake"), folder, lambda *_: None)


def test_a_name_that_the_catalogue_has_not_stops_the_start(tmp_path):
    with pytest.raises(BackboneUnknown, match="GRAFT_BACKBONES names 'bert'; the catalogue has fake"):
        Backbones(("bert",), tmp_path, lanes=1, max_waiting=1)


def test_only_what_is_hosted_here_may_be_asked_for(made):
    made.check_known("fake")
    with pytest.raises(BackboneUnknown, match="hosted are fake"):
        made.check_known("minilm-l6")


async def test_a_backbone_is_ready_as_soon_as_it_is_hosted(made, tmp_path):
    assert made.waiting_for() == ["fake"]
    assert [(s.state, s.card) for s in made.standings()] == [("preparing", None)]
    preparing = asyncio.create_task(made.prepare())
    await asyncio.sleep(0.05)
    assert not preparing.done()
    card = await asyncio.to_thread(_host, tmp_path)
    await asyncio.wait_for(preparing, 20)
    assert made.waiting_for() == []
    assert [(s.state, s.card) for s in made.standings()] == [("ready", card)]
    z, _ = await (await made.encoder("fake", card.digest)).embed(["x"])
    assert z.shape == (1, *card.taps["pooled"])


async def test_a_backbone_is_opened_once_whoever_asks(made, tmp_path, monkeypatch):
    card = _host(tmp_path)
    opened, real = [], module.open_backbone
    monkeypatch.setattr(module, "open_backbone", lambda *a, **k: opened.append(a) or real(*a, **k))
    encoders = await asyncio.gather(made.prepare(), *(made.encoder("fake", card.digest) for _ in range(5)))
    assert len(opened) == 1
    assert len(set(encoders[1:])) == 1


async def test_an_older_build_that_is_still_here_is_opened_and_one_that_is_not_says_so(made, tmp_path):
    card = _host(tmp_path)
    (tmp_path / "fake.json").unlink()
    assert hosted(tmp_path) == {}
    assert (await made.encoder("fake", card.digest)).backbone.card == card
    with pytest.raises(NotReady, match="digest 000000000000"):
        await made.encoder("fake", "0" * 64)


async def test_a_broken_backbone_is_tried_again_until_it_is_mended(made, tmp_path, caplog):
    card = _host(tmp_path)
    graph = tmp_path / card.digest / "pooled.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(b"broken")
    with pytest.raises(WeightsCorrupt):
        await made.encoder("fake", card.digest)
    preparing = asyncio.create_task(made.prepare())
    async with asyncio.timeout(10):
        while not caplog.records:
            await asyncio.sleep(0.01)
    assert (preparing.done(), made.waiting_for()) == (False, ["fake"])
    graph.write_bytes(whole)
    await asyncio.wait_for(preparing, 20)
    assert made.waiting_for() == []
