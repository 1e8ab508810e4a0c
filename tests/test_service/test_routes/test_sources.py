"""What is asked for becomes an entry, or a sentence that says what to do instead."""

import json
from pathlib import Path

import pytest

from adapters.manifest import FileEntry, Manifest
from models.catalog import Options, entry
from models.sources import Folder, Hub, OnnxFile, Trunk, Words
from service.errors import BodyInvalid
from service.registry.adapters import Version
from service.routes.body import check
from service.routes.sources import TRUNK_NAME, entry_of, form_entry
from service.schemas.backbones import HostForm, HostRequest


def _no_version(_reference):
    raise AssertionError


def _entry(folders=(), resolve=_no_version, **body):
    asked = check(HostRequest, {"id": "mine"} | body)
    return entry_of(asked, folders, resolve, lambda digest: Path("/blobs") / digest)


def _refused(match, folders=(), resolve=_no_version, **body):
    with pytest.raises(BodyInvalid, match=match) as refused:
        _entry(folders, resolve, **body)
    return [item.pointer for item in refused.value.problems]


@pytest.fixture
def allowed(tmp_path):
    folder = tmp_path / "allowed"
    (folder / "net").mkdir(parents=True)
    return folder


class TestCatalogue:
    def test_a_name_of_the_catalogue_alone_is_that_entry(self):
        assert _entry(id="fake") == entry("fake")

    def test_an_entry_can_have_another_name(self):
        hosted = _entry(source={"catalog": "fake"})
        assert (hosted.id, hosted.source) == ("mine", entry("fake").source)

    def test_an_unknown_one_says_what_there_is_and_what_else_to_do(self):
        assert _refused(r"no 'mine' in the catalogue, which has .*fake.*\"hub\"") == ["/id"]
        assert _refused("no 'nope' in the catalogue, which", source={"catalog": "nope"}) == ["/source/catalog"]
        assert _refused(r"did you mean resnet-50\?", id="resnet50") == ["/id"]

    def test_it_is_hosted_as_it_is(self):
        assert _refused("'pooling' was sent with it", id="fake", pooling="cls") == ["/pooling"]


class TestHub:
    def test_everything_that_was_chosen_is_in_the_entry(self):
        hosted = _entry(
            source={"hub": "intfloat/e5-small-v2", "revision": "abc"},
            modality="text",
            pooling="mean",
            normalise=True,
            prefix="query: ",
            max_tokens=128,
            taps=["block3", "pooled"],
            licence="MIT",
        )
        assert hosted.source == Hub("intfloat/e5-small-v2", "abc")
        assert (hosted.modality, hosted.licence) == ("text", "MIT")
        assert hosted.about == "intfloat/e5-small-v2 at abc, from the Hugging Face hub"
        taps = ("pooled", "block3")
        assert hosted.options == Options("mean", normalise=True, prefix="query: ", max_tokens=128, taps=taps)

    def test_what_is_left_out_stays_open(self):
        assert _entry(source={"hub": "o/n"}, modality="image").options == Options()

    @pytest.mark.parametrize(
        ("more", "modality"),
        [
            ({"tower": "text"}, "text"),
            ({"tower": "vision"}, "image"),
            ({"prefix": "query: "}, "text"),
            ({"preprocess": {"size": 128}}, "image"),
            ({"preprocess": {"rate": 16_000}}, "audio"),
            ({"max_seconds": 10.0}, "audio"),
        ],
    )
    def test_what_an_item_is_follows_from_what_was_chosen(self, more, modality):
        assert _entry(source={"hub": "o/n"}, **more).modality == modality

    def test_what_an_item_is_must_be_said_where_nothing_tells_it(self):
        assert _refused("'text', 'image' or 'audio'", source={"hub": "o/n"}) == ["/modality"]


class TestSource:
    @pytest.mark.parametrize(
        ("source", "match", "pointer"),
        [
            ({}, "this one names none", "/source"),
            ({"hub": "o/n", "catalog": "fake"}, "names hub and catalog", "/source"),
            ({"catalog": "fake", "revision": "x"}, "'catalog' has no 'revision'", "/source/revision"),
            ({"words": "/x", "timm": "vgg16"}, "'words' has no 'timm'", "/source/timm"),
            ({"hub": "no-owner"}, "owner/name", "/source/hub"),
            ({"url": "https://x"}, "no such field", "/source/url"),
        ],
    )
    def test_one_that_is_none_says_why(self, source, match, pointer):
        assert _refused(match, source=source) == [pointer]


