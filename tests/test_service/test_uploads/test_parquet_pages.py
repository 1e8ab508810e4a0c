from mmap import ACCESS_READ, mmap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.uploads.parquet_pages import page_bytes


def measured(path: Path, start: int, length: int) -> list[int]:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return list(page_bytes(data, start, length))


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("checksum", [True, False])
def test_pages_of_a_real_file_add_up_to_what_its_footer_says(tmp_path: Path, version: str, checksum: bool):
    path = tmp_path / "upload"
    table = pa.table({"text": [f"text {index % 700}" for index in range(5_000)]})
    pq.write_table(
        table, path, compression="zstd", data_page_size=1_000, data_page_version=version, write_page_checksum=checksum
    )
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    sizes = measured(path, chunk.dictionary_page_offset, chunk.total_compressed_size)
    assert len(sizes) > 3
    # The footer's figure counts the page headers too.
    assert 0 <= chunk.total_uncompressed_size - sum(sizes) <= 100 * len(sizes)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",  # no sizes
        b"\x15\x00\x15\x80\x80\x80\x80\x10\x15\x02\x00",  # a size that runs on into the next field
        b"\x15\x00\x15\x02\x15\x7e\x00",  # a page longer than the file
        b"\x15\x00\x15\x01\x15\x02\x00\x00",  # a negative size
        b"\x1f",  # an unknown type
        b"\x15" + b"\xff" * 20,  # a number that does not end
        b"\x48\xff\xff\xff\x7f",  # a string that leads out of the file
        b"\x4c" + b"\x1c" * 5_000,  # nested too deeply
        b"\x15",  # breaks off
    ],
)
def test_what_is_no_page_header_raises(tmp_path: Path, data: bytes):
    path = tmp_path / "upload"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"page|number"):
        measured(path, 0, 100)


def test_an_offset_outside_the_file_raises(tmp_path: Path):
    path = tmp_path / "upload"
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="out of the file"):
        measured(path, 1_000, 10)
    with pytest.raises(ValueError, match="out of the file"):
        measured(path, -10, 10)
