"""Which format is an upload in? Decided by its first bytes, then by its name; never by what the client declares."""

import bz2
import codecs
import gzip
import zlib
from pathlib import Path, PurePosixPath
from typing import Literal

from service.errors import FormatUnsupported, UploadTooLarge, UploadUnreadable
from service.uploads.limits import Limits
from service.uploads.media import HEAD_BYTES, kind_of

Format = Literal["csv", "tsv", "jsonl", "json", "parquet", "npy", "npz", "zip", "tar"]

_HEAD_BYTES = 4096
_PARQUET = b"PAR1"
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_ZIP_NAME_AT = 26
"""Where a zip member's header says how long its name is, which begins four bytes further on."""
_TAKEN = "Send CSV, TSV, JSON Lines or Parquet with one row an item, or vectors as NumPy (.npy, .npz)."
_ARCHIVES = "Images and sounds are taken as .zip, .tar, .tar.gz or .tar.bz2, in one folder for each class."
_COMPRESSED = (b"\x1f\x8b", b"BZh")
_USTAR_AT = 257
_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_RIFF = {b"WAVE": "a WAV sound", b"WEBP": "a WebP image", b"AVI ": "a film (AVI)"}
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh91AY&SY", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word document"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"ARROW1\x00\x00", "an Arrow (Feather) file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC\x08", "an ORC file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    *((bytes((0x80, protocol)), "a Python pickle, which is never loaded") for protocol in range(2, 6)),
    (b"\x7fELF", "a program"),
    (b"OggS\x00", "an Ogg sound"),
    (b"fLaC\x00", "a FLAC sound"),
    (b"ID3", "an MP3 sound"),
    (b"{\\rtf", "an RTF document"),
)


def sniff(path: Path, filename: str, limits: Limits, *, archives: bool = False) -> Format:
    """Names the format of a file.

    Args:
        path: The finished local file.
        filename: What the caller called it; only its suffix counts, and only where the bytes leave a choice.
        limits: The file's largest size.
        archives: Whether archives are taken.

    Raises:
        UploadTooLarge: More bytes than `limits.bytes`.
        UploadUnreadable: Empty, or not what its name says.
        FormatUnsupported: A known format that is not taken (a single image, workbook, web page, ...).
    """
    size_bytes = path.stat().st_size
    if size_bytes > limits.bytes:
        raise UploadTooLarge(
            f"The file has {size_bytes} bytes; the limit is {limits.bytes}. Send fewer or shorter rows."
        )
    head, tail = _ends(path, size_bytes)
    if not head:
        raise UploadUnreadable(f"The file is empty (0 bytes). {_TAKEN}")
    suffix = PurePosixPath(filename.replace("\\", "/").lower()).suffix
    if head.startswith(_PARQUET) and (tail == _PARQUET or suffix in {".parquet", ".pq"}):
        return _parquet(tail)
    if head.startswith(_NPY):
        return "npy"
    if _first_member(head).endswith(b".npy"):
        return "npz"
    if archives and (kind := _archive_format(path, head)) is not None:
        return kind
    _refuse_binary(head, archives=archives)
    return _text_format(head, suffix)


def _ends(path: Path, size_bytes: int) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size_bytes - len(_PARQUET)))
        return head, file.read(len(_PARQUET))


def _first_member(head: bytes) -> bytes:
    """Name of the first file in a zip archive; empty where the file is none."""
    if not head.startswith(_ZIP):
        return b""
    length = int.from_bytes(head[_ZIP_NAME_AT : _ZIP_NAME_AT + 2], "little")
    return head[_ZIP_NAME_AT + 4 : _ZIP_NAME_AT + 4 + length]


def _parquet(tail: bytes) -> Format:
    if tail != _PARQUET:
        raise UploadUnreadable(
            "The Parquet file breaks off: it starts with PAR1 and does not end with it. Write or upload it again."
        )
    return "parquet"


def _archive_format(path: Path, head: bytes) -> Literal["zip", "tar"] | None:
    if head.startswith(_EMPTY_ZIP):
        return "zip"
    if head.startswith(_ZIP):
        return None if b"[Content_Types].xml" in head or b"xl/workbook.xml" in head else "zip"
    if head[_USTAR_AT : _USTAR_AT + 5] == b"ustar":
        return "tar"
    return "tar" if head.startswith(_COMPRESSED) and _holds_tar(path, head) else None


def _holds_tar(path: Path, head: bytes) -> bool:
    """Whether what is compressed begins as a tar archive does."""
    opened = gzip.GzipFile if head.startswith(_COMPRESSED[0]) else bz2.BZ2File
    try:
        with opened(path, "rb") as file:
            return file.read(_USTAR_AT + 5).endswith(b"ustar")
    except (OSError, EOFError, ValueError, zlib.error):
        return False


def _refuse_binary(head: bytes, *, archives: bool) -> None:
    kind = _archive(head) or next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)
    if kind is None:
        return
    if not archives:
        raise FormatUnsupported(f"The file is {kind}, whatever its name says. {_TAKEN}")
    if kind_of(head[:HEAD_BYTES], "") is not None:
        raise FormatUnsupported(f"The file is {kind}, and a fit needs many with their labels. {_ARCHIVES}")
    raise FormatUnsupported(f"The file is {kind}, whatever its name says. {_TAKEN} {_ARCHIVES}")


def _archive(head: bytes) -> str | None:
    """Zip and RIFF are containers: what they hold is named a little further on."""
    if head.startswith(_ZIP):
        if b"xl/" in head or b"[Content_Types].xml" in head:
            return "an Excel workbook (or another Office document; in Excel, save the sheet as 'CSV UTF-8')"
        return "a zip archive"
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    return None


def _text_format(head: bytes, suffix: str) -> Format:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:200].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        raise FormatUnsupported(f"The file is a web page or XML, whatever its name says. {_TAKEN}")
    named = _BY_SUFFIX.get(suffix)
    if named == "parquet":
        raise UploadUnreadable(
            f"The name ends in {suffix}, but the file does not start with PAR1, as Parquet does. "
            "Write it again as Parquet, or give a text file its own ending (.csv, .tsv, .jsonl)."
        )
    if named == "jsonl" or (named is None and start[:1] in {b"{", b"["}):
        return "json" if start[:1] == b"[" else "jsonl"
    if named is not None:
        return named
    return "tsv" if b"\t" in start.partition(b"\n")[0] else "csv"
