"""Jobs of kind host, what names mean when a job begins, and folders that nothing needs any more."""

import os
from dataclasses import asdict, replace

import pytest

from models.catalog import entry
from models.hosted import host
from service.errors import NotReady
from service.jobs.hosting import Hosting, Hosts, sweep_hosted
from service.registry import backbones, jobs
from service.registry.backbones import Own

FAKE = entry("fake")


@pytest.fixture
def folder(home):
    return home / "backbones"


def _ask(records, id_="mine", tenant="default"):
    named = replace(FAKE, id=id_)
    job = records.job(kind="host", tenant=tenant, request={"backbone": id_, "entry": named.to_dict()})
    backbones.add(records.engine, Own(tenant, named, (), job.id, None, 1.0), job, None, 10)
    jobs.begin(records.engine, job.id, 2.0)
    return job


def _host(records, folder, id_="mine", tenant="default"):
    job = _ask(records, id_, tenant)
    card = host(replace(FAKE, id=id_), folder, lambda *_: None, pointer=False)
    assert Hosting(records.engine, 60.0).keep(job, {"card": asdict(card), "torch": False}, 3.0)
    return card


def test_the_child_hosts_the_entry_without_a_name_of_its_own(records):
    job = _ask(records)
    assert Hosting(records.engine, 60.0).command(job) == {
        "do": "host",
        "entry": replace(FAKE, id="mine").to_dict(),
        "pointer": False,
    }


def test_what_the_child_hosted_is_the_tenants(records, folder):
    card = _host(records, folder)
    own = backbones.find(records.engine, "default", "mine")
    assert (own.state, own.card.digest, own.card.id) == ("ready", card.digest, "mine")


def test_a_name_means_ones_own_first_then_the_operators(records, folder):
    hosts = Hosts(records.engine, folder)
    card = _host(records, folder, "mine", "acme")
    assert hosts.digest("acme", "mine") == card.digest
    with pytest.raises(NotReady, match="'mine' is not hosted yet"):
        hosts.digest("globex", "mine")
    with pytest.raises(NotReady):
        hosts.digest("globex", "fake")
    operators = host(FAKE, folder, lambda *_: None)
    assert hosts.digest("globex", "fake") == operators.digest
    _ask(records, "fake", "acme")
    with pytest.raises(NotReady):
        hosts.digest("acme", "fake")


def test_candidates_that_are_gone_are_left_out_unless_all_are(records, folder):
    hosts = Hosts(records.engine, folder)
    card = _host(records, folder)
    assert hosts.candidates("default", ["gone", "mine"]) == [["mine", card.digest]]
    assert hosts.candidates("default", []) == []
    with pytest.raises(NotReady, match="None of the backbones gone, lost"):
        hosts.candidates("default", ["gone", "lost"])


class TestSweep:
    def _sweep(self, folder, keep=(), now_s=1e12):
        return sweep_hosted(folder, keep, 100.0, now_s)

    def test_what_nothing_needs_goes_when_it_is_old(self, folder):
        card = host(replace(FAKE, id="mine"), folder, lambda *_: None, pointer=False)
        home = folder / card.digest
        written_s = home.stat().st_mtime
        assert self._sweep(folder, now_s=written_s + 99) == 0
        assert self._sweep(folder, keep={card.digest}) == 0
        assert home.is_dir()
        assert self._sweep(folder) == 1
        assert not home.exists()

    def test_what_a_name_points_to_stays(self, folder):
        card = host(FAKE, folder, lambda *_: None)
        assert self._sweep(folder) == 0
        assert (folder / card.digest).is_dir()

    def test_what_a_killed_process_left_goes(self, folder):
        left, new = folder / ".added-left", folder / ".added-new"
        for staging in (left, new):
            staging.mkdir(parents=True)
            (staging / "pooled.onnx").write_bytes(b"half of it")
        os.utime(left, (0, 0))
        assert self._sweep(folder) == 0
        assert (left.exists(), new.exists()) == (False, True)

    def test_other_files_are_not_touched(self, folder):
        folder.mkdir()
        (folder / "lock.json").write_text("{}")
        (folder / ".staging").mkdir()
        assert self._sweep(folder) == 0
        assert {path.name for path in folder.iterdir()} == {".staging", "lock.json"}
        assert self._sweep(folder / "absent") == 0
