"""Jobs of kind adapt: what the child is told, and the version that comes of its answer."""

import pytest

from models.catalog import entry
from models.hosted import host
from service.errors import NotFound, NotReady
from service.jobs.adapting import Adapting
from service.jobs.hosting import Hosts
from service.registry import adapters, datasets, jobs, publishing


@pytest.fixture
def job(records):
    dataset, _ = datasets.add(records.engine, records.dataset(facts={"modality": "text", "classes": {"a": 1}}))
    return records.stored_job(request=records.job().request | {"dataset": dataset.id})


@pytest.fixture
def card(home):
    return host(entry("fake"), home / "backbones", lambda *_: None)


@pytest.fixture
def adapting(records, home):
    return Adapting(records.engine, home, Hosts(records.engine, home / "backbones"))


def _outcome(records, job):
    """What the child would answer, taken from a manifest of a draft."""
    given = records.draft(job).manifest(1).to_dict()
    given = {key: value for key, value in given.items() if key not in {"name", "number", "job", "created_at", "format"}}
    return given | {"metrics": {"accuracy": 1.0}, "seconds": {"fit": 0.5}, "torch": False}


def _now(records, job):
    return jobs.get(records.engine, None, job.id)


def test_the_order_has_what_a_fit_needs_and_nothing_of_the_registry(job, adapting, card):
    command = adapting.command(job)
    assert command["do"] == "fit"
    assert command["order"].pop("entries") == {"fake": entry("fake").to_dict()}
    assert command["order"] | {"blob": ""} == {
        "job": job.id,
        "dataset": job.request["dataset"],
        "dataset_sha256": "s" * 64,
        "blob": "",
        "facts": {"modality": "text"},
        "backbone": "fake",
        "backbone_digest": card.digest,
        "tenant": "default",
        "candidates": [],
        "long": "truncate",
        "method": {"method": "prototype"},
        "seed": 0,
        "max_seconds": 60.0,
        "limit_s": 3600.0,
        "tap": "pooled",
        "parents": [],
        "peft": {},
        "signatures": "",
        "signatures_blob": "",
        "described": False,
        "members": [],
    }


def test_an_open_choice_is_ordered_as_names_with_digests(records, job, adapting, card):
    auto = records.stored_job(request=job.request | {"backbone": "auto", "candidates": ["fake", "gone"]})
    order = adapting.command(auto)["order"]
    assert (order["backbone"], order["backbone_digest"]) == ("auto", "")
    assert order["candidates"] == [["fake", card.digest]]


def test_items_without_a_backbone_have_no_digest(records, job, adapting):
    assert (
        adapting.command(records.stored_job(request=job.request | {"backbone": ""}))["order"]["backbone_digest"] == ""
    )


def test_what_is_gone_is_said(records, job, adapting):
    with pytest.raises(NotReady, match="'fake' is not hosted"):
        adapting.command(job)
    with pytest.raises(NotFound):
        adapting.command(records.stored_job())


def test_a_parent_is_ordered_as_its_head(records, home, job, adapting, card):
    first = records.running_job()
    draft = records.draft(first)
    publishing.publish(records.engine, home, draft, 3.0)
    child = records.stored_job(request=job.request | {"parents": ["intents:1"]})
    assert adapting.command(child)["order"]["parents"] == [
        {
            "ref": "intents:1",
            "blob": draft.manifest(1).files["head.safetensors"].sha256,
            "classes": ["a", "b"],
            "parts": [],
        }
    ]


def test_what_a_name_was_made_of_is_ordered_only_with_the_digest_that_it_still_means(records, job, adapting, card):
    def entries(digest):
        again = records.stored_job(request=job.request | {"backbone_digest": digest})
        order = adapting.command(again)["order"]
        assert order["backbone_digest"] == digest
        return list(order["entries"])

    assert entries(card.digest) == ["fake"]
    assert entries("0" * 64) == []


class TestKeep:
    def test_makes_the_version_of_the_outcome(self, records, job, adapting):
        jobs.begin(records.engine, job.id, 9.0)
        assert adapting.keep(_now(records, job), _outcome(records, job), 10.0)
        version = adapters.get(records.engine, "default", "intents").versions[1]
        assert (version.manifest.job, version.metrics) == (job.id, {"accuracy": 1.0})
        assert version.manifest.created_at == "1970-01-01T00:00:09+00:00"
        assert _now(records, job).seconds == {"fit": 0.5}

    def test_again_changes_nothing(self, records, job, adapting):
        outcome = _outcome(records, job)
        assert adapting.keep(job, outcome, 10.0)
        before = adapters.get(records.engine, "default", "intents")
        assert adapting.keep(job, outcome, 110.0)
        assert adapters.get(records.engine, "default", "intents") == before
        assert _now(records, job).finished_at == 10.0

    def test_of_a_job_cancelled_after_its_fit_makes_no_version(self, records, job, adapting):
        jobs.begin(records.engine, job.id, 9.0)
        jobs.ask_cancel(records.engine, "default", job.id, 11.0)
        assert not adapting.keep(_now(records, job), _outcome(records, job), 12.0)
        with pytest.raises(NotFound):
            adapters.get(records.engine, "default", "intents")
