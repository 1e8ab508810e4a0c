import dataclasses
import re

import pytest

from models.catalog import catalog, entry
from models.errors import BackboneUnknown


def test_every_entry_carries_its_key_as_id():
    assert {id_: e.id for id_, e in catalog().items()} == {"minilm-l6": "minilm-l6", "fake": "fake"}


@pytest.mark.parametrize("e", catalog().values(), ids=lambda e: e.id)
def test_entries_say_where_they_come_from(e):
    assert e.modality == "text"
    assert e.licence
    assert e.source
    assert e.max_tokens > 2


@pytest.mark.parametrize("e", [e for e in catalog().values() if e.kind == "package"], ids=lambda e: e.id)
def test_packaged_weights_are_pinned(e):
    assert e.package
    assert re.fullmatch(r"[0-9a-f]{64}", e.weights_sha256)


def test_an_unknown_id_is_answered_with_the_known_ones():
    with pytest.raises(BackboneUnknown, match=r"'bert-huge'.*minilm-l6, fake"):
        entry("bert-huge")


def test_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry("fake").max_tokens = 3


def test_a_catalogue_that_was_changed_by_its_reader_is_read_anew():
    catalog().clear()
    assert "fake" in catalog()
