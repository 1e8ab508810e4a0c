import dataclasses
import hashlib
import sys

import pytest

from models.catalog import entry
from models.errors import ExportFailed, WeightsCorrupt
from models.weights import check_sha256, sha256_file, weights_folder

CONTENT = b"not really weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """An entry whose package lies in a temporary folder, and which fails when it is imported."""
    home = tmp_path / "weights_of_a_test"
    (home / "model").mkdir(parents=True)
    (home / "__init__.py").write_text("raise RuntimeError('imported')")
    (home / "model" / "model.safetensors").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return dataclasses.replace(entry("minilm-l6"), package="weights_of_a_test", weights_sha256=SHA256)


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
        weights_folder(dataclasses.replace(packaged, weights_sha256="0" * 64))


def test_a_package_that_is_not_installed_is_named(packaged):
    with pytest.raises(ExportFailed, match=r"no_such_package.*fit"):
        weights_folder(dataclasses.replace(packaged, package="no_such_package"))


def test_an_entry_without_weights_has_no_folder():
    with pytest.raises(ExportFailed, match="fake"):
        weights_folder(entry("fake"))
