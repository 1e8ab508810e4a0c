"""How large an upload, and each part of it, may be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one upload; every reader takes them as an argument and none goes on past them."""

    bytes: int = 100 * 1024 * 1024
    """Largest file, in bytes (100 MiB); also the most bytes of an archive's files once unpacked."""
    rows: int = 100_000
    """Most rows, the header not counted; of an archive, most files."""
    row_chars: int = 1_000_000
    """Longest row of a text file, in characters, all its columns together; also the longest header."""
    columns: int = 1_000
    """Most columns, used or not."""
    cells: int = 20_000_000
    """Most cells of a table, rows times columns; each is held as an object of its own while the table is typed."""
    numbers: int = 60_000_000
    """Most numbers of all vectors together (four bytes each once read)."""
    width: int = 16_384
    """Longest vector."""
    cell_chars: int = 20_000
    """Longest text, in characters; a row with a longer one is bad."""
    label_chars: int = 200
    """Longest label, in characters; a row with a longer one is bad."""
    file_bytes: int = 32 * 1024 * 1024
    """Largest image or sound, as a file (32 MiB); a larger one is bad."""
    pixels: int = 100_000_000
    """Largest image, in pixels; a larger one is bad."""
    seconds: float = 3_600.0
    """Longest sound, in seconds; a longer one is bad."""
    classes: int = 2_000
    """Most different labels."""
    bad_fraction: float = 0.1
    """Largest share of bad rows, 0 to 1; above it the upload is refused."""
    listed_problems: int = 100
    """Most bad rows that are listed one by one; further ones are only counted."""
