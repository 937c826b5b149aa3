"""Camera raw, JPEG XL and what is not read: decoded with their extras, and refused by name."""

import io
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vecstore.sources import decode_memory, formats
from vecstore.sources.decoding import Unreadable, decode, looks_like_picture

RAW_MISSING = "a camera raw picture, which vecstore reads after `pip install 'vecstore[raw]'`"
JXL_MISSING = "a JPEG XL picture, which vecstore reads after `pip install 'vecstore[jxl]'`"
FORMS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 10: "i"}


def dng(sensor: NDArray[np.uint16], orientation: int = 1, preview: bytes = b"") -> bytes:
    """Return an uncompressed DNG of what a sensor under red, green, green and blue filters saw."""
    height, width = sensor.shape
    pixels = sensor.astype("<u2").tobytes()
    identity = [n for row in range(3) for column in range(3) for n in (int(row == column), 1)]
    whole = [(254, 4, [0]), (256, 4, [width]), (257, 4, [height]), (258, 3, [16]), (259, 3, [1]), (262, 3, [32803])]
    whole += [(273, 4, [0]), (277, 3, [1]), (278, 4, [height]), (279, 4, [len(pixels)])]
    whole += [(33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2]), (50714, 3, [0]), (50717, 4, [65535])]
    camera: list[tuple[int, int, Any]] = [(271, 2, b"Maker\0"), (272, 2, b"Model\0"), (274, 3, [orientation])]
    camera += [(50706, 1, [1, 4, 0, 0]), (50707, 1, [1, 1, 0, 0]), (50708, 2, b"Maker Model\0")]
    camera += [(50721, 10, identity), (50728, 5, [1] * 6), (50778, 3, [21])]
    if not preview:
        return b"II*\0\x08\0\0\0" + directory(8, whole + camera, pixels)
    with Image.open(io.BytesIO(preview)) as image:
        small = [(254, 4, [1]), (256, 4, [image.width]), (257, 4, [image.height]), (258, 3, [8, 8, 8])]
        small += [(259, 3, [7]), (262, 3, [6]), (273, 4, [0]), (277, 3, [3]), (278, 4, [image.height])]
    small += [(279, 4, [len(preview)]), (330, 4, [0])]
    length = len(directory(8, small + camera, preview))
    small[-1] = (330, 4, [8 + length])
    return b"II*\0\x08\0\0\0" + directory(8, small + camera, preview) + directory(8 + length, whole, pixels)