class TestPath:
    def test_a_folder_under_an_allowed_one_is_taken(self, allowed):
        source = {"path": str(allowed / "net"), "timm": "mobilenetv2_100", "options": {"pad_type": "same"}}
        preprocess = {"size": 128, "mean": [127.5], "std": [127.5]}
        hosted = _entry([allowed], source=source, preprocess=preprocess)
        assert hosted.source == Folder(str((allowed / "net").resolve()), "mobilenetv2_100", {"pad_type": "same"})
        assert (hosted.modality, hosted.about) == ("image", "the folder net")
        assert hosted.options.preprocess == preprocess

    def test_the_allowed_folder_may_be_a_link(self, allowed, tmp_path):
        (tmp_path / "link").symlink_to(allowed)
        hosted = _entry([tmp_path / "link"], source={"path": str(tmp_path / "link" / "net")}, modality="image")
        assert hosted.source.path == str((allowed / "net").resolve())

    @pytest.mark.parametrize("path", ["../outside", "net/../../outside", "link"])
    def test_one_that_leads_outside_is_refused_whether_it_is_there_or_not(self, allowed, tmp_path, path):
        (tmp_path / "outside").mkdir()
        (allowed / "link").symlink_to(tmp_path / "outside")
        match = "does not lie under .*GRAFT_BACKBONE_FOLDERS"
        assert _refused(match, [allowed], source={"path": str(allowed / path)}, modality="image") == ["/source/path"]
        assert _refused(match, [allowed], source={"path": "/nowhere"}, modality="image") == ["/source/path"]

    def test_a_folder_with_a_name_that_only_begins_alike_is_outside(self, allowed, tmp_path):
        (tmp_path / "allowed-not").mkdir()
        _refused("does not lie under", [allowed], source={"path": str(tmp_path / "allowed-not")}, modality="image")

    @pytest.mark.parametrize(
        ("path", "match"), [("net", "not absolute"), ("{allowed}/nope", "no folder"), ("{allowed}/file", "no folder")]
    )
    def test_what_is_no_folder_says_so(self, allowed, path, match):
        (allowed / "file").touch()
        _refused(match, [allowed], source={"path": path.format(allowed=allowed)}, modality="image")

    def test_where_no_folder_is_allowed_the_setting_is_named(self, allowed):
        assert _refused("GRAFT_BACKBONE_FOLDERS", source={"path": str(allowed)}) == ["/source/path"]

    @pytest.mark.parametrize(
        ("name", "content", "modality"),
        [
            ("preprocessor_config.json", {"image_mean": [0.5]}, "image"),
            ("preprocessor_config.json", {"feature_extractor_type": "ASTFeatureExtractor"}, "audio"),
            ("tokenizer.json", {}, "text"),
        ],
    )
    def test_what_an_item_is_follows_from_its_files(self, allowed, name, content, modality):
        (allowed / "net" / name).write_text(json.dumps(content))
        assert _entry([allowed], source={"path": str(allowed / "net")}).modality == modality

    @pytest.mark.parametrize("content", ["", "[1]", "{"])
    def test_files_that_say_nothing_are_no_error(self, allowed, content):
        (allowed / "net" / "preprocessor_config.json").write_text(content)
        _refused("'text', 'image' or 'audio'", [allowed], source={"path": str(allowed / "net")})


class TestWords:
    @pytest.mark.parametrize(
        ("name", "format_"),
        [("news.bin", "word2vec-binary"), ("news.vec", "word2vec-text"), ("glove.6B.txt", "glove")],
    )
    def test_the_format_follows_from_the_name_or_is_said(self, allowed, name, format_):
        path = allowed / name
        path.touch()
        hosted = _entry([allowed], source={"words": str(path)})
        assert (hosted.source, hosted.modality) == (Words(str(path.resolve()), format_), "text")
        said = _entry([allowed], source={"words": str(path), "format": "glove"})
        assert said.source.format == "glove"

    def test_a_folder_is_no_file(self, allowed):
        assert _refused("no file", [allowed], source={"words": str(allowed / "net")}) == ["/source/words"]


