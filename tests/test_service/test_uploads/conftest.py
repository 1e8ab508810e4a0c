"""One fixture: bytes under a name -> what `read_text` makes of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.uploads.limits import Limits
from service.uploads.text import TextItems, read_text

Read = Callable[..., TextItems]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(data: bytes | str, filename: str = "upload.csv", **options: object) -> TextItems:
        path = tmp_path / "upload"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        given = {"text": None, "label": None, "strict": False, "limits": Limits()} | options
        return read_text(path, filename, **given)

    return reading
