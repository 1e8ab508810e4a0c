import json
from dataclasses import replace

import pytest

from models.catalog import Options, entry
from models.hosted import host
from service.errors import NotReady
from service.jobs import fit as jobs_fit
from service.jobs.fit import Fitting, Order
from service.registry.items import pack_items
from service.store.blobs import Blobs
from service.store.embeddings import EmbeddingCache

FACTS = {"modality": "text", "task": "classification"}
WORDS = ("refund", "parcel", "password")


class Ticks:
    """A clock on which everything takes a little longer."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        self.now_s += 0.001
        return self.now_s


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("two")
    cards = {
        name: host(replace(entry("fake"), id=name, options=Options(max_tokens=tokens)), made, lambda *_: None)
        for name, tokens in (("blind", 3), ("whole", 64))
    }
    return made, {name: card.digest for name, card in cards.items()}


@pytest.fixture
def fit(folder, tmp_path):
    blobs = Blobs(tmp_path)
    texts = [f"please {word} my thing {i}" for i in range(12) for word in WORDS]
    blob = blobs.put(pack_items(texts, WORDS * 12, range(36)))
    cache = EmbeddingCache(tmp_path / "cache", 2**30)

    def run(backbone, candidates=(), digest="", tenant="acme", method="ridge", max_seconds=60.0):
        fitting = Fitting(blobs, folder[0], 1, Ticks(), cache)
        order = Order(
            *("job_1", "ds_1", "s" * 64, blob.digest, FACTS, backbone, "truncate", {"method": method}, 0, max_seconds),
            backbone_digest=digest,
            tenant=tenant,
            candidates=[[name, folder[1][name]] for name in candidates],
        )
        stages = []
        outcome = fitting.run(order, lambda *seen: stages.append(seen))
        return outcome, json.loads(blobs.get(outcome.files["report.json"]["sha256"])), stages

    yield run
    cache.close()


def test_auto_goes_on_with_the_better_backbone_and_reports_the_table(fit, folder):
    outcome, report, stages = fit("auto", ["blind", "whole"])
    assert (outcome.backbone, outcome.backbone_digest) == ("whole", folder[1]["whole"])
    assert [row["id"] for row in report["backbones"]] == ["whole", "blind"]
    assert report["backbone"] == {
        "id": "whole",
        "digest": folder[1]["whole"],
        "tap": "pooled",
        "why": report["backbone"]["why"],
    }
    assert report["backbone"]["why"].startswith("Of 2 backbones whole has the lowest log loss")
    assert report["seconds"]["rank"] > 0
    assert stages[0][0] == "rank"
    shares = [share for _, share in stages]
    assert shares == sorted(shares)
    assert 0.99 < shares[-1] <= 1


def test_one_candidate_is_taken_without_ranking(fit, folder):
    outcome, report, stages = fit("auto", ["blind"])
    assert (outcome.backbone, outcome.backbone_digest) == ("blind", folder[1]["blind"])
    assert "backbones" not in report
    assert "rank" not in report["seconds"]
    assert {stage for stage, _ in stages}.isdisjoint({"rank"})
    assert stages[-1][1] > 0.99


def test_a_name_means_the_digest_that_the_order_gives(fit, folder):
    assert fit("mine", digest=folder[1]["whole"])[0].backbone_digest == folder[1]["whole"]
    assert fit("whole")[0].backbone_digest == folder[1]["whole"]
    with pytest.raises(NotReady, match="'mine' is not hosted yet"):
        fit("mine")


def test_a_refit_embeds_nothing_and_gives_the_same_head(fit, monkeypatch):
    first, report, _ = fit("whole")
    from models.text import TextBackbone

    embedded = []
    real = TextBackbone.run
    monkeypatch.setattr(TextBackbone, "run", lambda self, batch: embedded.append(len(batch)) or real(self, batch))
    again, report_again, _ = fit("whole")
    assert embedded == [len(WORDS)]  # the classes' names
    assert again.files["head.onnx"] == first.files["head.onnx"]
    assert report_again["truncated_items"] == report["truncated_items"]
    fit("whole", tenant="globex")
    assert sum(embedded) == 2 * len(WORDS) + 36


def test_what_is_said_on_the_way_stands_in_the_report_once(fit, monkeypatch):
    real = jobs_fit.adapt

    def saying(task, *given, **named):
        task.say("the device had too little memory")
        made = real(task, *given, **named)
        return replace(
            made, report=made.report | {"notes": [*made.report["notes"], "the device had too little memory"]}
        )

    monkeypatch.setattr(jobs_fit, "adapt", saying)
    _, report, _ = fit("whole")
    assert report["notes"].count("the device had too little memory") == 1


def test_where_embedding_takes_all_of_the_time_a_share_is_left_to_compare(fit, monkeypatch):
    """The clock of these tests ticks once a look: embedding alone is made to take longer than all of it."""
    from service.jobs import fit as module

    left = []
    real = module.adapt

    def seen(task, method, **more):
        left.append(task.left_s())
        return real(task, method, **more)

    monkeypatch.setattr(module, "adapt", seen)
    bring = module.bring

    def slow(order, chosen, items, means):
        tapped = bring(order, chosen, items, means)
        while means.left_s() > -5:
            pass
        return tapped

    monkeypatch.setattr(module, "bring", slow)
    outcome, report, _ = fit("whole", max_seconds=4.0)
    assert 0.9 < left[0] <= 1.0
    assert not outcome.request["early"]
    assert report["candidates"]
