from pathlib import Path

import pytest

from service.errors import UploadUnreadable
from service.uploads import encoding
from service.uploads.encoding import check_utf8


def test_plain_utf8_passes_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoding, "_CHUNK_BYTES", 7)
    path = tmp_path / "a"
    path.write_text("\ufeffçédille 😀\r\n" * 20, encoding="utf-8")
    check_utf8(path)


@pytest.mark.parametrize("chunk_bytes", [3, 5, 8, 1 << 20])
def test_the_place_does_not_depend_on_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int):
    monkeypatch.setattr(encoding, "_CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "a"
    path.write_bytes("é1\né2\né3\n".encode() + b"abc\xe9\n")
    with pytest.raises(UploadUnreadable, match="line 4 holds the byte 0xE9 at byte 15"):
        check_utf8(path)


def test_a_nul_is_named_by_byte_and_line(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"text,label\r\nfine,a\r\nno\x00t fine,b\r\n")
    with pytest.raises(UploadUnreadable, match=r"NUL byte \(0x00\) at byte 22, in line 3"):
        check_utf8(path)
