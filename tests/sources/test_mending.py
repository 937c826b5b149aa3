"""Pictures that a decoder gives up on although every pixel is there: taken, with the pixels of the sound file."""

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from vecstore.sources import iso_media, jpeg
from vecstore.sources.decoding import Unreadable, decode, media_type

CUT_OFF = "cut off: the file ends too early"
JUNK = np.random.default_rng(1).bytes(3000)


def picture(kind: str, **options: Any) -> bytes:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(file, kind, **options)
        return file.getvalue()


def assert_same_pixels(content: bytes, sound: bytes) -> None:
    np.testing.assert_array_equal(np.asarray(decode(content)), np.asarray(decode(sound)))


def refusal(content: bytes) -> str:
    with pytest.raises(Unreadable) as refused:
        decode(content)
    return str(refused.value)


# PNG


def chunk(kind: bytes, body: bytes, damage: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ damage)


OVERLONG = zlib.compress(bytes(2 << 20))
DOUBTFUL = {
    "a text with a bad checksum": chunk(b"tEXt", b"Comment\0some text", damage=1),
    "an unknown chunk with a bad checksum": chunk(b"abCd", b"anything", damage=1),
    "an overlong packed text": chunk(b"zTXt", b"Comment\0\0" + OVERLONG),
    "an overlong international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + OVERLONG),
    "an overlong profile": chunk(b"iCCP", b"profile\0\0" + OVERLONG),
    "a size in metres that is cut off": chunk(b"pHYs", b"\0\0"),
    "a gamma that is cut off": chunk(b"gAMA", b"\0"),
    "frames that are none": chunk(b"fcTL", b"\0"),
}


@pytest.mark.parametrize("place", ["before the pixels", "behind the pixels"])
@pytest.mark.parametrize("what", DOUBTFUL)
def test_a_png_is_taken_whatever_no_pixel_needs(what: str, place: str) -> None:
    sound = picture("PNG")
    at = 33 if place == "before the pixels" else len(sound) - 12
    assert_same_pixels(sound[:at] + DOUBTFUL[what] + sound[at:], sound)


def test_more_texts_than_pillow_holds_do_not_cost_the_picture() -> None:
    sound, texts = picture("PNG"), chunk(b"tEXt", b"Comment\0" + bytes(33 << 20)) * 2
    assert_same_pixels(sound[:33] + texts + sound[33:], sound)


@pytest.mark.parametrize("where", ["eXIf", "XMP"])
def test_a_png_without_its_doubtful_text_is_still_turned_upright(where: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    up = (
        chunk(b"eXIf", exif.tobytes()[6:]) if where == "eXIf" else chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp)
    )
    sound = picture("PNG")
    content = sound[:33] + up + DOUBTFUL["an overlong profile"] + sound[33:]
    np.testing.assert_array_equal(np.asarray(decode(content)), np.rot90(np.asarray(decode(sound)), -1))


@pytest.mark.parametrize("missing", [1, 4, 8, 12, 14, 16, 20])
def test_a_png_whose_pixels_are_all_there_needs_no_end(missing: int) -> None:
    assert_same_pixels(picture("PNG")[:-missing], picture("PNG"))


def test_a_png_of_which_pixels_are_missing_is_refused_whatever_else_is_wrong() -> None:
    sound = picture("PNG")
    assert refusal(sound[:33] + DOUBTFUL["an overlong profile"] + sound[33:-60]).startswith("a PNG picture")


def test_a_damaged_header_is_not_made_to_look_sound() -> None:
    sound = bytearray(picture("PNG"))
    sound[29] ^= 1  # the checksum of the first chunk, which no picture can do without
    assert "IHDR" in refusal(bytes(sound))


# JPEG

WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_blocks": 7},
    "of full colour": {"subsampling": 0},
    "grey": {"progressive": True, "subsampling": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_scans_behind_the_end_of_a_jpeg_are_not_its_own(way: str) -> None:
    sound = picture("JPEG", **WAYS[way])
    assert_same_pixels(sound + JUNK + b"\xff\xda\0\2" * 200, sound)


def test_many_pictures_behind_each_other_are_the_first_of_them() -> None:
    sound = picture("JPEG", progressive=True)
    assert_same_pixels(sound * 30, sound)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_whose_pixels_are_all_there_needs_no_end(way: str, missing: int) -> None:
    sound = picture("JPEG", **WAYS[way])
    assert_same_pixels(sound[:-missing], sound)


def test_a_jpeg_without_an_end_may_fill_a_block_of_the_disk() -> None:
    sound = picture("JPEG")
    assert_same_pixels(sound[:-2] + bytes(500), sound)


@pytest.mark.parametrize("missing", [4, 5, 6, 10, 100])
@pytest.mark.parametrize("way", WAYS)
def test_a_jpeg_whose_last_pixels_are_missing_is_refused(way: str, missing: int) -> None:
    assert refusal(picture("JPEG", **WAYS[way])[:-missing]) == CUT_OFF


def test_a_jpeg_whose_pixels_came_as_zeros_is_refused() -> None:
    sound = picture("JPEG")
    assert refusal(sound[: len(sound) // 2] + bytes(len(sound) // 2)) == CUT_OFF


def test_a_progressive_jpeg_without_its_last_scan_is_refused() -> None:
    content = picture("JPEG", progressive=True)
    last_but_one = [marker for marker in jpeg.markers(content) if marker.code == 0xDA][-2]
    assert refusal(content[: last_but_one.end]) == CUT_OFF


@pytest.mark.parametrize("behind", [0, 2])
def test_a_jpeg_that_ends_at_a_restart_is_refused(behind: int) -> None:
    content = picture("JPEG", restart_marker_blocks=7)
    last = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)][-1]
    assert refusal(content[: last + behind]) == CUT_OFF


@pytest.mark.parametrize("code", [0xE2, 0xED, 0xEF, 0xFE])
def test_a_segment_of_a_jpeg_that_makes_no_sense_does_not_cost_the_picture(code: int) -> None:
    sound = picture("JPEG")
    segment = bytes((0xFF, code)) + struct.pack(">H", 40) + b"MPF\0II*\0\xff\xff\xff\x7f" + bytes(26)
    assert_same_pixels(sound[:2] + segment + sound[2:], sound)


def test_bytes_between_the_segments_of_a_jpeg_are_passed_over() -> None:
    sound = picture("JPEG")
    assert_same_pixels(sound[:20] + b"\0\0between\xff\xff" + sound[20:], sound)


# The others


@pytest.mark.parametrize("trailer", [JUNK, bytes(4096), b"\0\0\0\x10mdat", picture("JPEG")])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM"])
def test_what_is_behind_a_picture_does_not_cost_it(kind: str, trailer: bytes) -> None:
    if kind in ("HEIF", "AVIF") and trailer.endswith(b"mdat"):
        trailer = b"\0\0\0\x40mpvd" + trailer  # a video that is cut off
    assert_same_pixels(picture(kind) + trailer, picture(kind))


def test_a_gif_needs_no_trailer() -> None:
    assert_same_pixels(picture("GIF")[:-1], picture("GIF"))


def test_a_webp_whose_last_metadata_is_cut_off_is_taken() -> None:
    content = picture("WEBP", lossless=True, xmp=b"<x/>" * 100)
    assert_same_pixels(content[:-50], picture("WEBP", lossless=True))


def test_a_video_behind_a_heic_picture_may_be_cut_off() -> None:
    assert not iso_media.is_cut_off(picture("HEIF") + b"\0\0\1\0mpvd" + bytes(9))


def test_a_mended_picture_is_one_that_browsers_show() -> None:
    sound = picture("PNG")
    assert media_type(sound[:33] + DOUBTFUL["an overlong profile"] + sound[33:]) == "image/png"
