"""Fixtures: bytes under a name -> what the readers make of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.uploads.items import Items, Reading
from service.uploads.limits import Limits
from service.uploads.read import read_upload
from service.uploads.rows_in import Incoming, open_rows
from service.uploads.text import TextItems, read_text

Read = Callable[..., TextItems]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Texts."""

    def reading(data: bytes | str, filename: str = "upload.csv", **options: object) -> TextItems:
        path = tmp_path / "upload"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        given = {"text": None, "label": None, "strict": False, "limits": Limits()} | options
        return read_text(path, filename, **given)

    return reading


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Items]:
    """Any modality; what the caller says about the file are keywords."""

    def reading(
        data: bytes | str, filename: str = "upload.csv", *, limits: Limits | None = None, **said: object
    ) -> Items:
        path = tmp_path / "upload"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        try:
            return read_upload(path, filename, Reading(**said), limits or Limits())
        finally:
            assert list(tmp_path.iterdir()) == [path], "something was left behind"

    return reading


@pytest.fixture
def incoming(tmp_path: Path) -> Callable[..., Incoming]:
    """A file to predict."""

    def opening(data: bytes | str, filename: str = "upload.csv", modality: str = "table", **limits: int) -> Incoming:
        path = tmp_path / "upload"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return open_rows(path, filename, Limits(**limits), modality=modality, clean=tmp_path / "clean")

    return opening
