"""What a fit starts from: the versions that something can grow from, and the files of LoRA adapters."""

import json
from dataclasses import replace

import pytest

from adapters.manifest import FileEntry
from service.errors import BodyInvalid, NotFound
from service.registry import publishing
from service.routes.lineage import PEFT_FILES, parent_version, peft_blobs

CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}


class State:
    """As much of the state of a process as is looked at."""

    def __init__(self, records, folders=()):
        self.engine, self.blobs = records.engine, records.blobs
        self.settings = type("Settings", (), {"backbone_folders": folders})


@pytest.fixture
def state(records):
    return State(records)


@pytest.fixture
def publish(records, home):
    """Publishes a version of which some fields of the manifest are others."""

    def run(name="intents", tenant="default", also=(), **changed):
        job = records.running_job(adapter=name, tenant=tenant)
        draft = records.draft(job)
        beside = records.blobs.put(b"beside")
        files = dict.fromkeys(also, FileEntry(beside.digest, beside.size_bytes))
        changed["files"] = draft.manifest(1).files | files
        changes = replace(draft, manifest=lambda number: replace(draft.manifest(number), **changed))
        return publishing.publish(records.engine, home, changes, 3.0)

    return run


@pytest.fixture
def dataset(records):
    def make(**facts):
        return records.dataset(facts={"modality": "text", "task": "classification"} | facts)

    return make


class TestParent:
    @pytest.mark.parametrize("reference", ["intents", "intents:1", "intents@live"])
    def test_it_is_found_by_any_reference(self, state, publish, dataset, reference):
        publish()
        assert parent_version(state, "default", reference, dataset()).manifest.number == 1

    def test_another_tenants_is_not_there(self, state, publish, dataset):
        publish()
        with pytest.raises(NotFound, match="no adapter 'intents'"):
            parent_version(state, "globex", "intents:1", dataset())

    def test_a_version_that_is_gone_is_said_with_those_there_are(self, state, publish, dataset):
        publish()
        with pytest.raises(NotFound, match="no version 9; it has 1"):
            parent_version(state, "default", "intents:9", dataset())

    @pytest.mark.parametrize(
        ("changed", "facts", "sentence"),
        [
            ({"kind": "graph", "method": {"method": "mlp"}}, {}, "'mlp' made it.*Fit the parent with logistic"),
            ({"also": ["map.safetensors"]}, {}, "one layer of classes on the embedding"),
            ({"classes": (), "task": "regression"}, {"task": "regression"}, "answers with a number"),
            (
                {"modality": "table", "kind": "graph", "columns": ({"name": "n"},)},
                {"modality": "table"},
                "rows of a table",
            ),
            ({}, {"modality": "image"}, "is of modality 'text' and dataset ds_.* of 'image'"),
            ({}, {"task": "multilabel"}, "is of task 'classification' and dataset ds_.* of 'multilabel'"),
            (
                {"modality": "vector"},
                {"modality": "vector", "width": 4},
                "vectors of 3 numbers and dataset ds_.* has 4",
            ),
        ],
    )
    def test_what_cannot_be_carried_on_is_refused_with_the_reason(
        self, state, publish, dataset, changed, facts, sentence
    ):
        publish(**changed)
        with pytest.raises(BodyInvalid, match=sentence) as refused:
            parent_version(state, "default", "intents:1", dataset(**facts))
        assert [problem.pointer for problem in refused.value.problems] == ["/parents/0"]

    def test_the_remedy_is_not_a_method_that_made_it(self, state, publish, dataset):
        publish(classes=(), task="regression", method={"method": "ridge"})
        with pytest.raises(BodyInvalid) as refused:
            parent_version(state, "default", "intents:1", dataset(task="regression"))
        assert "ridge" not in refused.value.message


class TestPeft:
    @pytest.fixture
    def folder(self, tmp_path):
        made = tmp_path / "allowed" / "lora"
        made.mkdir(parents=True)
        (made / PEFT_FILES[0]).write_text(json.dumps(CONFIG))
        (made / PEFT_FILES[1]).write_bytes(b"tables")
        return made

    @pytest.fixture
    def allowing(self, records, folder):
        return State(records, (folder.parent,))

    def _refused(self, state, folder, sentence):
        with pytest.raises(BodyInvalid, match=sentence) as refused:
            peft_blobs(state, str(folder))
        assert [problem.pointer for problem in refused.value.problems] == ["/peft"]

    def test_its_files_are_kept_by_name(self, allowing, folder):
        blobs = peft_blobs(allowing, str(folder))
        assert {name: allowing.blobs.get(digest) for name, digest in blobs.items()} == {
            PEFT_FILES[0]: json.dumps(CONFIG).encode(),
            PEFT_FILES[1]: b"tables",
        }

    def test_a_folder_that_is_not_allowed_is_not_looked_into(self, state, allowing, folder):
        self._refused(state, folder, "No folder is allowed")
        self._refused(allowing, folder.parents[1], "does not lie under")
        self._refused(allowing, f"{folder}/../..", "does not lie under")

    @pytest.mark.parametrize("name", PEFT_FILES)
    def test_a_file_that_is_missing_is_named(self, allowing, folder, name):
        (folder / name).rename(folder / "adapter_model.bin")
        self._refused(allowing, folder, f"lacks {name}.*never read")

    @pytest.mark.parametrize("text", ["{nope", "[" * 100_000, "", "\x00"])
    def test_a_configuration_that_is_no_json_is_said(self, allowing, folder, text):
        (folder / PEFT_FILES[0]).write_text(text)
        self._refused(allowing, folder, "adapter_config.json is not JSON")

    @pytest.mark.parametrize(("config", "kind"), [({"peft_type": "IA3"}, "'IA3'"), ([], "'None'"), ({}, "'None'")])
    def test_other_kinds_of_adapters_are_said(self, allowing, folder, config, kind):
        (folder / PEFT_FILES[0]).write_text(json.dumps(config))
        self._refused(allowing, folder, f"of peft_type {kind}; LORA is read")
