"""Files that are no text are known by their first bytes."""

import pytest

from graft.cli.magic import binary_kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04 [Content_Types].xml", "an Excel workbook or another Office document"),
        (b"PK\x03\x04 data.csv", "a zip archive"),
        (b"PAR1\x15", "a Parquet file"),
        (b"PAR1 is a word", None),
        (b"text,label", None),
        (b"", None),
    ],
)
def test_kinds(head, kind):
    assert binary_kind(head) == kind