def directory(at: int, entries: list[tuple[int, int, Any]], data: bytes) -> bytes:
    """Return a TIFF directory that is to lie at an offset, with its long values and its pixels behind it."""
    body, behind = b"", b""
    begin = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        packed = struct.pack(f"<{len(values)}{FORMS[kind]}", *values)
        if len(packed) > 4:
            where = struct.pack("<I", begin + len(behind))
            behind += packed + bytes(len(packed) % 2)
        else:
            where = packed.ljust(4, b"\0")
        body += struct.pack("<HHI", tag, kind, len(values) // (2 if kind in (5, 10) else 1)) + where
    strip = struct.pack("<HHI", 273, 4, 1)
    body = body.replace(strip + bytes(4), strip + struct.pack("<I", begin + len(behind)))
    return struct.pack("<H", len(entries)) + body + bytes(4) + behind + data


def dark_above(width: int = 640, height: int = 480) -> NDArray[np.uint16]:
    """What a sensor sees of a grey field whose upper half is dark."""
    sensor = np.full((height, width), 30_000, np.uint16)
    sensor[: height // 2] = 3_000
    return sensor


def is_dark_at(image: Image.Image) -> str:
    grey = np.asarray(image.convert("L"), int)
    sides = {"top": grey[:9], "bottom": grey[-9:], "left": grey[:, :9], "right": grey[:, -9:]}
    return min(sides, key=lambda side: sides[side].mean())


def refusal(content: bytes, **options: Any) -> str:
    with pytest.raises(Unreadable) as refused:
        decode(content, **options)
    return str(refused.value)


@pytest.fixture
def rawpy() -> None:
    pytest.importorskip("rawpy", reason="needs rawpy, which `pip install vecstore[raw]` brings")


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize(("orientation", "side"), [(1, "top"), (3, "bottom"), (6, "right"), (8, "left")])
def test_a_raw_picture_is_developed_at_half_size_and_upright(orientation: int, side: str) -> None:
    found = decode(dng(dark_above(), orientation))
    assert (is_dark_at(found), sorted(found.size)) == (side, [240, 320])


def jpeg(width: int, height: int) -> bytes:
    """A preview that can be told from the picture: it is red, and blue above."""
    pixels = np.full((height, width, 3), (220, 20, 20), np.uint8)
    pixels[: height // 2] = (20, 20, 120)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG")
        return file.getvalue()


def is_of_preview(image: Image.Image) -> bool:
    return bool(np.ptp(np.asarray(image, int).reshape(-1, 3).mean(0)) > 20)


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize(
    ("size", "is_taken"), [((640, 480), True), ((320, 240), True), ((160, 120), False), ((480, 480), False)]
)
def test_a_preview_is_taken_if_it_is_the_whole_picture_and_large_enough(size: tuple[int, int], is_taken: bool) -> None:
    found = decode(dng(dark_above(), preview=jpeg(*size)), at_least=(100, 100))
    assert is_of_preview(found) is is_taken


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize(("orientation", "side"), [(1, "top"), (3, "bottom"), (6, "right"), (8, "left")])
def test_a_preview_is_turned_as_the_picture_is(orientation: int, side: str) -> None:
    found = decode(dng(dark_above(), orientation, jpeg(640, 480)), at_least=(100, 100))
    assert (is_of_preview(found), is_dark_at(found)) == (True, side)


@pytest.mark.usefixtures("rawpy")
def test_a_raw_picture_of_which_pixels_are_missing_is_refused_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    said = refusal(dng(dark_above())[:-5000])
    assert (said, capfd.readouterr().err) == ("cut off: the file ends too early", "")


@pytest.mark.usefixtures("rawpy")
@pytest.mark.parametrize("content", [b"FOVb" + bytes(500), b"\0MRM" + bytes(500), b"II\x1a\0\0\0HEAPCCDR" + bytes(99)])
def test_a_damaged_raw_picture_is_refused_with_what_libraw_says(content: bytes) -> None:
    assert refusal(content).startswith("a camera raw picture of an unsupported kind, or damaged (")


@pytest.mark.usefixtures("rawpy")
def test_a_raw_picture_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 1000)
    assert "640 x 480 pixels are more than the limit of 1,000" in refusal(dng(dark_above()))


@pytest.mark.parametrize("suffix", sorted(formats.RAW_SUFFIXES))
def test_every_raw_suffix_is_refused_by_name_without_the_extra(
    suffix: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = os.fsencode(tmp_path / "a") + suffix.upper()
    Path(os.fsdecode(path)).write_bytes(b"of no known kind")
    assert looks_like_picture(path)
    assert refusal(b"of no known kind", name=path) == RAW_MISSING


@pytest.mark.parametrize(
    ("suffix", "kind"), [("exr", "OpenEXR"), ("hdr", "Radiance HDR"), ("dds", "DirectDraw"), ("xcf", "GIMP")]
)
def test_a_picture_of_a_kind_that_is_not_read_is_refused_by_name(suffix: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"whatever")
    assert looks_like_picture(bytes(path))
    assert refusal(b"whatever", name=bytes(path)) == f"{kind} pictures are not supported; export it as a PNG or JPEG"


def test_a_picture_is_read_whatever_its_suffix_says() -> None:
    assert decode(jpeg(64, 48), name=b"a.nef").size == decode(jpeg(64, 48), name=b"a.exr").size == (64, 48)


def test_a_tiff_that_is_called_a_raw_picture_is_read_as_a_tiff() -> None:
    with io.BytesIO() as file:
        Image.new("RGB", (64, 48)).save(file, "TIFF")
        assert decode(file.getvalue(), name=b"a.dng").size == (64, 48)


# JPEG XL


def jxl(size: tuple[int, int], **options: Any) -> bytes:
    pytest.importorskip("pillow_jxl", reason="needs pillow-jxl-plugin, which `pip install vecstore[jxl]` brings")
    with io.BytesIO() as file:
        Image.new("RGB", size, (200, 30, 30)).save(file, "JXL", lossless=True, **options)
        return file.getvalue()


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (65, 47), (256, 256), (1921, 13)])
def test_jpeg_xl_is_decoded(size: tuple[int, int], container: bool) -> None:
    found = decode(jxl(size, use_container=container))
    assert (found.size, found.getpixel((5, 5))) == (size, (200, 30, 30))


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1921, 13)])
def test_jpeg_xl_beyond_the_limit_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jxl(size)
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 1000)
    assert refusal(content) == f"{size[0]} x {size[1]} pixels are more than the limit of 1,000"


def test_jpeg_xl_that_is_cut_off_is_refused() -> None:
    assert refusal(jxl((64, 48))[:-3]).startswith("broken picture: the data is damaged (")


def test_jpeg_xl_is_refused_by_name_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert refusal(b"\xff\x0a\xfa\x1f" + bytes(30)) == JXL_MISSING
