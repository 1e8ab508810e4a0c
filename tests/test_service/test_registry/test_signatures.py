"""Signatures in the registry: kept once by what they say, deleted when nobody needs them."""

import numpy as np
import pytest

from adapters.signatures import Signatures
from service.errors import Conflict, NotFound
from service.registry import jobs, references, requests, signatures


def table(*rows, classes=("tiger", "crow"), **more):
    values = np.array(rows or [[1, 0.5], [0, np.nan]], np.float32)
    return Signatures(tuple(classes), tuple(f"a{i}" for i in range(values.shape[1])), values, **more)


@pytest.fixture
def keep(engine, blobs):
    def kept(what=None, tenant="default", at=1.0, name="animals", **more):
        what = table() if what is None else what
        return signatures.keep(engine, blobs, tenant, what, name=name, facts_extra={"notes": ["n"]}, now_s=at, **more)

    return kept


def test_kept_signatures_are_read_back(engine, blobs, keep):
    record, new = keep()
    assert new
    assert record.id.startswith("sig_")
    assert len(record.id) == 30
    assert signatures.get(engine, "default", record.id) == record
    loaded = signatures.load(blobs, record)
    assert (loaded.classes, loaded.attributes) == (("tiger", "crow"), ("a0", "a1"))
    np.testing.assert_array_equal(loaded.values, table().values)


def test_facts(keep):
    facts = keep(table([1, 0.5], [0, np.nan]))[0].facts
    assert facts["classes"] == ["tiger", "crow"]
    assert facts["attributes"] == ["a0", "a1"]
    assert facts["kinds"] == ["binary", "continuous"]
    assert (facts["class_count"], facts["attribute_count"], facts["missing"]) == (2, 2, 1)
    assert (facts["range"], facts["groups"], facts["space"]) == ([0, 1], {}, "")
    assert facts["notes"] == ["n", "Attribute known of one class alone: 'a1'."]


def test_facts_of_many_and_of_embeddings(keep):
    classes = [f"c{i}" for i in range(30)]
    grouped = table(*np.eye(30), classes=classes, groups=(("g", tuple(range(30))),))
    facts = keep(grouped)[0].facts
    assert (facts["class_count"], facts["classes"]) == (30, classes[:20])
    assert facts["groups"] == {"g": [f"a{i}" for i in range(30)]}
    facts = keep(table([0.6, 0.8], [1, 0], space="d"))[0].facts
    assert (facts["attribute_count"], facts["attributes"], facts["kinds"], facts["space"]) == (2, [], [], "d")


def test_the_same_content_is_the_same_id_and_kept_once(engine, keep):
    first, _ = keep()
    again, new = keep(at=9.0, name="other")
    assert (again, new) == (first, False)
    assert signatures.get(engine, "default", first.id).name == "animals"
    different = keep(table([1, 0.5], [0, 0]))[0]
    assert different.id != first.id
    theirs, new = keep(tenant="acme")
    assert (theirs.id, theirs.tenant, new) == (first.id, "acme", True)


def test_what_they_are_made_of_can_stand_for_what_they_are(keep):
    first, _ = keep(table([0.6, 0.8], [1, 0], space="d"), content=b"texts")
    again, new = keep(table([0.6, 0.8000001], [1, 0], space="d"), content=b"texts")
    assert (again, new) == (first, False)


def test_others_are_not_found(engine, keep):
    record, _ = keep(tenant="acme")
    assert signatures.find(engine, "default", record.id) is None
    with pytest.raises(NotFound, match=record.id):
        signatures.get(engine, "default", record.id)
    with pytest.raises(NotFound):
        signatures.remove(engine, None, "default", record.id)


def test_pages_are_newest_first_also_where_several_are_of_one_moment(engine, keep):
    made = [keep(table([i, 1], [0, 0]), at=at)[0].id for i, at in enumerate((5.0, 7.0, 7.0, 7.0, 6.0), 1)]
    keep(tenant="acme", at=8.0)
    seen, after = [], None
    while True:
        page = signatures.page(engine, "default", limit=2, after=after)
        seen += [record.id for record in page.data]
        if not page.has_more:
            break
        after = seen[-1]
    assert seen == [*sorted(made[1:4], reverse=True), made[4], made[0]]
    assert signatures.page(engine, "default", limit=2, after="sig_none").data == ()


def test_their_blob_is_kept_while_any_tenant_has_them(engine, blobs, keep):
    mine, theirs = keep()[0], keep(tenant="acme")[0]
    assert mine.blob == theirs.blob
    assert references.digests(engine) == {mine.blob}
    signatures.remove(engine, blobs, "default", mine.id)
    assert blobs.sweep(references.digests(engine), older_than_s=-1.0, now_s=2e10) == 0
    assert signatures.load(blobs, theirs).classes == ("tiger", "crow")
    signatures.remove(engine, blobs, "acme", theirs.id)
    assert references.digests(engine) == set()
    assert not blobs.path(mine.blob).exists()


def test_what_an_unfinished_job_needs_is_not_deleted(engine, blobs, keep, records):
    record, _ = keep()
    keep(tenant="acme")
    job = records.stored_job(request=records.job().request | {"signatures": record.id})
    with pytest.raises(Conflict, match=job.id):
        signatures.remove(engine, blobs, "default", record.id)
    signatures.remove(engine, blobs, "acme", record.id)  # a job of another tenant is no reason
    jobs.end_cancelled(engine, job.id, 3.0)
    signatures.remove(engine, blobs, "default", record.id)


def test_a_key_names_them_until_they_are_deleted_and_only_its_own_tenants(engine, blobs, keep):
    keys = {tenant: requests.key_of(tenant, "k", 1.0, "signatures") for tenant in ("default", "acme")}
    records = {tenant: keep(tenant=tenant, key=key)[0] for tenant, key in keys.items()}
    assert requests.recall(engine, keys["default"]) == records["default"].id
    signatures.remove(engine, blobs, "default", records["default"].id)
    assert requests.recall(engine, keys["default"]) is None
    assert requests.recall(engine, keys["acme"]) == records["acme"].id
