"""What serving reads of the registry."""

import pytest
from sqlalchemy import update

from adapters.errors import ManifestInvalid
from service.database.engine import writing
from service.database.tables import versions
from service.errors import NotFound
from service.registry import adapters
from service.serving.outlines import Outline, manifest, outline


def _switch(records, alias, number):
    adapters.set_alias(records.engine, "default", "intents", alias, number, if_match=None, now_s=9.0)


def _remove(records, number):
    adapters.remove_version(records.engine, records.home, records.blobs, "default", "intents", number, 9.0)


def _spoil(records):
    with writing(records.engine) as connection:
        connection.execute(update(versions).values(manifest={"format": 2}))


class TestOutline:
    def test_of_a_first_version(self, records):
        records.publish()
        assert outline(records.engine, "default", "intents") == Outline((("latest", 1), ("live", 1)), (1,))

    def test_aliases_stand_by_name_and_point_where_they_were_switched_to(self, records):
        for moves in (True, True, False):
            records.publish(moves=moves)
        _switch(records, "canary", 3)
        _switch(records, "live", 1)
        assert outline(records.engine, "default", "intents").aliases == (("canary", 3), ("latest", 3), ("live", 1))

    def test_numbers_stand_in_order_without_those_that_were_deleted(self, records):
        for _ in range(11):
            records.publish()
        _remove(records, 2)
        assert outline(records.engine, "default", "intents").numbers == (1, *range(3, 12))

    def test_a_version_that_moved_nothing_is_there(self, records):
        records.publish()
        records.publish(moves=False)
        assert outline(records.engine, "default", "intents") == Outline((("latest", 2), ("live", 1)), (1, 2))

    def test_adapters_and_tenants_beside_it_change_nothing(self, records):
        records.publish()
        for _ in range(2):
            records.publish("other")
            records.publish(tenant="acme")
        assert outline(records.engine, "default", "intents") == Outline((("latest", 1), ("live", 1)), (1,))
        assert outline(records.engine, "acme", "intents") == Outline((("latest", 2), ("live", 2)), (1, 2))

    def test_an_unknown_adapter_is_not_found(self, records):
        records.publish()
        with pytest.raises(NotFound, match="no adapter 'nobody'"):
            outline(records.engine, "default", "nobody")

    def test_another_tenants_is_not_found_in_the_same_words(self, records):
        records.publish(tenant="acme")
        with pytest.raises(NotFound) as theirs:
            outline(records.engine, "default", "intents")
        with pytest.raises(NotFound) as nobodys:
            outline(records.engine, "nobody", "intents")
        assert theirs.value.message == nobodys.value.message

    def test_a_deleted_adapter_is_not_found(self, records):
        records.publish()
        _remove(records, 1)
        with pytest.raises(NotFound):
            outline(records.engine, "default", "intents")

    def test_no_manifest_is_read(self, records):
        records.publish()
        _spoil(records)
        assert outline(records.engine, "default", "intents").numbers == (1,)


class TestManifest:
    def test_it_is_the_one_that_was_published(self, records):
        for weight in (1.0, 2.0):
            records.publish(weight=weight)
        there = adapters.get(records.engine, "default", "intents").versions
        for number in (1, 2):
            found = manifest(records.engine, "default", "intents", number)
            assert found == there[number].manifest
            assert found.number == number
        assert there[1].manifest.files != there[2].manifest.files

    def test_each_tenant_has_its_own(self, records):
        records.publish()
        records.publish(tenant="acme", weight=2.0)
        mine, theirs = (manifest(records.engine, tenant, "intents", 1) for tenant in ("default", "acme"))
        assert mine.job != theirs.job

    @pytest.mark.parametrize(
        ("tenant", "name", "number"),
        [("default", "intents", 2), ("default", "nobody", 1), ("acme", "intents", 1)],
    )
    def test_what_is_not_there_is_not_found(self, records, tenant, name, number):
        records.publish()
        with pytest.raises(NotFound, match=f"'{name}' has no version {number}"):
            manifest(records.engine, tenant, name, number)

    def test_one_that_this_release_cannot_read_is_refused(self, records):
        records.publish()
        _spoil(records)
        with pytest.raises(ManifestInvalid, match="format 2"):
            manifest(records.engine, "default", "intents", 1)
