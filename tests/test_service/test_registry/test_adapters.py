"""One job publishes one version, whatever happens in between; aliases move atomically."""

import json
import threading
from dataclasses import replace

import pytest
from sqlalchemy import text

from service.database.engine import writing
from service.errors import ArtifactCorrupt, Conflict, NotFound, PreconditionFailed
from service.registry import adapters, events, jobs, publishing
from service.registry.adapters import LATEST, LIVE, manifest_path


def _publish(records, draft, at_s=3.0):
    return publishing.publish(records.engine, records.home, draft, at_s)


def _aliases(records, name="intents"):
    found = adapters.get(records.engine, "default", name).aliases
    return {alias: (held.version, held.revision) for alias, held in found.items()}


def _set(records, alias, number, if_match=None, name="intents"):
    return adapters.set_alias(records.engine, "default", name, alias, number, if_match=if_match, now_s=9.0)


def _remove(records, number, name="intents"):
    adapters.remove_version(records.engine, records.home, records.blobs, "default", name, number, 9.0)


class TestPublish:
    def test_a_version_is_a_manifest_a_row_aliases_an_event_and_the_jobs_end(self, records):
        job = records.running_job()
        assert _publish(records, records.draft(job, metrics={"accuracy": 0.9})) == 1
        adapter = adapters.get(records.engine, "default", "intents")
        version = adapter.versions[1]
        assert (version.metrics, version.promoted) == ({"accuracy": 0.9}, {"live": True, "reason": "because"})
        written = manifest_path(records.home, "default", "intents", 1).read_bytes()
        assert written == version.manifest.to_json()
        assert _aliases(records) == {LIVE: (1, 1), LATEST: (1, 1)}
        assert [(e.adapter, e.kind) for e in events.since(records.engine, 0)] == [("intents", "published")]
        ended = jobs.get(records.engine, None, job.id)
        assert (ended.state, ended.version, ended.progress, ended.seconds) == ("succeeded", 1, 1.0, {"fit": 0.1})
        assert (adapter.created_at, adapter.updated_at, ended.finished_at) == (3.0, 3.0, 3.0)

    def test_again_is_the_same_version(self, records):
        draft = records.draft(records.running_job())
        assert [_publish(records, draft) for _ in range(3)] == [1, 1, 1]
        assert list(adapters.get(records.engine, "default", "intents").versions) == [1]

    def test_by_many_threads_at_once_is_one_version(self, records):
        draft, numbers = records.draft(records.running_job()), []
        start = threading.Barrier(6)

        def publish():
            start.wait()
            numbers.append(_publish(records, draft))

        threads = [threading.Thread(target=publish) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert numbers == [1] * 6
        assert list(adapters.get(records.engine, "default", "intents").versions) == [1]
        assert len(events.since(records.engine, 0)) == 1

    def test_of_two_jobs_at_once_gives_two_numbers(self, records):
        drafts = [records.draft(records.running_job()) for _ in range(2)]
        numbers = []
        threads = [threading.Thread(target=lambda d=draft: numbers.append(_publish(records, d))) for draft in drafts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == [1, 2]
        assert _aliases(records)[LATEST] == (2, 2)

    def test_a_manifest_that_its_own_crashed_publish_left_is_taken_up(self, records):
        draft = records.draft(records.running_job())
        path = manifest_path(records.home, "default", "intents", 1)
        path.parent.mkdir(parents=True)
        path.write_bytes(draft.manifest(1).to_json())
        assert _publish(records, draft) == 1

    def test_the_number_of_a_manifest_that_another_job_left_is_skipped(self, records):
        draft = records.draft(records.running_job())
        orphan = replace(draft.manifest(1), job="job_crashed").to_json()
        path = manifest_path(records.home, "default", "intents", 1)
        path.parent.mkdir(parents=True)
        path.write_bytes(orphan)
        assert _publish(records, draft) == 2
        assert path.read_bytes() == orphan
        assert list(adapters.get(records.engine, "default", "intents").versions) == [2]
        assert records.publish() == 3

    def test_a_crash_before_the_commit_leaves_nothing_that_is_read(self, records):
        job = records.running_job()
        draft = records.draft(job)

        def crash(_live):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _publish(records, replace(draft, decide=crash))
        assert manifest_path(records.home, "default", "intents", 1).exists()
        assert jobs.get(records.engine, None, job.id).state == "running"
        with pytest.raises(NotFound):
            adapters.get(records.engine, "default", "intents")
        assert adapters.page(records.engine, "default", limit=9, after=None).data == ()
        assert _publish(records, draft) == 1

    def test_a_version_whose_files_are_gone_is_not_published(self, records):
        job = records.running_job()
        draft = records.draft(job)
        records.blobs.delete(draft.manifest(1).files["head.safetensors"].sha256)
        with pytest.raises(ArtifactCorrupt, match=r"head\.safetensors of intents:1"):
            _publish(records, draft)
        assert jobs.get(records.engine, None, job.id).state == "running"
        with pytest.raises(NotFound):
            adapters.get(records.engine, "default", "intents")

    @pytest.mark.parametrize("state", ["cancelled", "failed"])
    def test_a_job_that_has_ended_publishes_nothing(self, records, state):
        job = records.stored_job(state=state)
        assert _publish(records, records.draft(job)) is None
        assert jobs.get(records.engine, None, job.id) == job
        assert not manifest_path(records.home, "default", "intents", 1).exists()

    def test_a_job_that_was_asked_to_stop_publishes_nothing(self, records):
        job = records.running_job()
        jobs.ask_cancel(records.engine, "default", job.id, 2.5)
        assert _publish(records, records.draft(job)) is None
        with pytest.raises(NotFound):
            adapters.get(records.engine, "default", "intents")

    def test_a_job_that_was_given_back_after_its_fit_still_publishes(self, records):
        job = records.running_job()
        jobs.give_back(records.engine, job.id)
        assert _publish(records, records.draft(job)) == 1
        assert jobs.get(records.engine, None, job.id).state == "succeeded"

    def test_what_decides_sees_the_live_version_and_live_stays_when_it_says_so(self, records):
        seen = []
        records.publish()
        draft = records.draft(records.running_job())

        def decide(live):
            seen.append(live.manifest.number)
            return False, "worse"

        assert _publish(records, replace(draft, decide=decide)) == 2
        assert seen == [1]
        assert _aliases(records) == {LIVE: (1, 1), LATEST: (2, 2)}
        assert adapters.get(records.engine, "default", "intents").versions[2].promoted["reason"] == "worse"

    def test_tenants_have_adapters_of_their_own(self, records):
        assert records.publish() == 1
        assert records.publish(tenant="other") == 1
        assert manifest_path(records.home, "other", "intents", 1).exists()


class TestAliases:
    def test_a_switch_changes_the_etag_even_back_to_where_it_was(self, records):
        records.publish()
        records.publish()
        etags = [_set(records, LIVE, number).etag for number in (1, 2, 1)]
        assert len(set(etags)) == 3
        assert adapters.get(records.engine, "default", "intents").aliases[LIVE].etag == etags[-1]

    def test_if_match_guards_the_switch(self, records):
        records.publish()
        records.publish()
        old = adapters.get(records.engine, "default", "intents").aliases[LIVE].etag
        new = _set(records, LIVE, 1, old).etag
        with pytest.raises(PreconditionFailed, match=r"is at .*version 1"):
            _set(records, LIVE, 2, old)
        assert _set(records, LIVE, 2, new).version == 2
        assert _set(records, LIVE, 1, "*").version == 1

    def test_if_match_on_an_alias_that_is_not_there(self, records):
        records.publish()
        with pytest.raises(PreconditionFailed, match="does not exist"):
            _set(records, "canary", 1, "*")
        assert _set(records, "canary", 1).revision == 1

    def test_of_many_guarded_switches_at_once_one_wins(self, records):
        records.publish()
        etag = adapters.get(records.engine, "default", "intents").aliases[LIVE].etag
        won, lost = [], []

        def switch():
            try:
                won.append(_set(records, LIVE, 1, etag))
            except PreconditionFailed as error:
                lost.append(error)

        threads = [threading.Thread(target=switch) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(won), len(lost)) == (1, 5)

    def test_what_cannot_be_switched(self, records):
        records.publish()
        with pytest.raises(Conflict, match="latest"):
            _set(records, LATEST, 1)
        with pytest.raises(NotFound, match="no version 7; it has 1"):
            _set(records, LIVE, 7)
        with pytest.raises(NotFound, match="no adapter 'x'"):
            _set(records, LIVE, 1, name="x")

    def test_a_switch_is_announced(self, records):
        records.publish()
        _set(records, "canary", 1)
        assert [event.kind for event in events.since(records.engine, 0)] == ["published", "alias"]


class TestRemove:
    def test_takes_manifest_files_and_the_aliases_place(self, records):
        records.publish(weight=1.0)
        records.publish(weight=2.0, moves=False)
        digest = (
            adapters.get(records.engine, "default", "intents").versions[2].manifest.files["head.safetensors"].sha256
        )
        _remove(records, 2)
        assert not manifest_path(records.home, "default", "intents", 2).exists()
        assert not records.blobs.path(digest).exists()
        assert _aliases(records) == {LIVE: (1, 1), LATEST: (1, 3)}
        assert records.publish() == 3

    def test_keeps_files_that_another_version_shares(self, records):
        records.publish("a")
        records.publish("b")
        digest = adapters.get(records.engine, "default", "b").versions[1].manifest.files["head.safetensors"].sha256
        _remove(records, 1, "a")
        assert records.blobs.path(digest).exists()
        _remove(records, 1, "b")
        assert not records.blobs.path(digest).exists()

    def test_refuses_what_an_alias_holds(self, records):
        records.publish()
        records.publish()
        _set(records, "canary", 1)
        with pytest.raises(Conflict, match=r"alias canary points to.*aliases/canary first \(there are 2\)"):
            _remove(records, 1)

    @pytest.mark.parametrize("asked", [{"parents": ["intents:1"]}, {"members": [{"ref": "intents:1", "labels": {}}]}])
    def test_refuses_what_a_job_makes_another_version_of(self, records, asked):
        _publish(records, records.draft(records.running_job()))
        other = jobs.Job.new("job_grows", "default", "adapt", asked, 4.0, "grown")
        jobs.add(records.engine, other, None, max_queued=9)
        with pytest.raises(Conflict, match=r"job_grows makes another of it .* POST /v1/jobs/job_grows/cancel"):
            _remove(records, 1)
        jobs.ask_cancel(records.engine, "default", "job_grows", 5.0)
        _remove(records, 1)

    def test_of_the_last_version_takes_the_adapter_and_its_numbers_are_not_given_again(self, records):
        records.publish()
        _remove(records, 1)
        with pytest.raises(NotFound):
            adapters.get(records.engine, "default", "intents")
        with pytest.raises(NotFound, match="no adapter"):
            _set(records, LIVE, 1)
        with pytest.raises(NotFound):
            _remove(records, 1)
        assert records.publish() == 2

    def test_looks_at_aliases_under_the_lock(self, records):
        """A switch that commits while a removal waits for the lock must not leave an alias without its version."""
        records.publish()
        records.publish()
        refused = []

        def remove():
            try:
                _remove(records, 1)
            except Conflict as error:
                refused.append(error)

        with writing(records.engine) as connection:
            thread = threading.Thread(target=remove)
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            connection.execute(text("update aliases set version = 1 where alias = 'live'"))
        thread.join(10)
        assert len(refused) == 1
        assert _aliases(records)[LIVE] == (1, 2)


def test_pages_go_by_name_and_leave_out_adapters_without_versions(records):
    for name in ("c", "a", "d", "b"):
        records.publish(name)
    _remove(records, 1, "b")
    first = adapters.page(records.engine, "default", limit=2, after=None)
    assert ([item.name for item in first.data], first.has_more) == (["a", "c"], True)
    rest = adapters.page(records.engine, "default", limit=2, after="c")
    assert ([item.name for item in rest.data], rest.has_more) == (["d"], False)


def test_another_tenants_adapter_is_not_found(records):
    records.publish()
    with pytest.raises(NotFound):
        adapters.get(records.engine, "other", "intents")


def test_the_manifest_on_disk_is_json_that_names_the_job(records):
    number = records.publish()
    content = json.loads(manifest_path(records.home, "default", "intents", number).read_text())
    assert (content["name"], content["number"], content["job"]) == ("intents", 1, "job_1")
