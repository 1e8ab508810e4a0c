"""Datasets: the same upload is one dataset; nothing that a job needs is deleted."""

import pytest

from service.errors import Conflict, KeyReused, NotFound
from service.registry import datasets, jobs, requests


def test_the_same_upload_twice_is_one_dataset(records):
    first, second = records.dataset(), records.dataset()
    assert datasets.add(records.engine, first) == (first, True)
    assert datasets.add(records.engine, second) == (first, False)
    assert datasets.page(records.engine, "default", limit=10, after=None).data == (first,)


def test_another_tenant_has_a_dataset_of_its_own_and_sees_no_other(records):
    mine, theirs = records.dataset(), records.dataset(tenant="other")
    datasets.add(records.engine, mine)
    assert datasets.add(records.engine, theirs) == (theirs, True)
    with pytest.raises(NotFound):
        datasets.get(records.engine, "other", mine.id)
    with pytest.raises(NotFound):
        datasets.remove(records.engine, records.blobs, "other", mine.id)
    assert datasets.page(records.engine, "other", limit=10, after=None).data == (theirs,)


def test_the_key_is_stored_with_the_dataset_it_named_even_an_older_one(records):
    first = records.dataset()
    datasets.add(records.engine, first)
    key = requests.key_of("default", "k", 1.0, "body")
    assert datasets.add(records.engine, records.dataset(), key) == (first, False)
    assert requests.recall(records.engine, key) == first.id
    with pytest.raises(KeyReused, match=first.id):
        requests.recall(records.engine, requests.key_of("default", "k", 1.0, "other body"))


def test_pages_go_from_new_to_old(records):
    made = [datasets.add(records.engine, records.dataset(str(i), at=float(i)))[0] for i in range(1, 6)]
    first = datasets.page(records.engine, "default", limit=2, after=None)
    assert (first.data, first.has_more) == ((made[4], made[3]), True)
    last = datasets.page(records.engine, "default", limit=3, after=made[3].id)
    assert (last.data, last.has_more) == ((made[2], made[1], made[0]), False)


def test_a_deleted_dataset_takes_its_items_unless_another_shares_them(records):
    one, two = records.dataset("1"), records.dataset("2")
    for dataset in (one, two):
        datasets.add(records.engine, dataset)
    datasets.remove(records.engine, records.blobs, "default", one.id)
    assert records.blobs.get(two.blob) == b"items"
    datasets.remove(records.engine, records.blobs, "default", two.id)
    assert not records.blobs.path(two.blob).exists()
    with pytest.raises(NotFound):
        datasets.get(records.engine, "default", two.id)


@pytest.mark.parametrize("state", jobs.STATES)
def test_only_a_job_that_has_not_ended_holds_its_dataset(records, state):
    dataset = records.dataset()
    datasets.add(records.engine, dataset)
    job = records.stored_job(state=state, request={"dataset": dataset.id})
    if state in jobs.UNFINISHED:
        with pytest.raises(Conflict, match=f"in use by {job.id}"):
            datasets.remove(records.engine, records.blobs, "default", dataset.id)
        assert records.blobs.path(dataset.blob).exists()
    else:
        datasets.remove(records.engine, records.blobs, "default", dataset.id)
