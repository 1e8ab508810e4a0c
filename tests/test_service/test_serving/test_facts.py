"""What is remembered of a version, taken from manifests old and new."""

import json
from functools import lru_cache

import pytest

from adapters.columns import infer
from adapters.errors import ManifestInvalid
from adapters.manifest import Manifest
from service.errors import ArtifactCorrupt
from service.serving.facts import KEPT, BackboneTap, Facts, Known

SCHEMA, _ = infer({"age": [20, 31, 40.5, 55], "plan": ["a", "b", "a", "b"]})

BEFORE_TABLES = {
    "name": "intents",
    "number": 3,
    "kind": "affine",
    "backbone": "text-small",
    "backbone_digest": "ab" * 32,
    "tap": "pooled",
    "width": 4,
    "classes": ["b", "ä"],
    "method": {"method": "logistic", "c": 10.0},
    "temperature": 0.5,
    "calibrated": True,
    "dataset": "ds_1",
    "dataset_sha256": "cd" * 32,
    "job": "job_1",
    "created_at": "2001-02-03T04:05:06+00:00",
    "seed": 0,
    "files": {
        "head.safetensors": {"sha256": "5a" * 32, "size_bytes": 12},
        "head.onnx": {"sha256": "0e" * 32, "size_bytes": 34},
    },
    "libraries": {"numpy": "2"},
    "format": 1,
}
TABLE = BEFORE_TABLES | {
    "name": "prices",
    "number": 1,
    "kind": "graph",
    "backbone": "",
    "backbone_digest": "",
    "tap": "row",
    "classes": [],
    "temperature": 1.0,
    "calibrated": False,
    "modality": "table",
    "task": "regression",
    "columns": [column.to_dict() for column in SCHEMA],
    "long": "chunk",
}


def stored(given):
    """A manifest as it comes from the registry: with texts of its own."""
    return Manifest.from_dict(json.loads(json.dumps(given)))


def facts(given=BEFORE_TABLES, shared=lambda names: names, **changes):
    return Facts.of(stored(given | changes), shared)


