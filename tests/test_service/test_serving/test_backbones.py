"""Backbones are opened as soon as a worker has hosted them."""

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from models.catalog import entry
from models.errors import BackboneUnknown, WeightsCorrupt
from models.hosted import host, hosted
from service.errors import NotReady
from service.registry.backbones import CHANGED, Own
from service.registry.events import Event
from service.serving import backbones as module
from service.serving import opening
from service.serving.backbones import Backbones
from service.serving.facts import BackboneTap


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
    with pytest.raises(BackboneUnknown, match=r"GRAFT_BACKBONES names 'bert'; the catalogue has .*fake"):
        Backbones(("bert",), tmp_path, lanes=1, max_waiting=1)


def test_only_what_is_hosted_here_may_be_asked_for(made):
    made.check_known("acme", "fake")
    with pytest.raises(BackboneUnknown, match="hosted are fake"):
        made.check_known("acme", "minilm-l6")


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
    opened, real = [], opening.open_backbone
    monkeypatch.setattr(opening, "open_backbone", lambda *a, **k: opened.append(a) or real(*a, **k))
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


@pytest.mark.parametrize(
    ("largest_bytes", "provider", "threads"),
    [(2**30, "cpu", [1, 3]), (10, "cpu", [3]), (2**30, "cuda float16", [1])],
    ids=["small", "large", "on a GPU"],
)
async def test_weights_are_held_twice_where_they_are_small_and_on_the_cpu(
    tmp_path, monkeypatch, largest_bytes, provider, threads
):
    card, opened, real = _host(tmp_path), [], opening.open_backbone

    def open_backbone(folder, digest, *, threads, limits, tap):
        opened.append(threads)
        backbone = real(folder, digest, threads=threads, limits=limits, tap=tap)
        monkeypatch.setattr(type(backbone), "provider", provider)
        return backbone

    monkeypatch.setattr(opening, "open_backbone", open_backbone)
    monkeypatch.setattr(opening, "ONE_SESSION_BYTES", largest_bytes)
    made = Backbones(("fake",), tmp_path, lanes=3, max_waiting=9)
    z, _ = await (await made.encoder("fake", card.digest)).embed(["x", "y"])
    assert opened == threads
    assert z.shape == (2, *card.taps["pooled"])
    made.close()


async def test_of_two_reads_at_once_the_later_one_counts(tmp_path):
    """The first reads what tenants had, is held up, and must not put it in place of what the second has read."""
    begun, go_on = threading.Event(), threading.Event()
    reads = iter([[], [Own("acme", replace(entry("fake"), id="mine"), (), "job_1", None, 0.0)]])

    def owned():
        rows = next(reads)
        if not rows:
            begun.set()
            go_on.wait(5)
        return rows

    made = Backbones((), tmp_path, lanes=1, max_waiting=1, owned=owned)
    first = asyncio.create_task(asyncio.to_thread(made.refresh))
    await asyncio.to_thread(begun.wait, 5)
    second = asyncio.create_task(asyncio.to_thread(made.refresh))
    await asyncio.wait({second}, timeout=0.05)
    go_on.set()
    await asyncio.gather(first, second)
    assert [standing.id for standing in made.visible("acme")] == ["mine"]


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


class Registry:
    """What tenants host, as the registry would tell it."""

    def __init__(self):
        self.rows, self.fitted, self.broken = [], set(), 0

    def owned(self):
        if self.broken:
            self.broken -= 1
            raise OSError("the database is away")
        return list(self.rows)

    def needed(self):
        return {row.card.digest for row in self.rows if row.card} | self.fitted

    def host(self, tenant, id_, card=None, **more):
        self.rows.append(Own(tenant, replace(entry("fake"), id=id_), (), f"job_{id_}", card, 1.0, **more))


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def tenants(tmp_path, monkeypatch, registry):
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    backbones = Backbones(
        ("minilm-l6",), tmp_path, lanes=1, max_waiting=100, owned=registry.owned, needed=registry.needed
    )
    yield backbones
    backbones.close()


async def _until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def _states(backbones, tenant):
    return {standing.id: standing.state for standing in backbones.visible(tenant)}


