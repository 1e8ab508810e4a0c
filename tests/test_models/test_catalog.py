import dataclasses
import json
import re

import pytest

from models.catalog import Entry, Expected, catalog, entry
from models.errors import BackboneUnknown
from models.sources import BuiltIn, Hub, Package

SOURCES = {kind: [e for e in catalog().values() if isinstance(e.source, kind)] for kind in (BuiltIn, Hub, Package)}


def test_every_entry_carries_its_key_as_id():
    entries = catalog()
    assert {"minilm-l6", "fake"} <= entries.keys()
    assert all(e.id == id_ for id_, e in entries.items())


@pytest.mark.parametrize("e", catalog().values(), ids=lambda e: e.id)
def test_entries_say_where_they_come_from(e):
    assert e.modality in ("text", "image", "audio")
    assert e.licence
    assert e.about
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", e.id)
    assert e.source.kind in ("built-in", "hub", "package")


@pytest.mark.parametrize("e", catalog().values(), ids=lambda e: e.id)
def test_entries_survive_json(e):
    assert Entry.from_dict(json.loads(json.dumps(e.to_dict()))) == e


@pytest.mark.parametrize("e", SOURCES[Package], ids=lambda e: e.id)
def test_packaged_weights_are_pinned(e):
    assert e.source.package
    assert re.fullmatch(r"[0-9a-f]{64}", e.source.sha256)


@pytest.mark.parametrize("e", SOURCES[Hub], ids=lambda e: e.id)
def test_repositories_are_named_and_never_pinned_unseen(e):
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", e.source.repo)
    assert e.source.revision is None or re.fullmatch(r"refs/pr/\d+", e.source.revision)
    assert e.expected.pooled
    assert e.trained
    assert e.modality != "text" or e.options.max_tokens


def test_towers_of_one_repository_are_two_backbones():
    towers = {(e.source.repo, e.modality): e.options.tower for e in SOURCES[Hub] if e.options.tower}
    assert len(towers) == 4
    assert all((modality == "text") == (tower == "text") for (_, modality), tower in towers.items())


def test_shapes_are_read_as_tuples():
    assert entry("vit-b16").expected == Expected(pooled=(768,), blocks=12, block=(197, 768))
    assert entry("minilm-l6").expected == Expected(pooled=(384,), blocks=6, block=(-1, 384))
    assert entry("fake").expected is None


def test_an_unknown_id_is_answered_with_the_known_ones():
    with pytest.raises(BackboneUnknown, match=r"'bert-huge'.*minilm-l6, fake"):
        entry("bert-huge")


def test_entries_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry("fake").licence = "MIT"


def test_a_catalogue_that_was_changed_by_its_reader_is_read_anew():
    catalog().clear()
    assert "fake" in catalog()