class TestAdapter:
    def _resolve(self, changes=None, **files):
        given = {
            "name": "intents",
            "number": 3,
            "kind": "affine",
            "backbone": "fake",
            "backbone_digest": "d" * 64,
            "tap": "pooled",
            "width": 3,
            "classes": ("a", "b"),
            "method": {"method": "logistic"},
            "temperature": 1.0,
            "calibrated": True,
            "dataset": "ds_1",
            "dataset_sha256": "s" * 64,
            "job": "job_1",
            "created_at": "2026-01-01T00:00:00+00:00",
            "seed": 0,
            "files": files,
        }
        return lambda reference: Version(Manifest(**given | (changes or {})), {}, {}, 1.0)

    def test_a_method_without_a_hidden_layer_has_no_trunk(self):
        match = "Adapters of method 'logistic' have no hidden layer, so intents:3 has no trunk"
        assert _refused(match, resolve=self._resolve(), source={"adapter": "intents:3"}) == ["/source/adapter"]

    def test_a_version_with_a_trunk_is_its_source(self):
        resolve = self._resolve(**{TRUNK_NAME: FileEntry("t" * 64, 10)})
        hosted = _entry(resolve=resolve, source={"adapter": "intents"})
        assert hosted.source == Trunk("intents:3", f"/blobs/{'t' * 64}", "d" * 64)
        assert (hosted.modality, hosted.about) == ("text", "the trunk of the adapter intents:3")

    def test_what_a_trunk_takes_of_its_backbone_goes_with_it(self):
        changes = {"tap": "blocks", "parts": ((0, 4), (8, 12)), "modality": "image"}
        hosted = _entry(
            resolve=self._resolve(changes, **{TRUNK_NAME: FileEntry("t" * 64, 10)}), source={"adapter": "intents"}
        )
        assert isinstance(hosted.source, Trunk)
        assert (hosted.source.tap, hosted.source.parts, hosted.modality) == ("blocks", ((0, 4), (8, 12)), "image")

    @pytest.mark.parametrize(("name", "value"), [("max_tokens", 9), ("pooling", "cls"), ("taps", ["block3"])])
    def test_how_items_are_prepared_is_not_asked_for(self, name, value):
        resolve = self._resolve(**{TRUNK_NAME: FileEntry("t" * 64, 10)})
        match = "takes items as the backbone that it was fitted on does"
        assert _refused(match, resolve=resolve, source={"adapter": "intents"}, **{name: value}) == [f"/{name}"]
        assert _entry(resolve=resolve, source={"adapter": "intents"}, normalise=True).options.normalise

    @pytest.mark.parametrize("modality", ["table", "vector"])
    def test_what_was_fitted_without_a_backbone_has_nothing_to_stand_on(self, modality):
        changes = {"modality": modality, "backbone": "", "backbone_digest": ""}
        resolve = self._resolve(changes, **{TRUNK_NAME: FileEntry("t" * 64, 10)})
        match = f"fitted on {modality} items, which have no backbone"
        assert _refused(match, resolve=resolve, source={"adapter": "intents"}) == ["/source/adapter"]


class TestForm:
    def _form(self, **fields):
        return check(HostForm, {"id": "mine", "output": "y"} | fields, where="form", strict=False)

    def test_an_uploaded_graph_is_its_source(self):
        form = self._form(modality="image", input="x", preprocess='{"size": 32}', normalise="true", licence="MIT")
        hosted = form_entry(form, Path("/blobs/a"), None)
        assert hosted.source == OnnxFile("/blobs/a", "x", "y")
        assert hosted.options == Options(normalise=True, preprocess={"size": 32})
        assert hosted.licence == "MIT"

    def test_a_text_encoder_has_a_tokenizer_and_others_name_their_input(self):
        with pytest.raises(BodyInvalid, match=r"tokenizer\.json"):
            form_entry(self._form(modality="text"), Path("/blobs/a"), None)
        with pytest.raises(BodyInvalid, match="input for audio items"):
            form_entry(self._form(modality="audio"), Path("/blobs/a"), None)
        hosted = form_entry(self._form(modality="text"), Path("/blobs/a"), Path("/blobs/b"))
        assert hosted.source == OnnxFile("/blobs/a", "", "y", "/blobs/b")

    def test_what_is_no_json_says_so(self):
        with pytest.raises(BodyInvalid, match=r"/preprocess: .*not JSON"):
            self._form(modality="image", preprocess="{size")
