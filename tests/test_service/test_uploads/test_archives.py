"""Archives that were made to do harm, or by tools of their own habits."""

import io
import random
import stat
import struct
import tarfile
import zipfile
from contextlib import suppress

import pytest

from service.errors import InputError, UploadRefused, UploadTooLarge, UploadUnreadable
from service.uploads.archives import open_archive
from service.uploads.limits import Limits


@pytest.fixture
def members(tmp_path):
    """Paths and contents of an archive; nothing is left beside it."""

    def reading(data, kind="zip", **limits):
        path = tmp_path / "upload"
        path.write_bytes(data)
        try:
            with open_archive(path, kind, Limits(**limits)) as found:
                return {member.path: member.entry.read(1000) for member in found}
        finally:
            assert list(tmp_path.iterdir()) == [path]

    return reading


def _zip_with(info, data=b"x"):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(info, data)
    return sink.getvalue()


def _tar_with(**fields):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("a/b.png")
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info)
    return sink.getvalue()


def test_files_come_in_the_order_of_their_paths(members, packed):
    data = packed({"b/2": b"two", "a/1": b"one", "./c/3": b"three", "b\\1": b"four"})
    kind = "zip" if data.startswith(b"PK") else "tar"
    assert list(members(data, kind).items()) == [
        ("a/1", b"one"),
        ("b/1", b"four"),
        ("b/2", b"two"),
        ("c/3", b"three"),
    ]


@pytest.mark.parametrize("path", ["../up.png", "a/../../up.png", "/etc/passwd", "C:/x.png", "a\\..\\..\\up.png"])
def test_paths_that_lead_out_are_refused(members, packed, path):
    data = packed({path: b"x"})
    with pytest.raises(UploadRefused, match=r"which leads out of it. Write it again with relative paths"):
        members(data, "zip" if data.startswith(b"PK") else "tar")


def test_links_are_refused(members):
    link = zipfile.ZipInfo("a/link.png")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UploadRefused, match=r"'a/link.png', which is a link or a device"):
        members(_zip_with(link, b"/etc/passwd"))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with pytest.raises(UploadRefused, match=r"'a/b.png', which is a link or a device"):
            members(_tar_with(type=kind, linkname="/etc/passwd"), "tar")


def test_holes_are_refused(members):
    with pytest.raises(UploadRefused, match="stored with holes"):
        members(_sparse(), "tar")


def _sparse():
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("a/b.png")
        info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1"}
        info.pax_headers |= {"GNU.sparse.size": "1000000000000", "GNU.sparse.name": "a/b.png"}
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    return sink.getvalue()


def test_encrypted_files_are_refused(members):
    data = bytearray(_zip_with("a/b.png"))
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 8] |= 1
    with pytest.raises(UploadRefused, match="is encrypted"):
        members(bytes(data))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(members, method):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        archive.writestr("a/b.png", b"x" * 100)
    with pytest.raises(UploadRefused, match=r"ordinary method \(deflate\)"):
        members(sink.getvalue())


def test_two_files_of_one_name_are_refused(members, tar_of):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a/b.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a/b.png", b"2")
    with pytest.raises(UploadRefused, match=r"holds 'a/b.png' twice"):
        members(sink.getvalue())
    with pytest.raises(UploadRefused, match="twice"):  # one letter in two spellings of Unicode
        members(tar_of({"\u00e9.png": b"1", "e\u0301.png": b"2"}), "tar")


def test_bombs_are_refused_before_they_go_off(members, packed):
    data = packed({f"a/{at}.png": bytes(2_000_000) for at in range(3)})
    kind = "zip" if data.startswith(b"PK") else "tar"
    with pytest.raises(UploadTooLarge, match=r"the limit (for its files )?is 1000000"):
        members(data, kind, bytes=1_000_000)


def test_what_is_passed_over_is_not_unpacked_without_end(members, tar_of):
    data = tar_of({"a/b.png": b"x", ".hidden": bytes(5_000_000)}, "w:gz")
    with pytest.raises(UploadTooLarge, match="unpacks to more than"):
        members(data, "tar", bytes=1_000_000)


def test_a_zip_that_lies_about_sizes_gives_no_more_than_it_says(members):
    data = bytearray(_zip_with("a/b.png", b"x" * 500))
    directory = data.rindex(b"PK\x01\x02")
    struct.pack_into("<L", data, directory + 24, 10)
    with pytest.raises(UploadUnreadable, match=r"'a/b.png' cannot be read from the archive \(BadZipFile\)"):
        members(bytes(data))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_directory_of_very_many_is_refused_before_it_is_read(members, zip_of, tar_of, kind):
    data = (zip_of if kind == "zip" else tar_of)({f".{at}": b"" for at in range(1_100)})
    assert members(data, kind, rows=100) == {}
    with pytest.raises(UploadTooLarge, match="limit"):
        members(data, kind, rows=10)


def test_archives_of_more_than_65535_files_are_read(members):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for at in range(65_600):
            archive.writestr(zipfile.ZipInfo(f".{at}"), b"")
        archive.writestr("a/b.png", b"x")
    assert members(sink.getvalue()) == {"a/b.png": b"x"}
    with pytest.raises(UploadTooLarge, match="files and folders"):
        members(sink.getvalue(), rows=30_000)


@pytest.mark.parametrize("length", [30, 100, -30, -1])
def test_an_archive_that_breaks_off_is_unreadable(members, packed, length):
    data = packed({"a/1.png": b"x" * 2000, "a/2.png": bytes(range(256)) * 8})
    kind = "zip" if data.startswith(b"PK") else "tar"
    if kind == "tar" and length < 0:
        length = 2600 if data[:1] == b"a" else length - 40
    with pytest.raises(UploadUnreadable):
        members(data[:length], kind)


def test_a_tar_with_a_negative_size_is_unreadable(members, tar_of):
    """Each such file would be read to the end of the archive, whatever the limit."""
    data = bytearray(tar_of({"a/1.png": b"x", "a/2.png": b"y"}))
    data[124:136] = b"\xff" * 12
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    with pytest.raises(UploadUnreadable, match="ReadError"):
        members(bytes(data), "tar")


def test_a_tar_damaged_between_files_is_unreadable(members, tar_of):
    data = bytearray(tar_of({"a/1.png": b"x", "a/2.png": b"y"}))
    data[1024:1100] = b"#" * 76
    with pytest.raises(UploadUnreadable, match="damaged at byte 1024"):
        members(bytes(data), "tar")


def test_names_of_old_and_careless_zips(members):
    careless, old = (zipfile.ZipInfo("x") for _ in range(2))
    careless.filename = "caf\u00e9".encode().decode("cp437") + "/1.png"
    old.filename = "caf\u00e9/2.png"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(careless, b"1")
        archive.writestr(old, b"2")
    data = sink.getvalue()
    for name in (careless.filename, old.filename):  # the library marks both as UTF-8; as such tools do, nothing does
        data = data.replace(name.encode(), name.encode("cp437").ljust(len(name.encode()), b"_"))
    data = data.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00")
    assert {path.partition("/")[0] for path in members(data)} == {"caf\u00e9"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_random_damage_ends_in_an_archive_or_a_sentence(members, zip_of, tar_of, kind):
    whole = (zip_of if kind == "zip" else tar_of)({f"a/{at}.png": bytes([at]) * 50 for at in range(5)})
    chance = random.Random(4)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(InputError):  # anything else ends the test
            members(bytes(data), kind)