async def test_what_runs_it_is_said_with_the_reason(made, tmp_path, monkeypatch):
    card = await asyncio.to_thread(_host, tmp_path)
    assert (made.find("acme", "fake").provider, made.find("acme", "fake").provider_why) == ("", "")
    await asyncio.wait_for(made.prepare(), 20)
    monkeypatch.setattr(module, "why_provider", lambda: ("cpu", "there is no driver"))
    assert (made.find("acme", "fake").provider, made.find("acme", "fake").provider_why) == ("cpu", "there is no driver")
    monkeypatch.setattr(module, "why_provider", lambda: ("cuda", "a device"))
    assert made.find("acme", "fake").provider_why == "cuda was tried (a device) and did not work; the log says why"
    assert card.digest == made.find("acme", "fake").card.digest


async def test_the_operators_are_never_closed(made, tmp_path):
    card = await asyncio.to_thread(_host, tmp_path)
    await asyncio.wait_for(made.prepare(), 20)
    following = asyncio.create_task(made.follow())
    await _until(lambda: not made._changed)
    await asyncio.sleep(0.05)
    assert (card.digest, "pooled") in made._encoders
    following.cancel()


class TestTaps:
    """Beside the pooled embedding a backbone may have others, and blocks at which adapters begin."""

    @pytest.fixture
    def opened(self, monkeypatch):
        """Taps in the order in which backbones were opened for them."""
        real, opened = opening.open_backbone, []

        def open_backbone(folder, digest, *, threads, limits, tap):
            opened.append(tap)
            return real(folder, digest, threads=threads, limits=limits)

        monkeypatch.setattr(opening, "open_backbone", open_backbone)
        return opened

    def facts(self, digest, tap):
        return SimpleNamespace(
            backbone="fake", backbone_digest=digest, tap=tap, tuned=tap.startswith("block4"), backbones=()
        )

    async def test_each_embedding_has_an_encoder_of_its_own(self, made, tmp_path, opened):
        card = _host(tmp_path)
        pooled, blocks = await made.encoder("fake", card.digest), await made.encoder("fake", card.digest, "blocks")
        assert pooled is not blocks
        assert await made.encoder("fake", card.digest, "blocks") is blocks
        assert opened == ["pooled", "blocks"]

    async def test_what_a_version_stands_on_is_opened_ahead(self, made, tmp_path, opened):
        card = _host(tmp_path)
        for tap in ("pooled", "input", "blocks", "blocks"):
            await asyncio.to_thread(made.open_for, self.facts(card.digest, tap))
        assert opened == ["blocks"]
        await made.encoder("fake", card.digest, "blocks")
        assert opened == ["blocks"]

    async def test_all_that_a_version_averages_over_are_opened_ahead(self, made, tmp_path, opened):
        card = _host(tmp_path)
        facts = self.facts(card.digest, "pooled")
        facts.backbones = tuple(BackboneTap("fake", card.digest, tap, (), "truncate") for tap in ("pooled", "blocks"))
        await asyncio.to_thread(made.open_for, facts)
        assert opened == ["pooled", "blocks"]
        facts.backbones += (BackboneTap("gone", "0" * 64, "pooled", (), "truncate"),)
        with pytest.raises(NotReady, match="digest 000000000000"):
            made.open_for(facts)

    @pytest.mark.parametrize("tap", ["blocks", "block4"])
    async def test_what_is_not_here_says_so_ahead(self, made, tmp_path, tap):
        with pytest.raises(NotReady, match="digest 000000000000"):
            made.open_for(self.facts("0" * 64, tap))
        card = _host(tmp_path)
        with pytest.raises((NotReady, BackboneUnknown), match=f"without an embedding '{tap}'|no tap '{tap}'"):
            made.open_for(self.facts(card.digest, tap))

    async def test_all_of_one_backbone_are_closed_with_it(self, tenants, registry, tmp_path, opened, monkeypatch):
        card, dropped = _host(tmp_path), []
        monkeypatch.setattr(tenants._trunks, "drop", dropped.append)
        encoders = [await tenants.encoder("mine", card.digest, tap) for tap in ("pooled", "blocks")]
        following = asyncio.create_task(tenants.follow())
        await _until(lambda: all(encoder._closed for encoder in encoders))
        assert tenants._encoders == {}
        assert set(dropped) == {card.digest}
        following.cancel()


