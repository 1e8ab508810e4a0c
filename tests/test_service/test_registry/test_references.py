"""What something points to must not be swept."""

from service.registry import adapters, datasets, jobs, references


def test_digests_are_those_of_datasets_and_versions_of_every_tenant(records):
    assert set(references.digests(records.engine)) == set()
    dataset, _ = datasets.add(records.engine, records.dataset())
    records.publish(weight=1.0)
    records.publish(weight=2.0, tenant="other")
    heads = {
        adapters.get(records.engine, tenant, "intents").versions[1].manifest.files["head.safetensors"].sha256
        for tenant in ("default", "other")
    }
    assert len(heads) == 2
    assert set(references.digests(records.engine)) == {dataset.blob, *heads}


def test_what_was_deleted_is_pointed_to_no_more(records):
    dataset, _ = datasets.add(records.engine, records.dataset())
    records.publish()
    datasets.remove(records.engine, records.blobs, "default", dataset.id)
    adapters.remove_version(records.engine, records.home, records.blobs, "default", "intents", 1, 9.0)
    assert set(references.digests(records.engine)) == set()


def test_what_a_job_starts_from_is_pointed_to_until_it_has_ended(records):
    job = records.stored_job(request=records.job().request | {"peft": {"adapter_config.json": "c" * 64}})
    assert set(references.digests(records.engine)) == {"c" * 64}
    jobs.begin(records.engine, job.id, 2.0)
    assert set(references.digests(records.engine)) == {"c" * 64}
    jobs.end_cancelled(records.engine, job.id, 3.0)
    assert set(references.digests(records.engine)) == set()
