"""Fixtures: bytes under a name -> what the readers make of them."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from service.uploads.items import Items, Reading
from service.uploads.limits import Limits
from service.uploads.read import read_upload
from service.uploads.rows_in import Incoming, open_rows
from service.uploads.text import TextItems, read_text

Read = Callable[..., TextItems]
Drawn = Callable[..., bytes]


@pytest.fixture
def image() -> Drawn:
    """A drawn image as a file: every seed is another one."""

    def drawing(seed: int = 0, size: tuple[int, int] = (12, 9), form: str = "PNG") -> bytes:
        pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, form)
        return sink.getvalue()

    return drawing


@pytest.fixture
def sound() -> Drawn:
    """Noise as a file: every seed is another one."""

    def playing(seed: int = 0, seconds: float = 0.2, rate: int = 8_000, form: str = "WAV") -> bytes:
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, max(1, round(seconds * rate)))
        sink = io.BytesIO()
        soundfile.write(sink, samples, rate, format=form)
        return sink.getvalue()

    return playing


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Files as a zip archive."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """Files as a tar archive; `mode` as `tarfile` has it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.fixture(params=[zipped, tarred, partial(tarred, mode="w:gz"), partial(tarred, mode="w:bz2")])
def packed(request: pytest.FixtureRequest) -> Callable[[Mapping[str, bytes]], bytes]:
    """Every kind of archive in turn."""
    return request.param


@pytest.fixture
def zip_of() -> Callable[[Mapping[str, bytes]], bytes]:
    return zipped


@pytest.fixture
def tar_of() -> Callable[..., bytes]:
    return tarred


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Texts."""

    def reading(data: bytes | str, filename: str = "upload.csv", **options: object) -> TextItems:
        path = tmp_path / "upload"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        limits = options.pop("limits", Limits())
        otherwise = options.pop("otherwise", "")
        return read_text(path, filename, Reading(**options), limits, otherwise=otherwise)

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
