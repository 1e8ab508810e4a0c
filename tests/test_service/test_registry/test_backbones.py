"""What a tenant hosts stands and falls with its job; a name is taken once; what is needed is not deleted."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from models.base import Card
from models.catalog import Entry
from models.sources import Hub, OnnxFile
from service.database.tables import versions
from service.errors import Busy, Conflict, NotFound, problem
from service.registry import backbones, events, jobs, publishing, references, requests
from service.registry.backbones import Own

ENTRY = Entry("mine", "image", "MIT", "a hub repository", Hub("o/n"))
CARD = Card(
    id="of-somebody-else",
    modality="image",
    digest="d" * 64,
    taps={"pooled": (8,), "block1": (-1, 8)},
    licence="theirs",
    source="their folder",
    max_tokens=None,
    files={"pooled.onnx": "f" * 64},
    recipe={"opset": 20},
)


class Hosts:
    def __init__(self, records):
        self.records = records
        self.engine = records.engine

    def ask(self, entry=ENTRY, *, tenant="default", blobs=(), at=1.0, key=None, max_queued=1_000):
        """A job that is to host an entry."""
        asked = {"backbone": entry.id, "entry": entry.to_dict()}
        job = self.records.job(kind="host", adapter="", tenant=tenant, request=asked)
        backbones.add(self.engine, Own(tenant, entry, tuple(blobs), job.id, None, at), job, key, max_queued)
        return job

    def host(self, entry=ENTRY, card=CARD, **more):
        job = self.ask(entry, **more)
        assert jobs.begin(self.engine, job.id, 2.0)
        assert backbones.publish(self.engine, job, card, 3.5)
        return job

    def find(self, id_="mine", tenant="default"):
        return backbones.find(self.engine, tenant, id_)


@pytest.fixture
def hosts(records):
    return Hosts(records)


def test_what_is_asked_for_is_preparing_until_it_is_hosted(hosts):
    job = hosts.ask()
    assert hosts.find() == Own("default", ENTRY, (), job.id, None, 1.0, "preparing", None)
    jobs.begin(hosts.engine, job.id, 2.0)
    assert hosts.find().state == "preparing"
    assert backbones.publish(hosts.engine, job, CARD, 3.5)
    assert hosts.find().state == "ready"


def test_the_same_request_twice_at_once_is_told_that_it_is_under_way(hosts):
    key = requests.key_of("default", "a key", 1.0, "backbones")
    job = hosts.ask(key=key)
    with pytest.raises(Conflict, match=r"in use by a request under way; send it again"):
        hosts.ask(key=key)
    assert requests.recall(hosts.engine, key) == job.id


def test_a_hosted_one_is_shown_under_its_owners_words_alone(hosts):
    job = hosts.host()
    assert hosts.find().card == replace(CARD, id="mine", licence="MIT", source="a hub repository")
    ended = jobs.get(hosts.engine, None, job.id)
    assert (ended.state, ended.stage, ended.seconds) == ("succeeded", "done", {"total": 1.5})
    taps = {"pooled": [8], "block1": [-1, 8]}
    assert ended.result == {"backbone": "mine", "digest": "d" * 64, "modality": "image", "taps": taps}


def test_hosting_and_deleting_are_told_to_those_who_follow(hosts):
    hosts.host()
    backbones.remove(hosts.engine, "default", "mine", 9.0)
    told = [(event.adapter, event.kind) for event in events.since(hosts.engine, 0)]
    assert told == [("mine", backbones.CHANGED)] * 2


def test_publishing_again_changes_nothing(hosts):
    job = hosts.host()
    assert not backbones.publish(hosts.engine, job, replace(CARD, digest="e" * 64), 9.0)
    assert hosts.find().card.digest == "d" * 64


def test_a_failed_one_says_why_and_is_replaced(hosts):
    job = hosts.ask()
    jobs.fail(hosts.engine, job.id, problem(NotFound("no such revision"), ""), 3.0)
    failed = hosts.find()
    assert (failed.state, failed.error["detail"]) == ("failed", "no such revision")
    again = hosts.ask(replace(ENTRY, licence="Apache-2.0"))
    now = hosts.find()
    assert (now.state, now.job, now.entry.licence) == ("preparing", again.id, "Apache-2.0")
    assert not backbones.publish(hosts.engine, job, CARD, 4.0)


def test_a_cancelled_one_is_as_if_never_asked_for(hosts):
    job = hosts.ask()
    jobs.ask_cancel(hosts.engine, "default", job.id, 2.0)
    assert hosts.find() is None
    assert backbones.everyones(hosts.engine) == []
    assert not backbones.publish(hosts.engine, job, CARD, 3.0)
    hosts.host()
    assert hosts.find().state == "ready"


def test_one_that_is_cancelled_when_it_is_done_is_not_hosted(hosts):
    job = hosts.ask()
    jobs.begin(hosts.engine, job.id, 2.0)
    jobs.ask_cancel(hosts.engine, "default", job.id, 3.0)
    assert not backbones.publish(hosts.engine, job, CARD, 4.0)
    assert hosts.find().card is None


def test_a_name_is_taken_once_by_each_tenant(hosts):
    job = hosts.ask()
    with pytest.raises(Conflict, match=f"being hosted by {job.id}; wait for it, or POST"):
        hosts.ask()
    hosts.ask(tenant="other")
    jobs.begin(hosts.engine, job.id, 2.0)
    backbones.publish(hosts.engine, job, CARD, 3.0)
    with pytest.raises(Conflict, match="DELETE /v1/backbones/mine"):
        hosts.ask()
    assert {own.tenant: own.state for own in backbones.everyones(hosts.engine)} == {
        "default": "ready",
        "other": "preparing",
    }


def test_a_full_queue_leaves_nothing(hosts):
    with pytest.raises(Busy):
        hosts.ask(max_queued=0)
    assert hosts.find() is None


class TestRemove:
    def test_takes_the_name_back(self, hosts):
        hosts.host()
        backbones.remove(hosts.engine, "default", "mine", 9.0)
        assert hosts.find() is None
        hosts.ask()

    def test_a_failed_one_can_go(self, hosts):
        jobs.fail(hosts.engine, hosts.ask().id, problem(NotFound("x"), ""), 3.0)
        backbones.remove(hosts.engine, "default", "mine", 9.0)
        assert hosts.find() is None

    def test_what_is_not_there_or_anothers_is_not_found(self, hosts):
        hosts.host(tenant="other")
        with pytest.raises(NotFound, match="'mine' of yours"):
            backbones.remove(hosts.engine, "default", "mine", 9.0)

    def test_one_under_way_is_cancelled_first(self, hosts):
        job = hosts.ask()
        with pytest.raises(Conflict, match=f"{job.id}/cancel first"):
            backbones.remove(hosts.engine, "default", "mine", 9.0)

    def test_one_that_versions_stand_on_stays(self, hosts):
        entry = replace(ENTRY, id="fake")  # what versions of the records are fitted on
        hosts.host(entry)
        hosts.host(entry, tenant="other")
        for name in "abcd":
            hosts.records.publish(name)
        with pytest.raises(Conflict, match=r"a:1, b:1, c:1 and more .* \(DELETE /v1/adapters/a/versions/1\)"):
            backbones.remove(hosts.engine, "default", "fake", 9.0)
        backbones.remove(hosts.engine, "other", "fake", 9.0)

    def test_versions_of_another_build_do_not_hold_it(self, hosts):
        hosts.host(replace(ENTRY, id="fake"), replace(CARD, digest="e" * 64))
        hosts.records.publish()
        backbones.remove(hosts.engine, "default", "fake", 9.0)
        assert backbones.everyones(hosts.engine) == []

    @pytest.mark.parametrize("request_", [{"backbone": "mine"}, {"backbone": "auto", "candidates": ["x", "mine"]}])
    def test_one_that_an_unfinished_job_asks_for_stays(self, hosts, request_):
        hosts.host()
        job = hosts.records.stored_job(request={"dataset": "ds_1"} | request_)
        with pytest.raises(Conflict, match=f"in use by {job.id}"):
            backbones.remove(hosts.engine, "default", "mine", 9.0)
        jobs.ask_cancel(hosts.engine, "default", job.id, 9.0)
        backbones.remove(hosts.engine, "default", "mine", 9.0)


def test_uploads_are_pointed_to_until_hosting_has_failed_or_the_backbone_is_deleted(hosts):
    entry = Entry("mine", "image", "", "an uploaded ONNX file", OnnxFile("/blobs/a", "x", "y"))
    job = hosts.ask(entry, blobs=["a" * 64, "b" * 64])
    assert references.digests(hosts.engine) == {"a" * 64, "b" * 64}
    jobs.begin(hosts.engine, job.id, 2.0)
    backbones.publish(hosts.engine, job, CARD, 3.0)
    assert references.digests(hosts.engine) == {"a" * 64, "b" * 64}
    assert hosts.find().blobs == ("a" * 64, "b" * 64)
    backbones.remove(hosts.engine, "default", "mine", 9.0)
    assert references.digests(hosts.engine) == set()
    failed = hosts.ask(entry, blobs=["c" * 64])
    jobs.fail(hosts.engine, failed.id, {}, 3.0)
    assert references.digests(hosts.engine) == set()


def test_digests_are_those_hosted_and_those_fitted_on(hosts):
    hosts.host(card=replace(CARD, digest="e" * 64))
    hosts.ask(replace(ENTRY, id="waits"))
    hosts.records.publish()
    assert backbones.digests(hosts.engine) == {"e" * 64, "d" * 64}


def _averaging(records, name, *taps):
    """A version over several backbones: id and digest of each."""
    job = records.running_job(adapter=name)
    draft = records.draft(job)
    several = tuple(
        {"backbone": id_, "backbone_digest": digest, "tap": "pooled", "parts": [], "long": "truncate"}
        for id_, digest in taps
    )
    made = replace(draft, manifest=lambda number: replace(draft.manifest(number), backbones=several))
    publishing.publish(records.engine, records.home, made, 3.0)


def test_what_a_version_averages_over_is_needed(hosts):
    hosts.host(card=replace(CARD, digest="e" * 64))
    _averaging(hosts.records, "all", ("fake", "d" * 64), ("mine", "e" * 64), ("theirs", "f" * 64))
    assert backbones.digests(hosts.engine) == {"d" * 64, "e" * 64, "f" * 64}
    with pytest.raises(Conflict, match="what all:1 is fitted on"):
        backbones.remove(hosts.engine, "default", "mine", 9.0)


def test_another_build_of_what_a_version_averages_over_can_go(hosts):
    hosts.host()
    _averaging(hosts.records, "all", ("fake", "d" * 64), ("mine", "0" * 64))
    backbones.remove(hosts.engine, "default", "mine", 9.0)
    assert hosts.find() is None


def test_manifests_of_before_there_were_averages_are_read(hosts):
    hosts.records.publish()
    with hosts.engine.begin() as connection:
        (manifest,) = connection.execute(select(versions.c.manifest)).scalars()
        connection.execute(update(versions).values(manifest={k: v for k, v in manifest.items() if k != "backbones"}))
    assert backbones.digests(hosts.engine) == {"d" * 64}