class TestTenants:
    async def test_each_sees_its_own_and_the_operators(self, tenants, registry, tmp_path):
        card = replace(_host(tmp_path), id="mine")
        registry.host("acme", "mine", card, state="ready")
        registry.host("acme", "waits")
        registry.host("globex", "broken", state="failed", error={"detail": "no such revision"})
        assert _states(tenants, "acme") == {"minilm-l6": "preparing"}
        tenants.refresh()
        assert _states(tenants, "acme") == {"mine": "preparing", "minilm-l6": "preparing", "waits": "preparing"}
        assert _states(tenants, "globex") == {"broken": "failed", "minilm-l6": "preparing"}
        assert tenants.find("globex", "broken").error == {"detail": "no such revision"}
        with pytest.raises(BackboneUnknown, match="'mine' here; hosted are broken, minilm-l6"):
            tenants.check_known("globex", "mine")
        assert tenants.waiting_for() == ["minilm-l6"], "readiness is a matter of the operator's alone"

    async def test_what_is_hosted_is_opened_by_itself_and_ready_then(self, tenants, registry, tmp_path):
        following = asyncio.create_task(tenants.follow())
        await _until(lambda: not tenants._changed)
        registry.host("acme", "mine", replace(_host(tmp_path), id="mine"), state="ready")
        await asyncio.sleep(0.05)
        assert "mine" not in _states(tenants, "acme")
        tenants.notice(Event(1, "acme", "intents", "published"))
        await asyncio.sleep(0.05)
        assert "mine" not in _states(tenants, "acme")
        tenants.notice(Event(2, "acme", "mine", CHANGED))
        await _until(lambda: _states(tenants, "acme").get("mine") == "ready")
        standing = tenants.find("acme", "mine")
        assert (standing.card.id, standing.own, standing.job, standing.provider) == ("mine", True, "job_mine", "cpu")
        following.cancel()

    async def test_it_can_be_opened_at_once(self, tenants, registry, tmp_path):
        registry.host("acme", "mine", _host(tmp_path), state="ready")
        tenants.refresh()
        await tenants.warm("acme", "mine")
        assert tenants.find("acme", "mine").state == "ready"
        await tenants.warm("acme", "nobodys")

    async def test_what_hides_the_operators_name_is_ones_own(self, tenants, registry):
        registry.host("acme", "minilm-l6")
        tenants.refresh()
        assert [standing.own for standing in tenants.visible("acme")] == [True]
        assert tenants.find("acme", "minilm-l6").own
        assert not tenants.find("globex", "minilm-l6").own

    async def test_a_deleted_one_is_closed_when_nothing_needs_it(self, tenants, registry, tmp_path):
        card = _host(tmp_path)
        registry.host("acme", "mine", card, state="ready")
        registry.host("globex", "theirs", card, state="ready")
        following = asyncio.create_task(tenants.follow())
        await _until(lambda: (card.digest, "pooled") in tenants._encoders)
        encoder = tenants._encoders[card.digest, "pooled"]
        for change in (registry.rows.pop, lambda: registry.fitted.add(card.digest), registry.rows.pop):
            change()
            tenants.notice(Event(1, "acme", "mine", CHANGED))
            await _until(lambda: not tenants._changed)
            await asyncio.sleep(0.05)
            assert (card.digest, "pooled") in tenants._encoders
        registry.fitted.clear()
        tenants.notice(Event(2, "globex", "theirs", CHANGED))
        await _until(lambda: (card.digest, "pooled") not in tenants._encoders)
        await _until(lambda: encoder._closed)
        following.cancel()

    async def test_one_that_cannot_be_opened_does_not_hold_up_the_others(self, tenants, registry, tmp_path, caplog):
        card = _host(tmp_path)
        registry.host("acme", "a-broken", replace(card, digest="0" * 64), state="ready")
        registry.host("acme", "mine", card, state="ready")
        following = asyncio.create_task(tenants.follow())
        await _until(lambda: _states(tenants, "acme").get("mine") == "ready")
        assert _states(tenants, "acme")["a-broken"] == "preparing"
        assert "a backbone cannot be opened" in [record.message for record in caplog.records]
        following.cancel()

    async def test_a_registry_that_is_away_is_asked_again(self, tenants, registry, tmp_path):
        registry.broken = 2
        registry.host("acme", "mine", _host(tmp_path), state="ready")
        following = asyncio.create_task(tenants.follow())
        await _until(lambda: _states(tenants, "acme").get("mine") == "ready")
        following.cancel()
