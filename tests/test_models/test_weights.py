import dataclasses
import hashlib
import sys

import pytest

from models.errors import ExportFailed, SourceRefused, WeightsCorrupt
from models.sources import Folder, Package
from models.weights import check_sha256, local_folder, sha256_file, weights_folder, weights_sha256

CONTENT = b"not really weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A source whose package lies in a temporary folder, and which fails when it is imported."""
    home = tmp_path / "weights_of_a_test"
    (home / "model").mkdir(parents=True)
    (home / "__init__.py").write_text("raise RuntimeError('imported')")
    (home / "model" / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return Package("weights_of_a_test", "model", SHA256)


def test_sha256_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    assert sha256_file(path) == SHA256
    check_sha256(path, SHA256)


def test_another_content_is_corrupt(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(WeightsCorrupt, match=SHA256):
        check_sha256(path, SHA256)


def test_a_missing_file_is_corrupt(tmp_path):
    with pytest.raises(WeightsCorrupt, match="missing"):
        check_sha256(tmp_path / "file", SHA256)


def test_the_package_is_found_and_never_imported(packaged, tmp_path):
    assert weights_folder(packaged) == tmp_path / "weights_of_a_test" / "model"
    assert "weights_of_a_test" not in sys.modules


def test_weights_that_were_swapped_are_refused(packaged):
    with pytest.raises(WeightsCorrupt):
        weights_folder(dataclasses.replace(packaged, sha256="0" * 64))


def test_a_package_that_is_not_installed_is_named(packaged):
    with pytest.raises(ExportFailed, match=r"no_such_package.*fit"):
        weights_folder(dataclasses.replace(packaged, package="no_such_package"))


@pytest.fixture
def folder(tmp_path):
    """A folder in Hugging Face layout."""
    home = tmp_path / "allowed" / "weights"
    home.mkdir(parents=True)
    (home / "config.json").write_text("{}")
    (home / "model.safetensors").write_bytes(CONTENT)
    return home


def test_a_folder_with_configuration_and_weights_is_taken(folder):
    assert local_folder(Folder(str(folder))) == folder
    assert weights_sha256(folder) == SHA256


def test_for_timm_the_weights_alone_are_enough(folder):
    (folder / "config.json").unlink()
    assert local_folder(Folder(str(folder), timm="vgg16")) == folder
    with pytest.raises(SourceRefused, match=r"has no config\.json.*timm"):
        local_folder(Folder(str(folder)))


def test_shards_are_one_digest(folder):
    whole = weights_sha256(folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert local_folder(Folder(str(folder))) == folder
    before = weights_sha256(folder)
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"other")
    assert len({whole, before, weights_sha256(folder)}) == 3


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pytorch_model.bin", r"pickles only \(pytorch_model\.bin\)"),
        ("model.ckpt", "pickles only"),
        ("weights.safetensors", r"no model\.safetensors; it has weights\.safetensors"),
        ("tf_model.h5", r"no model\.safetensors\. "),
    ],
)
def test_other_weights_are_refused(folder, name, sentence):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(SourceRefused, match=sentence):
        local_folder(Folder(str(folder)))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(SourceRefused, match="link to a file outside"):
        local_folder(Folder(str(folder)))


def test_what_is_no_folder_is_refused(folder):
    for path in (folder / "none", folder / "config.json"):
        with pytest.raises(SourceRefused, match="is not a folder"):
            local_folder(Folder(str(path)))
