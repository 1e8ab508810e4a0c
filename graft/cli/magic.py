"""Files that are no text, whatever their names say: known by their first bytes."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word document"),
    # The byte after the mark opens the first page's header; a text may well begin with PAR1.
    (b"PAR1\x15", "a Parquet file"),
)


def binary_kind(head: bytes) -> str | None:
    """What a file is whose first bytes (some 100 are enough) are those of no text; None where they may be text."""
    if head.startswith(b"PK\x03\x04"):
        office = b"[Content_Types].xml" in head or b"xl/" in head
        return "an Excel workbook or another Office document" if office else "a zip archive"
    return next((kind for signature, kind in _MAGIC if head.startswith(signature)), None)
