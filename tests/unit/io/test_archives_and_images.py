"""Archives are read in place and images through one decoder; hostile ones are refused by name."""

import io
import struct
import zipfile

import pytest
from PIL import Image

from omnirl.errors import DataError
from omnirl.io import archives, images


def png(size=(4, 3), colour=(255, 0, 0)):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def make_zip(path, members, **kwargs):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **kwargs) as handle:
        for name, data in members:
            handle.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "C:/x"])
def test_a_member_that_leads_out_is_refused(tmp_path, name):
    make_zip(tmp_path / "a.zip", [("ok", b"1"), (name, b"2")])
    with pytest.raises(DataError, match="leads out"):
        archives.list_members(tmp_path / "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(tmp_path):
    make_zip(tmp_path / "a.zip", [("x", b"1"), ("x", b"2")])
    with pytest.raises(DataError, match="stands twice"):
        archives.read_member(tmp_path / "a.zip", "x")


def test_an_encrypted_member_is_refused(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", [("x", b"1")]).read_bytes())
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, struct.unpack_from("<H", data, at + 8)[0] | 1)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(DataError, match="is encrypted"):
        archives.read_member(tmp_path / "b.zip", "x")


def test_a_bomb_is_stopped_while_reading(tmp_path):
    make_zip(tmp_path / "a.zip", [("bomb", bytes(200_000_000))])
    assert (tmp_path / "a.zip").stat().st_size < 300_000
    with pytest.raises(DataError, match="bomb"):
        archives.read_member(tmp_path / "a.zip", "bomb")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_says_so(tmp_path, keep):
    whole = make_zip(tmp_path / "a.zip", [(f"{i}", bytes(range(256)) * 10) for i in range(50)]).read_bytes()
    (tmp_path / "b.zip").write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match="not a complete zip archive .*; fetch it again"):
        archives.list_members(tmp_path / "b.zip")


def test_damaged_member_bytes_are_an_error_not_wrong_bytes(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", [("x", bytes(range(256)) * 40)]).read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(DataError, match="b.zip::x: damaged"):
        archives.read_member(tmp_path / "b.zip", "x")


@pytest.mark.parametrize("reference", ["../out.txt", "/etc/passwd", "link/passwd", "http://127.0.0.1/x.png", "a\0b"])
def test_a_reference_never_leaves_its_root(tmp_path, reference):
    (tmp_path / "root").mkdir()
    (tmp_path / "out.txt").write_text("secret")
    (tmp_path / "root/link").symlink_to("/etc")
    with pytest.raises(DataError):
        archives.read_reference(tmp_path / "root", reference)


def test_image_members_are_read_without_unpacking(tmp_path):
    make_zip(tmp_path / "a.zip", [("d/x.png", png((5, 7)))])
    image = images.load_image(tmp_path, "a.zip::d/x.png")
    assert (image.size, image.mode, image.getpixel((0, 0))) == ((5, 7), "RGB", (255, 0, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_exif_orientation_is_applied():
    picture = Image.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif)
    assert images.decode_image(out.getvalue(), where="x").size == (2, 4)


def test_too_many_pixels_are_refused_before_decoding():
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B", 13, b"IHDR", 50_000, 50_000, 8, 2, 0, 0, 0)
    import zlib

    header += struct.pack(">I", zlib.crc32(header[12:]))
    with pytest.raises(DataError, match="50000x50000 pixels, more than|damaged image"):
        images.decode_image(header + b"\0\0\0\0IEND", where="x")


def test_other_formats_truncation_and_animation_are_refused():
    gif, truncated, frames = io.BytesIO(), png((64, 64))[:-30], io.BytesIO()
    Image.new("RGB", (2, 2)).save(gif, "GIF")
    Image.new("RGB", (2, 2)).save(
        frames, "WEBP", save_all=True, append_images=[Image.new("RGB", (2, 2), "red")], lossless=True
    )
    for data, reason in (
        (gif.getvalue(), "not a PNG, JPEG or WEBP"),
        (truncated, "damaged image"),
        (frames.getvalue(), "2 frames"),
    ):
        with pytest.raises(DataError, match=reason):
            images.decode_image(data, where="x")
