"""Is a text file UTF-8 from end to end? Asked once, before any parser sees it."""

import codecs
from pathlib import Path

from service.errors import UploadUnreadable

_CHUNK_BYTES = 1 << 20
_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_REMEDY = (
    "Save the file as UTF-8 and send it again: in Excel, File > Save As > 'CSV UTF-8 (Comma delimited)'; "
    "in a text editor, choose the encoding UTF-8."
)


def check_utf8(path: Path) -> None:
    """Reads the whole file once and makes sure that it is UTF-8 (with or without a byte order mark) and holds no NUL.

    Cost: one pass in chunks of 1 MiB; memory does not grow with the file.

    Raises:
        UploadUnreadable: It is not; the message names the line, the byte and what to do.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = lines = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK_BYTES)
            if offset == 0:
                _check_wide(chunk)
            pending = decoder.getstate()[0]
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                seen = (pending + chunk)[: error.start]
                raise _not_utf8(offset - len(pending) + error.start, lines + _line_ends(seen), error) from None
            if (nul := chunk.find(0)) >= 0:
                raise _holds_nul(offset + nul, lines + _line_ends(chunk[:nul]))
            if not chunk:
                return
            offset += len(chunk)
            lines += _line_ends(chunk)


def _line_ends(data: bytes) -> int:
    """Line ends in `data`, of the three kinds; a CRLF torn between two chunks counts twice, which no message shows."""
    return max(data.count(b"\n"), data.count(b"\r"))


def _check_wide(head: bytes) -> None:
    """UTF-16 and UTF-32 are valid UTF-8 or not by accident; they are told apart by their mark or their many NULs."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            raise UploadUnreadable(
                f"The file is {name}: it starts at byte 0 with {_spelled(bom)}; only UTF-8 is read. {_REMEDY}"
            )
    start = head[:1024]
    if len(start) >= 4 and start.count(0) * 3 >= len(start):
        raise UploadUnreadable(
            f"The file looks like UTF-16 or UTF-32: {start.count(0)} of its first {len(start)} bytes are 0x00, "
            f"the first at byte {start.find(0)}; only UTF-8 is read. {_REMEDY}"
        )


def _not_utf8(offset: int, lines_before: int, error: UnicodeDecodeError) -> UploadUnreadable:
    seen = error.object[error.start : error.start + 1]
    return UploadUnreadable(
        f"The file is not UTF-8: line {lines_before + 1} holds the byte {_spelled(seen)} at byte {offset}, which is "
        f"not valid there (the file may be Latin-1 or Windows-1252). {_REMEDY}"
    )


def _holds_nul(offset: int, lines_before: int) -> UploadUnreadable:
    return UploadUnreadable(
        f"The file holds a NUL byte (0x00) at byte {offset}, in line {lines_before + 1}; texts never do. "
        "Is it a binary file under a text file's name? Remove the byte, or send the file that was meant."
    )


def _spelled(data: bytes) -> str:
    return " ".join(f"0x{byte:02X}" for byte in data)