class TestFacts:
    def test_of_a_manifest_that_was_stored_before_there_were_tables(self):
        assert facts() == Facts(
            name="intents",
            number=3,
            kind="affine",
            modality="text",
            task="classification",
            backbone="text-small",
            backbone_digest="ab" * 32,
            width=4,
            classes=("b", "ä"),
            calibrated=True,
            columns=(),
            long="truncate",
            head="5a" * 32,
            temperature=0.5,
        )

    def test_of_a_table(self):
        assert facts(TABLE) == Facts(
            name="prices",
            number=1,
            kind="graph",
            modality="table",
            task="regression",
            backbone="",
            backbone_digest="",
            width=4,
            classes=(),
            calibrated=False,
            columns=tuple(SCHEMA),
            long="chunk",
            head="0e" * 32,
            tap="row",
        )

    def test_of_one_whose_inputs_have_any_number_of_classes(self):
        made = facts(task="multilabel", thresholds=[0.25, 0.5])
        assert (made.multilabel, made.thresholds) == (True, (0.25, 0.5))
        assert not facts().multilabel

    def test_of_one_that_takes_parts_of_all_blocks_through_a_map(self):
        files = BEFORE_TABLES["files"] | {"map.safetensors": {"sha256": "6b" * 32, "size_bytes": 5}}
        made = facts(tap="blocks", parts=[[0, 4], [6, 8]], files=files)
        assert (made.tap, made.parts, made.map) == ("blocks", ((0, 4), (6, 8)), "6b" * 32)
        assert facts(kind="graph", files=files).map == ""

    @pytest.mark.parametrize(
        ("tap", "tuned"),
        [("pooled", False), ("blocks", False), ("vector", False), ("row", False), ("block4", True), ("input", True)],
    )
    def test_parts_of_a_backbone_are_told_by_their_tap(self, tap, tuned):
        assert facts(tap=tap).tuned is tuned

    def test_of_one_over_several_backbones_side_by_side(self):
        several = [
            {"backbone": "a", "backbone_digest": "da", "tap": "block4", "parts": [[0, 2]], "long": "chunk"},
            {"backbone": "b", "backbone_digest": "db", "tap": "pooled", "parts": [], "long": "truncate"},
        ]
        made = facts(backbones=several, tap="block4")
        assert made.backbones == (
            BackboneTap("a", "da", "block4", ((0, 2),), "chunk"),
            BackboneTap("b", "db", "pooled", (), "truncate"),
        )
        assert not made.tuned
        assert made.size_bytes > facts().size_bytes

    @pytest.mark.parametrize(("method", "mixes"), [("conse", True), ("eszsl", False)])
    def test_of_one_that_kept_more_than_its_head(self, method, mixes):
        kept = {
            "zero_shot.safetensors": {"sha256": "2e" * 32, "size_bytes": 5},
            "items.safetensors": {"sha256": "17" * 32, "size_bytes": 5},
        }
        made = facts(files=BEFORE_TABLES["files"] | kept, method={"method": method})
        assert (made.zero_shot, made.items, made.mixes) == ("2e" * 32, "17" * 32, mixes)
        assert (facts().zero_shot, facts().items) == ("", "")
        assert not facts(method={"method": method}).mixes, "without its file there is nothing to tell mixtures by"

    @pytest.mark.parametrize(
        ("kind", "file", "other"),
        [("affine", "head.safetensors", "head.onnx"), ("graph", "head.onnx", "head.safetensors")],
    )
    def test_a_manifest_without_the_file_of_its_kind_is_corrupt(self, kind, file, other):
        files = {other: BEFORE_TABLES["files"][other]}
        with pytest.raises(ArtifactCorrupt, match=f"intents:3 has no {file}"):
            facts(kind=kind, files=files)

    @pytest.mark.parametrize("changes", [{"kind": "text"}, {"more": 1}, {"categories": None}], ids=str)
    def test_broken_columns_are_refused(self, changes):
        with pytest.raises(ManifestInvalid, match="column"):
            facts(TABLE, columns=[SCHEMA[0].to_dict() | changes])

    def test_a_column_without_its_kind_is_refused(self):
        with pytest.raises(ManifestInvalid, match="column"):
            facts(TABLE, columns=[{"name": "age"}])

    def test_adapters_with_the_same_classes_hold_them_once(self):
        shared = lru_cache(8)(lambda names: names)
        assert facts(shared=shared).classes is facts(shared=shared, name="other").classes

    def test_equal_texts_are_held_once(self):
        one, two = facts(), facts(classes=["b", "ä", "c"])
        assert one.classes[1] is two.classes[1]
        for name in ("name", "kind", "modality", "task", "backbone", "backbone_digest", "long", "tap"):
            assert getattr(one, name) is getattr(two, name), name

    def test_more_names_and_columns_take_more(self):
        columns = TABLE["columns"]
        size = facts(TABLE, columns=columns[:1]).size_bytes
        with_categories = facts(TABLE, columns=columns).size_bytes
        without = facts(TABLE, columns=[columns[0], columns[1] | {"categories": []}]).size_bytes
        assert 0 < size < without < with_categories
        assert facts().size_bytes < facts(classes=["a", "b", "c"]).size_bytes


def numbers(known):
    return [each.number for each in known.facts]


class TestKnown:
    @pytest.fixture
    def known(self):
        return Known({"live": 1}, tuple(range(1, 100)), ())

    def test_of_versions_that_are_in_use(self, known):
        one, two = facts(number=1), facts(number=2)
        both = known.using(one).using(two)
        assert both.of(1) is one
        assert both.of(2) is two
        assert both.of(3) is None
        assert both.of(None) is None
        assert (both.aliases, both.numbers) == (known.aliases, known.numbers)
        assert known.facts == ()

    def test_only_those_that_were_asked_for_last_are_kept(self, known):
        for number in range(1, KEPT + 1):
            known = known.using(facts(number=number))
        assert numbers(known) == list(range(1, KEPT + 1))
        known = known.using(facts(number=KEPT + 1))
        assert numbers(known) == list(range(2, KEPT + 2))

    def test_one_that_is_used_again_is_kept_once_and_longest(self, known):
        for number in (*range(1, KEPT + 1), 1, KEPT + 1):
            known = known.using(facts(number=number))
        assert numbers(known) == [*range(3, KEPT + 1), 1, KEPT + 1]

    def test_new_facts_of_a_version_take_the_place_of_the_old(self, known):
        old, two, new = facts(number=1), facts(number=2), facts(number=1)
        used = known.using(old).using(two).using(new)
        assert numbers(used) == [2, 1]
        assert used.of(1) is new

    def test_it_takes_what_its_facts_take_and_more_for_each_name_and_number(self, known):
        one, two = facts(number=1), facts(number=2, classes=["a"])
        used = known.using(one).using(two)
        assert used.size_bytes == known.size_bytes + one.size_bytes + two.size_bytes
        assert Known({}, (1,), ()).size_bytes < Known({"live": 1}, (1,), ()).size_bytes < known.size_bytes
